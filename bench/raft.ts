/**
 * The Raft core alone: what a proposal costs in it, by how many others follow and by proposals a turn. Storage and network cost
 * nothing here. `node bench/raft.ts`
 */
import { Prng } from "../src/base/prng.ts";
import { createRaft } from "../src/raft/core/raft-core.ts";
import type { RaftCore } from "../src/raft/core/raft-core.ts";
import { newMessage } from "../src/raft/core/messages.ts";
import { EntryType, MessageType } from "../src/raft/raft.ts";
import type { EntryBatch, EntrySlice, EntryStore } from "../src/raft/raft.ts";

const PROPOSALS = 1_000_000;
const data = new Uint8Array(300);

/** Entries of one size that lie nowhere. */
class NoStore implements EntryStore {
  readonly firstIndex = 1;
  appendEntry(): void {}
  startAfter(): void {}
  slices(first: number, last: number): readonly EntrySlice[] {
    const batch: EntryBatch = {
      firstIndex: first,
      count: last - first + 1,
      bytes: data,
      term: () => 1,
      type: () => EntryType.normal,
      dataStart: () => 0,
      dataEnd: () => data.length,
    };
    return [{ batch, from: 0, count: batch.count }];
  }
}

function leaderOf(members: number): RaftCore {
  const voters = Array.from({ length: members }, (_, i) => BigInt(i + 1));
  const core = createRaft({
    nodeId: 1n,
    electionTicks: 10,
    heartbeatTicks: 1,
    prng: new Prng(1),
    store: new NoStore(),
    baseIndex: 0,
    baseTerm: 0,
    terms: [],
    hardState: { term: 0, vote: 0n, commit: 0 },
    confState: { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
    messageBytesMax: 1024 * 1024,
    inflightCountMax: 512,
    deferAppends: true,
  });
  core.campaign();
  turn(core, members);
  for (let id = 2; id <= members; id++) core.step(answer(MessageType.voteResp, id, core));
  turn(core, members);
  return core;
}

function answer(type: number, from: number, core: RaftCore): ReturnType<typeof newMessage> {
  const message = newMessage(type, core.nodeId);
  message.from = BigInt(from);
  message.term = core.term;
  message.index = core.lastIndex;
  return message;
}

/** What the loop does after a turn's records: sends, stores, takes the others' acknowledgements. */
function turn(core: RaftCore, members: number): void {
  while (core.hasReady()) {
    const { messagesAfterFlush } = core.ready();
    core.advance();
    for (const message of messagesAfterFlush) core.step(message);
  }
  if (!core.isLeader) return;
  core.entriesStored(core.lastIndex, core.term, core.term);
  for (let id = 2; id <= members; id++) core.step(answer(MessageType.appResp, id, core));
  core.applied(core.commitIndex);
}

for (const members of [1, 3, 5]) {
  for (const perTurn of [1, 16, 256]) {
    const core = leaderOf(members);
    const start = performance.now();
    for (let i = 0; i < PROPOSALS; i += perTurn) {
      for (let k = 0; k < perTurn; k++) core.propose(EntryType.normal, data, 0, data.length);
      turn(core, members);
    }
    const ns = ((performance.now() - start) * 1e6) / PROPOSALS;
    if (core.commitIndex < PROPOSALS) throw new Error(`committed only ${core.commitIndex}`);
    console.log(
      `${members} members, ${String(perTurn).padStart(3)} proposals a turn: ${ns.toFixed(0)} ns a proposal`,
    );
  }
}
