/** Raft thesis, section 6.4: reads without the log. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageType } from "../raft.ts";
import { TestGroup } from "./testing/test-group.ts";
import { bytesOf, ELECTION_TICKS, TestMember, textOf, voters } from "./testing/test-member.ts";

const THREE = voters(1n, 2n, 3n);

function read(group: TestGroup, id: bigint, context: string): void {
  group.get(id).core.readIndex(bytesOf(context));
  group.settle();
}

function answersOf({ readStates }: TestMember): [string, number][] {
  return readStates.map(({ index, context }) => [textOf(context), index]);
}

test("a leader confirms its leadership by a round of heartbeats, and answers with its commit index", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  const leader = group.elect(1n);
  group.propose(1n, "a");
  read(group, 1n, "r1");
  assert.deepEqual(answersOf(leader), [["r1", leader.core.commitIndex]]);
});

test("a follower asks the leader, and sees at least what was committed before it asked", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  const leader = group.elect(1n);
  group.loses = ({ to, type }) => to === 3n && type === MessageType.app;
  group.propose(1n, "a");
  assert.ok(group.get(3n).core.commitIndex < leader.core.commitIndex);
  read(group, 3n, "r1");
  assert.deepEqual(answersOf(group.get(3n)), [["r1", leader.core.commitIndex]]);
});

test("a leader that lost its quorum answers nothing", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  const old = group.elect(1n);
  group.isolate(1n);
  const fresh = group.elect(2n);
  group.propose(2n, "newer than what 1 knows");
  read(group, 1n, "stale");
  assert.deepEqual(answersOf(old), []);
  read(group, 2n, "fresh");
  assert.deepEqual(answersOf(fresh), [["fresh", fresh.core.commitIndex]]);
  // Nor does it when the answers to its heartbeats come after its term.
  group.heal();
  group.tick(2n, 2);
  assert.deepEqual(answersOf(old), []);
});

test("a new leader holds reads back until it has committed in its term", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  group.elect(1n);
  // 2 has the entry and does not know that it is committed.
  group.loses = ({ to, type, commit }) => to === 2n && type === MessageType.app && commit === 2;
  group.propose(1n, "committed");
  group.isolate(1n);
  group.loses = ({ from, to, type }) => from === 1n || to === 1n || type === MessageType.appResp;
  const leader = group.elect(2n);
  assert.equal(leader.core.isLeader, true);
  read(group, 2n, "early");
  group.tick(2n);
  assert.deepEqual(answersOf(leader), []);
  group.isolate(1n);
  group.tick(2n, 2);
  assert.deepEqual(answersOf(leader), [["early", 3]]);
  assert.deepEqual(leader.applied, ["committed"]);
});

test("reads are answered in order, one round may confirm many", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  const leader = group.elect(1n);
  for (let i = 0; i < 10; i++) leader.core.readIndex(bytesOf(`r${i}`));
  const before = group.delivered.length;
  group.settle();
  assert.deepEqual(
    answersOf(leader).map(([context]) => context),
    Array.from({ length: 10 }, (_, i) => `r${i}`),
  );
  const heartbeats = group.delivered.slice(before).filter(({ type }) => type === MessageType.heartbeat);
  assert.equal(heartbeats.length, 2, "one to each follower");
});

test("a read that a lost round did not confirm is confirmed by a later one", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  const leader = group.elect(1n);
  group.isolate(1n);
  read(group, 1n, "lost");
  group.heal();
  assert.deepEqual(answersOf(leader), []);
  group.tick(1n);
  assert.deepEqual(answersOf(leader), [["lost", leader.core.commitIndex]]);
});

test("a learner's answer to a heartbeat confirms nothing", () => {
  const group = new TestGroup([1n, 2n, 3n], { ...voters(1n, 2n), learners: [3n] });
  const leader = group.elect(1n);
  group.isolate(2n);
  read(group, 1n, "r");
  assert.deepEqual(answersOf(leader), []);
});

test("a sole voter answers at once", () => {
  const member = new TestMember(1n, voters(1n));
  assert.equal(member.core.immediateReadIndex(), -1);
  member.core.start();
  member.flush();
  assert.equal(member.core.immediateReadIndex(), 1);
  member.core.readIndex(bytesOf("r"));
  member.flush();
  assert.deepEqual(answersOf(member), [["r", 1]]);
});

test("6.4.1: lease-based reads need no round, and end with the lease", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE, { checkQuorum: true, leaseBasedReads: true });
  const leader = group.elect(1n);
  group.isolate(1n);
  read(group, 1n, "within the lease");
  assert.deepEqual(answersOf(leader), [["within the lease", 1]]);
  group.tick(1n, 2 * ELECTION_TICKS);
  read(group, 1n, "too late");
  assert.deepEqual(answersOf(leader).length, 1);
});

test("6.2: with check-quorum a leader that hears of no quorum steps down within two election time-outs", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE, { checkQuorum: true });
  const { core } = group.elect(1n);
  group.isolate(3n);
  group.tick(1n, 5 * ELECTION_TICKS);
  assert.equal(core.isLeader, true, "one follower is a quorum");
  group.isolate(1n);
  group.tick(1n, 2 * ELECTION_TICKS);
  assert.deepEqual([core.isLeader, core.leaderId, core.term], [false, 0n, 1]);
});
