/** Raft paper, section 7: log compaction and snapshots. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageType } from "../raft.ts";
import { TestGroup } from "./testing/test-group.ts";
import { entry, slicesOf, TestMember, voters } from "./testing/test-member.ts";

const THREE = voters(1n, 2n, 3n);

/** 3 is cut off while the others commit 20 entries and compact what they applied up to `index`. */
function laggingGroup(index: number): TestGroup {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  group.elect(1n);
  group.isolate(3n);
  for (let i = 0; i < 20; i++) group.propose(1n, `entry ${i}`);
  const { core, store } = group.get(1n);
  store.compact(index);
  core.compacted(index);
  return group;
}

test("a follower that needs entries which are gone gets a snapshot, then entries", () => {
  const group = laggingGroup(15);
  group.heal();
  group.tick(1n, 2);
  const follower = group.get(3n);
  assert.deepEqual(follower.installed, { index: 21, term: 1, confState: THREE });
  assert.equal(follower.core.commitIndex, 21);
  group.propose(1n, "behind the snapshot");
  assert.deepEqual(follower.applied, ["behind the snapshot"]);
  assert.equal(follower.store.firstIndex, 22);
});

test("a follower whose entries are still there gets no snapshot", () => {
  const group = laggingGroup(1);
  group.heal();
  group.tick(1n, 2);
  assert.equal(group.get(3n).installed, null);
  assert.equal(group.get(3n).applied.length, 20);
});

test("nothing is sent while a snapshot is on its way; one that failed is sent again", () => {
  const group = laggingGroup(15);
  const lost: number[] = [];
  group.loses = ({ to, type }) => {
    if (to !== 3n || type !== MessageType.snap) return false;
    lost.push(type);
    return true;
  };
  group.tick(1n, 3);
  const { core } = group.get(1n);
  const stateOf3 = (): string | undefined => core.progress().find(({ id }) => id === 3n)?.state;
  assert.equal(stateOf3(), "snapshot");
  assert.equal(lost.length, 1);
  group.propose(1n, "meanwhile");
  group.tick(1n, 3);
  assert.equal(lost.length, 1);

  core.reportSnapshot(3n, false);
  assert.equal(stateOf3(), "probe");
  group.heal();
  group.tick(1n, 2);
  assert.equal(stateOf3(), "replicate");
  assert.equal(group.get(3n).core.commitIndex, core.commitIndex);
});

test("a snapshot takes the place of the log, and of the configuration", () => {
  const member = new TestMember(3n, voters(), { terms: [1, 1, 1] });
  const snapshot = { index: 10, term: 2, confState: voters(1n, 2n, 3n, 4n) };
  member.step(MessageType.snap, { from: 1n, term: 2, snapshot });
  const answer = member.flush().at(-1);
  assert.deepEqual([answer?.type, answer?.index, answer?.reject], [MessageType.appResp, 10, false]);
  assert.deepEqual(member.core.confState.voters, [1n, 2n, 3n, 4n]);
  assert.deepEqual([member.core.lastIndex, member.core.commitIndex, member.entries], [10, 10, []]);
  member.step(MessageType.app, {
    from: 1n,
    term: 2,
    index: 10,
    logTerm: 2,
    entries: slicesOf([entry(2, 11)]),
    commit: 11,
  });
  member.flush();
  assert.deepEqual(member.applied, ["2.11"]);
});

test("entries that follow a snapshot in the same turn find their place behind it", () => {
  const member = new TestMember(3n, THREE);
  const snapshot = { index: 10, term: 2, confState: THREE };
  member.step(MessageType.snap, { from: 1n, term: 2, snapshot });
  member.step(MessageType.app, {
    from: 1n,
    term: 2,
    index: 10,
    logTerm: 2,
    entries: slicesOf([entry(2, 11)]),
    commit: 11,
  });
  member.flush();
  assert.deepEqual([member.installed?.index, member.applied], [10, ["2.11"]]);
});

test("a snapshot of what is there already changes nothing but the commit index", () => {
  const member = new TestMember(3n, THREE, { terms: [1, 1, 1] });
  member.step(MessageType.snap, {
    from: 1n,
    term: 1,
    snapshot: { index: 2, term: 1, confState: voters(3n, 9n) },
  });
  const answer = member.flush().at(-1);
  assert.deepEqual([answer?.type, answer?.index], [MessageType.appResp, 2]);
  assert.deepEqual([member.installed, member.terms, member.core.commitIndex], [null, [1, 1, 1], 2]);
  assert.deepEqual(member.core.confState.voters, THREE.voters);
});

test("an old snapshot is ignored", () => {
  const base = { index: 10, term: 2, confState: THREE };
  const member = new TestMember(3n, THREE, { base });
  member.step(MessageType.snap, {
    from: 1n,
    term: 2,
    snapshot: { index: 7, term: 1, confState: voters(9n) },
  });
  const answer = member.flush().at(-1);
  assert.deepEqual([answer?.index, member.installed], [10, null]);
});

test("a member does not campaign while it has a snapshot to install", () => {
  const member = new TestMember(3n, THREE);
  member.step(MessageType.snap, { from: 1n, term: 2, snapshot: { index: 10, term: 2, confState: THREE } });
  member.core.campaign();
  assert.deepEqual([member.core.stateName, member.core.term], ["StateFollower", 2]);
  member.flush();
  member.core.campaign();
  assert.deepEqual([member.core.stateName, member.core.term], ["StateCandidate", 3]);
});
