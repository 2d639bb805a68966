/** Raft paper, section 6; Raft thesis, chapter 4 (membership) and section 3.10 (leadership transfer). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfChangeTransition, ConfChangeType } from "../confchange/conf-change-type.ts";
import { MessageType } from "../raft.ts";
import { TestGroup } from "./testing/test-group.ts";
import { ELECTION_TICKS, voters } from "./testing/test-member.ts";

const { addNode, removeNode, addLearnerNode } = ConfChangeType;
const ONE = voters(1n);
const THREE = voters(1n, 2n, 3n);

function votersOf(group: TestGroup, id: bigint): string {
  return group.get(id).core.tracker.configuration.toString();
}

test("4.1: a group grows one voter at a time, and each counts once its change is applied", () => {
  const group = new TestGroup([1n], ONE);
  group.elect(1n);
  group.propose(1n, "alone");
  for (const id of [2n, 3n]) {
    // It replays the log from its begin, and so from the configuration of then.
    group.add(id, ONE);
    assert.equal(group.change(1n, { type: addNode, nodeId: id }), true);
    group.tick(1n, 2);
  }
  for (const id of [1n, 2n, 3n]) {
    assert.equal(votersOf(group, id), "voters=(1 2 3)");
    assert.deepEqual(group.get(id).applied, ["alone"]);
  }
  group.isolate(2n);
  group.propose(1n, "two of three");
  assert.deepEqual(group.get(1n).applied.at(-1), "two of three");
  group.isolate(2n, 3n);
  group.propose(1n, "one of three");
  assert.deepEqual(group.get(1n).applied.at(-1), "two of three");
});

test("4.1: no second change is taken before the first is applied: it becomes an empty entry", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  group.elect(1n);
  group.isolate(2n, 3n);
  group.change(1n, { type: addNode, nodeId: 4n });
  group.change(1n, { type: removeNode, nodeId: 3n });
  assert.deepEqual(
    group
      .get(1n)
      .entries.slice(-2)
      .map(({ type }) => type),
    [1, 0],
  );
  group.heal();
  group.tick(1n, 2);
  assert.equal(votersOf(group, 1n), "voters=(1 2 3 4)");
});

test("4.1: a change that a lost leader leaves behind is replaced like any entry", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  group.elect(1n);
  group.isolate(1n);
  group.change(1n, { type: removeNode, nodeId: 2n });
  group.elect(2n);
  group.heal();
  group.tick(2n, 2);
  for (const id of [1n, 2n, 3n]) assert.equal(votersOf(group, id), "voters=(1 2 3)");
});

test("4.2.1: a learner gets the log and counts for nothing, until it is promoted", () => {
  const group = new TestGroup([1n, 2n], voters(1n, 2n));
  group.elect(1n);
  group.propose(1n, "a");
  const learner = group.add(3n, voters(1n, 2n));
  group.change(1n, { type: addLearnerNode, nodeId: 3n });
  group.tick(1n, 2);
  assert.deepEqual([learner.applied, learner.core.isLearner], [["a"], true]);
  // It neither commits with the leader nor campaigns.
  group.isolate(2n);
  group.propose(1n, "b");
  assert.deepEqual(group.get(1n).applied, ["a"]);
  learner.ticks(3 * ELECTION_TICKS);
  assert.equal(learner.core.term, group.get(1n).core.term);
  group.heal();
  group.tick(1n, 2);

  group.change(1n, { type: addNode, nodeId: 3n });
  assert.equal(learner.core.isLearner, false);
  group.isolate(2n);
  group.propose(1n, "c");
  assert.deepEqual(learner.applied, ["a", "b", "c"]);
});

test("4.2.1: a learner may vote when asked: its configuration may be behind", () => {
  const group = new TestGroup([3n], { ...voters(1n, 2n), learners: [3n] });
  const learner = group.get(3n);
  learner.step(MessageType.vote, { from: 1n, term: 1 });
  assert.equal(learner.flush()[0].reject, false);
});

test("4.2.2: a leader that removes itself leads until that is committed by the others", () => {
  for (const stepDownOnRemoval of [false, true]) {
    const group = new TestGroup([1n, 2n, 3n], THREE, { stepDownOnRemoval });
    group.elect(1n);
    group.isolate(2n, 3n);
    group.change(1n, { type: removeNode, nodeId: 1n });
    assert.equal(group.get(1n).core.isLeader, true);
    assert.equal(votersOf(group, 1n), "voters=(1 2 3)");
    group.heal();
    group.tick(1n, 2);
    assert.equal(votersOf(group, 2n), "voters=(2 3)");
    assert.equal(group.get(1n).core.isLeader, !stepDownOnRemoval);
    group.isolate(1n);
    group.elect(2n);
    assert.equal(group.get(2n).core.isLeader, true);
  }
});

test("4.2.3: a removed member that campaigns again and again does not unseat the leader", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE, { checkQuorum: true, preVote: true });
  group.elect(1n);
  group.isolate(3n);
  group.change(1n, { type: removeNode, nodeId: 3n });
  group.heal();
  for (let round = 0; round < 5; round++) {
    group.tick(3n, 2 * ELECTION_TICKS);
    group.tick(1n);
  }
  assert.deepEqual([group.get(1n).core.isLeader, group.get(1n).core.term], [true, 1]);
});

test("6, thesis 4.3: several voters change at once through a joint configuration, which is left by itself", () => {
  const group = new TestGroup([1n, 2n, 3n, 4n, 5n], THREE);
  group.elect(1n);
  group.propose(1n, "a");
  const changes = [
    { type: addNode, nodeId: 4n },
    { type: addNode, nodeId: 5n },
    { type: removeNode, nodeId: 2n },
    { type: removeNode, nodeId: 3n },
  ];
  assert.equal(group.changeJointly(1n, ConfChangeTransition.auto, changes), true);
  group.tick(1n, 3);
  for (const id of [1n, 4n, 5n]) {
    assert.equal(votersOf(group, id), "voters=(1 4 5)");
    assert.deepEqual(group.get(id).applied, ["a"]);
  }
});

test("6, thesis 4.3: while the configuration is joint, both majorities are needed, to commit and to lead", () => {
  const group = new TestGroup([1n, 2n, 3n, 4n, 5n], THREE);
  group.elect(1n);
  const changes = [
    { type: addNode, nodeId: 4n },
    { type: addNode, nodeId: 5n },
    { type: removeNode, nodeId: 2n },
    { type: removeNode, nodeId: 3n },
  ];
  group.changeJointly(1n, ConfChangeTransition.jointExplicit, changes);
  group.tick(1n, 3);
  assert.equal(votersOf(group, 4n), "voters=(1 4 5)&&(1 2 3)");

  const { applied } = group.get(1n);
  for (const lost of [
    [2n, 3n],
    [4n, 5n],
  ]) {
    group.isolate(...lost);
    const before = applied.length;
    group.propose(1n, `without ${lost.join()}`);
    assert.equal(applied.length, before, `without ${lost.join()}`);
    group.heal();
    group.tick(1n, 3);
    assert.equal(applied.length, before + 1);
  }
  // 2 with all of the old half, 4 with all of the new one: neither wins.
  group.split([2n, 3n], [1n, 4n, 5n]);
  group.elect(4n);
  assert.equal(group.get(4n).core.isLeader, false);
  group.split([1n, 2n, 3n], [4n, 5n]);
  group.elect(2n);
  group.elect(2n);
  assert.equal(group.get(2n).core.isLeader, false);

  group.heal();
  group.elect(1n);
  assert.equal(group.get(1n).core.isLeader, true);
  group.changeJointly(1n, ConfChangeTransition.auto, []);
  group.tick(1n, 3);
  assert.equal(votersOf(group, 4n), "voters=(1 4 5)");
});

test("3.10: leadership goes to who has all of the log, without an election time-out", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE, { checkQuorum: true, preVote: true });
  group.elect(1n);
  group.get(1n).core.transferLeader(2n);
  group.settle();
  assert.deepEqual([group.get(2n).core.isLeader, group.get(1n).core.leaderId], [true, 2n]);
  // A follower passes the wish on.
  group.get(1n).core.transferLeader(3n);
  group.settle();
  assert.equal(group.get(3n).core.isLeader, true);
});

test("3.10: the target first gets what it lacks, proposals wait outside", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  const { core, entries } = group.elect(1n);
  group.isolate(2n);
  group.propose(1n, "missed");
  core.transferLeader(2n);
  group.settle();
  assert.equal(core.isLeader, true);
  assert.notEqual(group.propose(1n, "refused"), 0);
  group.heal();
  group.tick(1n, 2);
  assert.equal(group.get(2n).core.isLeader, true);
  assert.deepEqual(group.get(2n).applied, ["missed"]);
  assert.ok(entries.length < group.get(2n).entries.length);
});

test("3.10: a transfer that does not come about ends after an election time-out", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  const { core } = group.elect(1n);
  group.isolate(3n);
  core.transferLeader(3n);
  group.tick(1n, ELECTION_TICKS);
  assert.equal(core.isLeader, true);
  assert.equal(group.propose(1n, "taken again"), 0);
  assert.deepEqual(group.get(2n).applied, ["taken again"]);
});
