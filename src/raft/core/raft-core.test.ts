import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Prng } from "../../base/prng.ts";
import { ConfChangeV2Schema } from "../../proto/gen/raft_pb.ts";
import { EntryType, MessageType, StepResult } from "../raft.ts";
import type { ConfState, RaftMessage } from "../raft.ts";
import { countEntries } from "./entry-size.ts";
import { MemoryEntryStore } from "./memory-entry-store.ts";
import { newMessage } from "./messages.ts";
import type { MutableMessage } from "./messages.ts";
import { copyData, singleEntry } from "./entry-slices.ts";
import { createRaft } from "./raft-core.ts";
import type { RaftCore } from "./raft-core.ts";
import type { RaftOptions } from "./raft-options.ts";

const NO_BYTES = new Uint8Array(0);
const bytes = (text: string) => new TextEncoder().encode(text);

function confStateOf(voters: readonly bigint[], learners: readonly bigint[] = []): ConfState {
  return { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false };
}

function coreOf(confState: ConfState, options: Partial<RaftOptions> = {}) {
  const store = new MemoryEntryStore(options.baseIndex ?? 0);
  const core = createRaft({
    nodeId: 1n,
    electionTicks: 10,
    heartbeatTicks: 1,
    prng: new Prng(1),
    store,
    baseIndex: 0,
    baseTerm: 0,
    terms: [],
    hardState: { term: 0, vote: 0n, commit: 0 },
    confState,
    messageBytesMax: 1024 * 1024,
    inflightCountMax: 256,
    deferAppends: true,
    ...options,
  });
  return { core, store };
}

function messageTo(core: RaftCore, type: number, fields: Partial<MutableMessage>): RaftMessage {
  return { ...newMessage(type, core.nodeId), term: core.term, ...fields };
}

function propose(core: RaftCore, text: string): number {
  const data = bytes(text);
  return core.propose(EntryType.normal, data, 0, data.length);
}

/** What there is to send now, and what is stored at once, so that this member's own votes and acknowledgements count. */
function flush(core: RaftCore): RaftMessage[] {
  const sent: RaftMessage[] = [];
  while (core.hasReady()) {
    const { messages, messagesAfterFlush } = core.ready();
    sent.push(...messages);
    core.advance();
    core.entriesStored(core.lastIndex, core.termAt(core.lastIndex), core.term);
    for (const message of messagesAfterFlush) {
      if (message.to === core.nodeId) core.step(message);
      else sent.push(message);
    }
  }
  return sent;
}

/** Leader of members 1, 2, 3 at term 1 whose first entry is committed. */
function leaderOfThree(options: Partial<RaftOptions> = {}) {
  const fixture = coreOf(confStateOf([1n, 2n, 3n]), options);
  const { core } = fixture;
  core.campaign();
  flush(core);
  core.step(messageTo(core, MessageType.voteResp, { from: 2n }));
  flush(core);
  for (const from of [2n, 3n])
    core.step(messageTo(core, MessageType.appResp, { from, index: core.lastIndex }));
  flush(core);
  assert.equal(core.commitIndex, core.lastIndex);
  return fixture;
}

const appends = (messages: readonly RaftMessage[]) => messages.filter(({ type }) => type === MessageType.app);

void test("a sole voter leads within start, and vouches for reads once its empty entry is durable", () => {
  const { core, store } = coreOf(confStateOf([1n]), { hardState: { term: 4, vote: 0n, commit: 0 } });
  core.start();
  assert.deepEqual([core.isLeader, core.term, core.leaderId, core.lastIndex], [true, 5, 1n, 1]);
  assert.deepEqual(store.entries(1, 1), [{ type: EntryType.normal, term: 5, index: 1, data: NO_BYTES }]);
  const ready = core.ready();
  assert.equal(ready.hardStateChanged, true);
  assert.equal(ready.leaderChanged, true);
  assert.deepEqual(ready.hardState, { term: 5, vote: 1n, commit: 0 });
  core.advance();
  assert.equal(core.immediateReadIndex(), -1);
  core.entriesStored(1, 5);
  assert.equal(core.immediateReadIndex(), 1);
  assert.equal(core.ready().commitIndex, 1);
  core.advance();
  assert.equal(core.hasReady(), false);
});

void test("a sole voter answers reads once its own entry is committed: it may have forgotten how far it was", () => {
  const { core } = coreOf(confStateOf([1n]));
  core.start();
  core.readIndex(bytes("r"));
  assert.deepEqual(core.ready().readStates, []);
  core.advance();
  core.entriesStored(1, 1);
  assert.deepEqual(core.ready().readStates, [{ index: 1, context: bytes("r") }]);
});

void test("a sole voter's proposals cost no message and no ready until they are durable", () => {
  const { core } = coreOf(confStateOf([1n]));
  core.start();
  flush(core);
  assert.deepEqual([propose(core, "a"), propose(core, "b")], [2, 3]);
  assert.equal(core.hasReady(), false);
  core.entriesStored(3, 1);
  assert.equal(core.commitIndex, 3);
  assert.deepEqual(core.ready().messages, []);
});

void test("a sole voter waits for conf changes that are committed and not applied", () => {
  const store = new MemoryEntryStore(0, [
    { type: EntryType.confChangeV2, term: 1, index: 1, data: NO_BYTES },
  ]);
  const { core } = coreOf(confStateOf([1n]), {
    store,
    terms: [1],
    hardState: { term: 1, vote: 1n, commit: 1 },
  });
  core.start();
  assert.equal(core.isLeader, false);
  core.applyConfChange({ transition: 0, changes: [{ type: 0, nodeId: 0n }] });
  core.applied(1);
  core.campaign();
  flush(core);
  assert.equal(core.isLeader, true);
});

void test("one of several voters starts as a follower", () => {
  const { core } = coreOf(confStateOf([1n, 2n]));
  core.start();
  assert.equal(core.stateName, "StateFollower");
  assert.equal(core.hasReady(), false);
  assert.equal(propose(core, "x"), 0);
});

void test("what a turn brings leaves in one append a follower", () => {
  const { core } = leaderOfThree();
  propose(core, "a");
  propose(core, "b");
  core.step(messageTo(core, MessageType.prop, { term: 0, from: 2n, entries: singleEntry(bytes("c")) }));
  const sent = appends(core.ready().messages);
  assert.deepEqual(
    sent.map(({ to, index, entries, commit }) => [to, index, countEntries(entries), commit]),
    [
      [2n, 1, 3, 1],
      [3n, 1, 3, 1],
    ],
  );
  core.advance();
  // Durable here, acknowledged there, proposed anew: one append with the new entry and the new commit index.
  core.entriesStored(4, 1, 1);
  core.step(messageTo(core, MessageType.appResp, { from: 2n, index: 4 }));
  propose(core, "d");
  assert.deepEqual(
    appends(core.ready().messages).map(({ to, index, entries, commit }) => [
      to,
      index,
      countEntries(entries),
      commit,
    ]),
    [
      [2n, 4, 1, 4],
      [3n, 4, 1, 4],
    ],
  );
});

void test("a new commit index alone is told, once", () => {
  const { core } = leaderOfThree();
  propose(core, "a");
  flush(core);
  core.step(messageTo(core, MessageType.appResp, { from: 2n, index: 2 }));
  const told = appends(flush(core));
  assert.deepEqual(
    told.map(({ to, entries, commit }) => [to, entries.length, commit]),
    [
      [2n, 0, 2],
      [3n, 0, 2],
    ],
  );
  core.step(messageTo(core, MessageType.appResp, { from: 3n, index: 2 }));
  assert.deepEqual(flush(core), []);
});

void test("reads of one turn are confirmed by one round of heartbeats", () => {
  const { core } = leaderOfThree();
  core.readIndex(bytes("local"));
  core.step(
    messageTo(core, MessageType.readIndex, { term: 0, from: 3n, entries: singleEntry(bytes("remote")) }),
  );
  const beats = flush(core);
  assert.deepEqual(
    beats.map(({ type, to }) => [type, to]),
    [
      [MessageType.heartbeat, 2n],
      [MessageType.heartbeat, 3n],
    ],
  );
  core.step(messageTo(core, MessageType.heartbeatResp, { from: 2n, context: beats[0].context }));
  const { readStates, messages } = core.ready();
  assert.deepEqual(readStates, [{ index: 1, context: bytes("local") }]);
  assert.deepEqual([messages[0].type, messages[0].to, messages[0].index], [MessageType.readIndexResp, 3n, 1]);
  assert.deepEqual(copyData(messages[0].entries[0]), bytes("remote"));
});

void test("what a ready showed stays until it is advanced, and what comes behind it waits for the next", () => {
  const { core } = leaderOfThree();
  core.tick();
  assert.equal(core.ready().messages.length, 2);
  core.tick();
  assert.equal(core.ready().messages.length, 4);
  const shown = core.ready().messages;
  core.tick();
  core.advance();
  assert.equal(shown.length, 4);
  assert.equal(core.hasReady(), true);
  assert.equal(core.ready().messages.length, 2);
  core.advance();
  assert.equal(core.hasReady(), false);
});

void test("news of a write that began in an earlier term says nothing", () => {
  const { core } = coreOf(confStateOf([1n, 2n, 3n]));
  const append = (term: number, from: bigint, entryTerm: number) => {
    const store = new MemoryEntryStore(0, [
      { type: EntryType.normal, term: entryTerm, index: 1, data: NO_BYTES },
    ]);
    core.step(messageTo(core, MessageType.app, { term, from, entries: store.slices(1, 1, Infinity) }));
  };
  append(1, 2n, 1);
  append(2, 3n, 2);
  append(3, 2n, 1);
  core.entriesStored(1, 1, 1);
  assert.equal(core.log.unstableOffset, 1, "storage is yet to see the entry replaced, and replaced back");
  core.entriesStored(1, 1, 3);
  assert.equal(core.log.unstableOffset, 2);
});

void test("a follower forwards a copy of proposals", () => {
  const { core } = coreOf(confStateOf([1n, 2n]));
  core.step(messageTo(core, MessageType.heartbeat, { term: 1, from: 2n }));
  const data = bytes("mine");
  core.step(messageTo(core, MessageType.prop, { term: 0, from: 1n, entries: singleEntry(data) }));
  data.fill(0);
  const forwarded = flush(core).find(({ type }) => type === MessageType.prop);
  assert.ok(forwarded !== undefined);
  assert.deepEqual([forwarded.to, forwarded.from, forwarded.term], [2n, 1n, 0]);
  assert.deepEqual(copyData(forwarded.entries[0]), bytes("mine"));
});

void test("refusals tell their reason", () => {
  const { core } = coreOf(confStateOf([1n, 2n]));
  const proposal = messageTo(core, MessageType.prop, { entries: singleEntry(bytes("x")) });
  assert.equal(core.step(proposal), StepResult.proposalDropped);
  assert.equal(core.step(messageTo(core, MessageType.appResp, { from: 9n })), StepResult.unknownPeer);
  const { core: leader } = leaderOfThree();
  assert.equal(leader.step(messageTo(leader, MessageType.prop, { term: 0 })), StepResult.proposalDropped);
  leader.transferLeader(2n);
  assert.equal(leader.step({ ...proposal, term: 0 }), StepResult.proposalDropped);
  assert.equal(propose(leader, "x"), 0);
});

void test("a conf change is proposed one at a time, and a malformed one not at all", () => {
  const { core, store } = leaderOfThree();
  core.applied(1);
  const change = toBinary(
    ConfChangeV2Schema,
    create(ConfChangeV2Schema, { changes: [{ type: 0, nodeId: 4n }] }),
  );
  const type = EntryType.confChangeV2;
  assert.equal(core.propose(type, change, 0, change.length), 2);
  assert.equal(core.propose(type, change, 0, change.length), 3, "its proposer sees the index go by");
  assert.deepEqual(
    store.entries(2, 3).map((entry) => [entry.type, entry.data.length]),
    [
      [type, change.length],
      [EntryType.normal, 0],
    ],
  );
  assert.equal(core.propose(type, bytes("\xff\xff"), 0, 2), 0);
});

void test("a follower whose entries are gone gets a snapshot, and goes on behind it", () => {
  const { core, store } = leaderOfThree();
  for (const text of ["a", "b", "c"]) propose(core, text);
  flush(core);
  core.step(messageTo(core, MessageType.appResp, { from: 2n, index: 4 }));
  flush(core);
  core.applied(4);
  store.compact(3);
  core.compacted(3);
  core.step(
    messageTo(core, MessageType.appResp, { from: 3n, index: 4, reject: true, rejectHint: 1, logTerm: 1 }),
  );
  const [snapshot] = flush(core).filter(({ type }) => type === MessageType.snap);
  assert.deepEqual(snapshot.snapshot, { index: 4, term: 1, confState: confStateOf([1n, 2n, 3n]) });
  assert.equal(core.progress()[2].state, "snapshot");

  const { core: follower, store: followerStore } = coreOf(confStateOf([1n, 2n, 3n]), { nodeId: 3n });
  follower.step(snapshot);
  const ready = follower.ready();
  assert.equal(ready.snapshot, snapshot.snapshot);
  assert.equal(followerStore.firstIndex, 5);
  assert.deepEqual([follower.commitIndex, follower.lastIndex], [4, 4]);
  assert.deepEqual(
    ready.messagesAfterFlush.map(({ type, index }) => [type, index]),
    [[MessageType.appResp, 4]],
  );
  core.step(ready.messagesAfterFlush[0]);
  assert.equal(core.progress()[2].state, "replicate");
  follower.advance();
  follower.campaign();
  assert.equal(follower.stateName, "StateFollower", "its state is not whole yet");
  follower.snapshotInstalled(4);
  propose(core, "d");
  for (const message of appends(flush(core))) if (message.to === 3n) follower.step(message);
  assert.equal(follower.lastIndex, 5);
});

void test("entries that the store has dropped from memory are replaced by a snapshot too", () => {
  const { core, store } = leaderOfThree();
  propose(core, "a");
  flush(core);
  store.compact(2);
  core.applied(1);
  core.step(
    messageTo(core, MessageType.appResp, { from: 3n, index: 2, reject: true, rejectHint: 1, logTerm: 1 }),
  );
  assert.equal(core.progress()[2].state, "snapshot");
});

void test("news of the commit index alone is acknowledged at the next tick, or by another acknowledgement; a probe at once", () => {
  const { core } = coreOf(confStateOf([1n, 2n]), { deferNewsAcks: true });
  const append = (index: number, commit: number, text = ""): number[] => {
    const entries = text === "" ? [] : singleEntry(bytes(text));
    const batch = entries[0]?.batch;
    if (batch !== undefined) Object.assign(batch, { firstIndex: index + 1, term: () => 3 });
    const logTerm = index === 0 ? 0 : 3;
    core.step(messageTo(core, MessageType.app, { from: 2n, term: 3, logTerm, index, commit, entries }));
    return acknowledged();
  };
  const acknowledged = (): number[] =>
    flush(core).flatMap(({ type, index }) => (type === MessageType.appResp ? [index] : []));
  assert.deepEqual(append(0, 0, "a"), [1]);
  assert.deepEqual(append(1, 1), []);
  assert.equal(core.commitIndex, 1);
  core.tick();
  assert.deepEqual(acknowledged(), [1]);
  core.tick();
  assert.deepEqual(acknowledged(), [], "once");
  assert.deepEqual(append(1, 1), [1], "it brings no news, so the leader wants an answer");
  assert.deepEqual(append(1, 1, "b"), [2]);
  assert.deepEqual(append(2, 2), []);
  assert.deepEqual(append(2, 2, "c"), [3]);
  core.tick();
  assert.deepEqual(acknowledged(), [], "the entry's acknowledgement has said it");
});

void test("options that contradict each other are refused", () => {
  const wrong: Partial<RaftOptions>[] = [
    { nodeId: 0n },
    { heartbeatTicks: 0 },
    { heartbeatTicks: 10 },
    { inflightCountMax: 0 },
    { inflightBytesMax: 5 },
    { leaseBasedReads: true },
  ];
  for (const options of wrong) assert.throws(() => coreOf(confStateOf([1n]), options));
});
