/** Raft thesis, section 9.6: a member asks whether it could win before it disturbs anyone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageType } from "../raft.ts";
import { TestGroup } from "./testing/test-group.ts";
import { ELECTION_TICKS, TestMember, voters } from "./testing/test-member.ts";

const THREE = voters(1n, 2n, 3n);
const RULES = { preVote: true, checkQuorum: true };

test("a pre-candidate asks in its next term, and keeps its own term and vote", () => {
  const member = new TestMember(1n, THREE, {
    terms: [1],
    rules: RULES,
    hardState: { term: 1, vote: 2n, commit: 0 },
  });
  member.core.campaign();
  const requests = member.flush();
  assert.deepEqual(
    requests.map(({ type, to, term }) => [type, to, term]),
    [
      [MessageType.preVote, 2n, 2],
      [MessageType.preVote, 3n, 2],
    ],
  );
  assert.deepEqual([member.core.stateName, member.core.term, member.core.vote], ["StatePreCandidate", 1, 2n]);
});

test("with a majority of pre-votes it campaigns, with one of refusals it follows", () => {
  for (const reject of [false, true]) {
    const member = new TestMember(1n, THREE, { rules: RULES });
    member.core.campaign();
    member.flush();
    for (const from of [2n, 3n]) {
      member.step(MessageType.preVoteResp, { from, term: reject ? 0 : 1, reject });
      if (!reject) break;
    }
    const expected = reject ? ["StateFollower", 0] : ["StateCandidate", 1];
    assert.deepEqual([member.core.stateName, member.core.term], expected);
    assert.equal(
      member.flush().some(({ type }) => type === MessageType.vote),
      !reject,
    );
  }
});

test("a pre-vote binds nobody: several get one of the same member, and its vote stays free", () => {
  const member = new TestMember(1n, THREE, { rules: RULES });
  for (const from of [2n, 3n]) {
    member.step(MessageType.preVote, { from, term: 1 });
    assert.deepEqual(
      member.flush().map(({ type, to, term, reject }) => [type, to, term, reject]),
      [[MessageType.preVoteResp, from, 1, false]],
    );
  }
  assert.deepEqual([member.core.term, member.core.vote], [0, 0n]);
});

test("no pre-vote for a log that is behind, nor while a leader is heard of", () => {
  const behind = new TestMember(1n, THREE, { terms: [1, 2], rules: RULES });
  behind.step(MessageType.preVote, { from: 2n, term: 3, logTerm: 1, index: 5 });
  const [answer] = behind.flush();
  assert.deepEqual([answer.reject, answer.term], [true, 2]);

  const following = new TestMember(1n, THREE, { rules: RULES });
  following.step(MessageType.heartbeat, { from: 3n, term: 1 });
  following.flush();
  following.step(MessageType.preVote, { from: 2n, term: 2, logTerm: 9, index: 9 });
  assert.deepEqual(following.flush(), []);
  assert.equal(following.core.term, 1);
});

test("a member that comes back from a partition neither raises the term nor unseats the leader", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE, RULES);
  const leader = group.elect(1n);
  group.isolate(3n);
  group.tick(3n, 20 * ELECTION_TICKS);
  assert.equal(group.get(3n).core.term, 1);
  group.propose(1n, "meanwhile");
  group.heal();
  group.tick(3n, 2 * ELECTION_TICKS);
  group.tick(1n, 2);
  assert.deepEqual([leader.core.isLeader, leader.core.term], [true, 1]);
  assert.deepEqual(group.get(3n).applied, ["meanwhile"]);
});

test("without pre-vote the same member does raise the term: that is what pre-vote is for", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  const leader = group.elect(1n);
  group.isolate(3n);
  group.tick(3n, 20 * ELECTION_TICKS);
  assert.ok(group.get(3n).core.term > 5);
  group.heal();
  group.tick(3n, 2 * ELECTION_TICKS);
  assert.equal(leader.core.isLeader, false);
});

test("a leader's loss is noticed and healed as fast as without pre-vote", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE, RULES);
  group.elect(1n);
  group.isolate(1n);
  for (let tick = 0; tick < 2 * ELECTION_TICKS; tick++) {
    for (const id of [2n, 3n]) group.get(id).core.tick();
    group.settle();
  }
  assert.equal([2n, 3n].filter((id) => group.get(id).core.isLeader).length, 1);
  group.heal();
  const leader = group.get(2n).core.isLeader ? 2n : 3n;
  group.tick(leader, 2);
  assert.deepEqual([group.get(1n).core.isLeader, group.get(1n).core.leaderId], [false, leader]);
});

test("a member stuck with a higher term is let in again: its answers make the leader of the old term step down", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE, RULES);
  group.elect(1n);
  // 3 was a candidate of term 5 in an earlier life.
  group.add(3n, THREE, { hardState: { term: 5, vote: 3n, commit: 0 } });
  group.tick(1n, 2);
  for (let tick = 0; tick < 4 * ELECTION_TICKS; tick++) {
    for (const id of [1n, 2n, 3n]) group.get(id).core.tick();
    group.settle();
  }
  const leaders = [1n, 2n, 3n].filter((id) => group.get(id).core.isLeader);
  assert.equal(leaders.length, 1);
  for (const id of [1n, 2n, 3n]) assert.equal(group.get(id).core.leaderId, leaders[0]);
  assert.ok(group.get(3n).core.term >= 5);
});
