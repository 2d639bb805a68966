import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../base/prng.ts";
import { EntryType } from "../raft.ts";
import type { RaftMessage } from "../raft.ts";
import { MemoryEntryStore } from "./memory-entry-store.ts";
import { createRaft } from "./raft-core.ts";
import type { RaftCore } from "./raft-core.ts";

const SEEDS = 40;
const ROUNDS = 400;
/** Enough for an election and to bring everybody up to date. */
const CALM_ROUNDS = 200;
/** How long one member, or none, is cut off from the others. */
const CUT_ROUNDS = 40;
const VOTERS = [1n, 2n, 3n];

interface Member {
  readonly core: RaftCore;
  readonly store: MemoryEntryStore;
  /** What waits for the flush that is under way. */
  promises: RaftMessage[];
  /** Compared with the others up to here. */
  checked: number;
  flight: { readonly index: number; readonly term: number; readonly memberTerm: number } | null;
}

/** Three members whose messages are lost and reordered, and whose disks take their time. */
class RandomCluster {
  readonly #prng: Prng;
  readonly #members: readonly Member[];
  #network: RaftMessage[] = [];
  /** Nothing is lost any more, and nothing proposed. */
  #isCalm = false;
  #cutOff = 0n;
  readonly #leaders = new Map<number, bigint>();
  /** Committed entries as first seen. */
  readonly #committed: string[] = [];

  constructor(seed: number) {
    this.#prng = new Prng(seed);
    const confState = {
      voters: VOTERS,
      learners: [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    };
    this.#members = VOTERS.map((nodeId) => {
      const store = new MemoryEntryStore();
      const core = createRaft({
        nodeId,
        electionTicks: 10,
        heartbeatTicks: 2,
        prng: this.#prng,
        store,
        baseIndex: 0,
        baseTerm: 0,
        terms: [],
        hardState: { term: 0, vote: 0n, commit: 0 },
        confState,
        preVote: seed % 2 === 0,
        checkQuorum: seed % 3 === 0,
        messageBytesMax: 50,
        inflightCountMax: 4,
        deferAppends: seed % 4 !== 0,
      });
      core.start();
      return { core, store, promises: [], checked: 0, flight: null };
    });
  }

  run(): void {
    for (let round = 0; round < ROUNDS; round++) this.#round(round);
    this.#isCalm = true;
    this.#cutOff = 0n;
    for (let round = 0; round < CALM_ROUNDS; round++) this.#round(round);
  }

  /** Terms that had a leader. */
  get termCount(): number {
    return this.#leaders.size;
  }

  /** What all members have committed in the end. */
  agreed(): readonly string[] {
    const logs = this.#members.map(({ core, store }) => describe(store, 1, core.commitIndex));
    for (const log of logs) assert.deepEqual(log, logs[0]);
    return logs[0];
  }

  #round(round: number): void {
    const prng = this.#prng;
    if (!this.#isCalm && round % CUT_ROUNDS === 0) this.#cutOff = prng.pick([0n, ...VOTERS]);
    for (const member of this.#members) {
      if (prng.chance(this.#isCalm ? 1 : 0.7)) member.core.tick();
      const data = new TextEncoder().encode(`member ${member.core.nodeId} round ${round}`);
      if (!this.#isCalm && prng.chance(0.3)) member.core.propose(EntryType.normal, data, 0, data.length);
      this.#takeReady(member);
      if (prng.chance(this.#isCalm ? 1 : 0.5)) this.#finishFlush(member);
    }
    this.#deliver();
    for (const member of this.#members) this.#check(member);
  }

  #takeReady(member: Member): void {
    const { core, store } = member;
    if (!core.hasReady()) return;
    const { messages, messagesAfterFlush } = core.ready();
    this.#network.push(...messages);
    member.promises.push(...messagesAfterFlush);
    core.advance();
    const index = store.lastIndex;
    member.flight ??= { index, term: core.termAt(index), memberTerm: core.term };
  }

  #finishFlush(member: Member): void {
    const { core, flight, promises } = member;
    if (flight === null) return;
    member.flight = null;
    member.promises = [];
    if (flight.index > 0) core.entriesStored(flight.index, flight.term, flight.memberTerm);
    for (const message of promises) {
      if (message.to === core.nodeId) core.step(message);
      else this.#network.push(message);
    }
  }

  #deliver(): void {
    const queued = this.#network;
    this.#network = [];
    for (const message of queued) {
      if (message.from === this.#cutOff || message.to === this.#cutOff) continue;
      if (!this.#isCalm && this.#prng.chance(0.15)) continue;
      if (!this.#isCalm && this.#prng.chance(0.2)) this.#network.push(message);
      else this.#members[Number(message.to) - 1].core.step(message);
    }
  }

  #check(member: Member): void {
    const { core, store, checked } = member;
    if (core.isLeader) {
      const other = this.#leaders.get(core.term);
      assert.ok(other === undefined || other === core.nodeId, `two leaders of term ${core.term}`);
      this.#leaders.set(core.term, core.nodeId);
    }
    member.checked = core.commitIndex;
    describe(store, checked + 1, core.commitIndex).forEach((entry, i) => {
      const at = checked + i;
      assert.equal(entry, (this.#committed[at] ??= entry), `index ${at + 1} of member ${core.nodeId}`);
    });
  }
}

function describe(store: MemoryEntryStore, first: number, last: number): string[] {
  if (last < first) return [];
  return store.entries(first, last).map(({ term, data }) => `${term} ${new TextDecoder().decode(data)}`);
}

void test("members agree whatever the network loses, repeats late and the disks delay", () => {
  let terms = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const cluster = new RandomCluster(seed);
    try {
      cluster.run();
      assert.ok(cluster.agreed().length > 20, "little was committed");
      terms += cluster.termCount;
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  assert.ok(terms > SEEDS * 2, "too few leaders were unseated");
});
