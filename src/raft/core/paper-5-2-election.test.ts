/** Raft paper, sections 5.1 and 5.2: terms, roles, and elections. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageType } from "../raft.ts";
import { TestGroup } from "./testing/test-group.ts";
import { ELECTION_TICKS, TestMember, voters } from "./testing/test-member.ts";

const THREE = voters(1n, 2n, 3n);
const FIVE = voters(1n, 2n, 3n, 4n, 5n);

function roleOf({ core }: TestMember): string {
  return core.stateName.replace("State", "");
}

function candidate(start: { hardStateTerm?: number } = {}): TestMember {
  const term = start.hardStateTerm ?? 0;
  const member = new TestMember(1n, THREE, { hardState: { term, vote: 0n, commit: 0 } });
  member.core.campaign();
  member.flush();
  return member;
}

test("5.1: whoever hears of a higher term adopts it and follows", () => {
  const start: [string, () => TestMember][] = [
    ["Follower", () => new TestMember(1n, THREE, { hardState: { term: 1, vote: 0n, commit: 0 } })],
    ["Candidate", () => candidate()],
    [
      "Leader",
      () => {
        const member = candidate();
        member.step(MessageType.voteResp, { from: 2n, term: 1 });
        return member;
      },
    ],
  ];
  for (const [role, make] of start) {
    const member = make();
    assert.equal(roleOf(member), role);
    member.step(MessageType.app, { from: 2n, term: 5 });
    assert.deepEqual([roleOf(member), member.core.term, member.core.leaderId], ["Follower", 5, 2n], role);
  }
});

test("5.1: a message of an old term changes nothing", () => {
  const member = new TestMember(1n, THREE, { terms: [1, 2], hardState: { term: 3, vote: 0n, commit: 0 } });
  for (const type of [MessageType.app, MessageType.heartbeat, MessageType.voteResp, MessageType.snap]) {
    member.step(type, { from: 2n, term: 2, commit: 2, index: 2, logTerm: 2 });
  }
  assert.deepEqual([member.core.term, member.core.leaderId, member.core.commitIndex], [3, 0n, 0]);
  assert.deepEqual(member.flush(), []);
});

test("5.2: a member starts as a follower, and stays one as long as it hears of a leader", () => {
  const member = new TestMember(1n, THREE);
  for (let round = 0; round < 10; round++) {
    assert.equal(roleOf(member), "Follower");
    member.ticks(ELECTION_TICKS - 1);
    member.step(MessageType.heartbeat, { from: 2n, term: 1 });
  }
  assert.equal(member.core.term, 1);
});

test("5.2: a follower that hears of no leader campaigns: next term, a vote for itself, requests to all others", () => {
  const member = new TestMember(1n, THREE, { terms: [1, 1], hardState: { term: 1, vote: 0n, commit: 0 } });
  member.ticks(2 * ELECTION_TICKS);
  const requests = member
    .flush()
    .map(({ type, to, term, index, logTerm }) => ({ type, to, term, index, logTerm }));
  const common = { type: MessageType.vote, term: 2, index: 2, logTerm: 1 };
  assert.deepEqual(requests, [
    { ...common, to: 2n },
    { ...common, to: 3n },
  ]);
  assert.deepEqual([roleOf(member), member.core.term, member.core.vote], ["Candidate", 2, 1n]);
});

test("5.2: an election is won by votes of a majority, and lost by refusals of one", () => {
  // Votes of the others for member 1, who votes for itself.
  const rows: [size: number, votes: Record<number, boolean>, role: string][] = [
    [1, {}, "Leader"],
    [3, { 2: true }, "Leader"],
    [3, { 2: true, 3: false }, "Leader"],
    [3, { 2: false, 3: false }, "Follower"],
    [3, {}, "Candidate"],
    [3, { 2: false }, "Candidate"],
    [5, { 2: true, 3: true }, "Leader"],
    [5, { 2: true }, "Candidate"],
    [5, { 2: false, 3: false, 4: false }, "Follower"],
    [5, { 2: false, 3: false, 4: true }, "Candidate"],
  ];
  for (const [size, votes, role] of rows) {
    const ids = Array.from({ length: size }, (_, i) => BigInt(i + 1));
    const member = new TestMember(1n, voters(...ids));
    member.core.campaign();
    member.flush();
    for (const [id, granted] of Object.entries(votes)) {
      member.step(MessageType.voteResp, { from: BigInt(id), term: 1, reject: !granted });
    }
    assert.equal(roleOf(member), role, `${size} ${JSON.stringify(votes)}`);
  }
});

test("5.2: a second vote of one member does not count", () => {
  const member = new TestMember(1n, FIVE);
  member.core.campaign();
  member.flush();
  for (let i = 0; i < 3; i++) member.step(MessageType.voteResp, { from: 2n, term: 1 });
  assert.equal(roleOf(member), "Candidate");
});

test("5.2: one vote a term, first come first served, and it can be repeated", () => {
  const member = new TestMember(1n, THREE);
  const ask = (from: bigint, term: number): boolean => {
    member.step(MessageType.vote, { from, term });
    return member.flush().at(-1)?.reject === false;
  };
  assert.deepEqual([ask(2n, 1), ask(3n, 1), ask(2n, 1)], [true, false, true]);
  assert.equal(ask(3n, 2), true);
  assert.equal(member.core.vote, 3n);
});

test("5.2: a vote is durable before it is sent, and remembered over a restart", () => {
  const member = new TestMember(1n, THREE);
  member.step(MessageType.vote, { from: 2n, term: 1 });
  const ready = member.core.ready();
  assert.deepEqual([ready.hardStateChanged, ready.hardState.vote, ready.hardState.term], [true, 2n, 1]);
  assert.deepEqual(ready.messages, []);
  assert.equal(ready.messagesAfterFlush.length, 1);

  const restarted = new TestMember(1n, THREE, { hardState: { ...ready.hardState } });
  restarted.step(MessageType.vote, { from: 3n, term: 1 });
  assert.equal(restarted.flush()[0].reject, true);
});

test("5.2: a candidate that hears of a leader of its term follows it", () => {
  for (const type of [MessageType.app, MessageType.heartbeat]) {
    const member = candidate({ hardStateTerm: 3 });
    member.step(type, { from: 3n, term: 4 });
    assert.deepEqual([roleOf(member), member.core.leaderId, member.core.term], ["Follower", 3n, 4]);
  }
});

test("5.2: a split vote ends with a time-out and a new election", () => {
  const member = candidate();
  member.step(MessageType.voteResp, { from: 2n, term: 1, reject: true });
  member.ticks(2 * ELECTION_TICKS);
  assert.deepEqual([roleOf(member), member.core.term], ["Candidate", 2]);
});

test("5.2: election time-outs are spread from one to two times the minimum, and drawn anew", () => {
  for (const restart of ["Follower", "Candidate"]) {
    const member = new TestMember(1n, THREE);
    const seen = new Set<number>();
    for (let round = 0; round < 200; round++) {
      if (restart === "Follower")
        member.step(MessageType.heartbeat, { from: 2n, term: member.core.term + 1 });
      const before = member.core.term;
      let ticks = 0;
      for (; member.core.term === before; ticks++) member.ticks(1);
      seen.add(ticks);
      member.flush();
    }
    assert.ok(Math.min(...seen) >= ELECTION_TICKS && Math.max(...seen) < 2 * ELECTION_TICKS, restart);
    assert.equal(seen.size, ELECTION_TICKS, restart);
  }
});

test("5.2: spread time-outs make a group elect within a few rounds, one leader only", () => {
  const group = new TestGroup([1n, 2n, 3n, 4n, 5n], FIVE);
  const leaders = (): TestMember[] => [...group.members.values()].filter(({ core }) => core.isLeader);
  let ticks = 0;
  for (; leaders().length === 0 && ticks < 10 * ELECTION_TICKS; ticks++) {
    for (const { core } of group.members.values()) core.tick();
    group.settle();
  }
  const [leader] = leaders();
  assert.equal(leaders().length, 1);
  for (const { core } of group.members.values()) {
    assert.deepEqual([core.term, core.leaderId], [leader.core.term, leader.id]);
  }
});

test("5.2: a leader sends a heartbeat to everybody at every interval", () => {
  const member = new TestMember(1n, THREE);
  member.lead(2n);
  member.ticks(1);
  const heartbeats = member.flush().filter(({ type }) => type === MessageType.heartbeat);
  assert.deepEqual(
    heartbeats.map(({ to, term }) => [to, term]),
    [
      [2n, 1],
      [3n, 1],
    ],
  );
});
