/** Raft paper, section 5.4: who may be elected, and what a new leader may call committed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../base/prng.ts";
import { MessageType } from "../raft.ts";
import { TestGroup } from "./testing/test-group.ts";
import { TestMember, voters } from "./testing/test-member.ts";

const THREE = voters(1n, 2n, 3n);
const FIVE = voters(1n, 2n, 3n, 4n, 5n);

test("5.4.1: a vote goes only to a log that is at least as complete", () => {
  const rows: [terms: number[], logTerm: number, index: number, granted: boolean][] = [
    // Same last term: the longer log wins.
    [[1], 1, 1, true],
    [[1], 1, 2, true],
    [[1, 1], 1, 1, false],
    // Higher last term wins, whatever the length.
    [[1, 1], 2, 1, true],
    [[1], 2, 2, true],
    [[2], 1, 1, false],
    [[2], 1, 9, false],
    [[], 0, 0, true],
  ];
  for (const [terms, logTerm, index, granted] of rows) {
    const member = new TestMember(1n, THREE, { terms });
    member.step(MessageType.vote, { from: 2n, term: 5, logTerm, index });
    const [answer] = member.flush();
    assert.equal(answer.reject, !granted, `${terms.join()} ${logTerm}/${index}`);
    assert.equal(member.core.term, 5);
  }
});

test("5.4.1: a member that lacks a committed entry cannot win", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  group.elect(1n);
  group.isolate(3n);
  group.propose(1n, "committed");
  group.split([1n], [2n, 3n]);
  group.elect(3n);
  assert.equal(group.get(3n).core.isLeader, false);
  group.elect(2n);
  assert.equal(group.get(2n).core.isLeader, true);
  assert.deepEqual(group.get(3n).applied, ["committed"]);
});

test("5.4.2: a leader counts replicas only of entries of its own term", () => {
  const rows: [index: number, committed: number][] = [
    [1, 0],
    [2, 0],
    [3, 3],
  ];
  for (const [index, committed] of rows) {
    const member = new TestMember(1n, THREE, { terms: [1, 2], hardState: { term: 2, vote: 0n, commit: 0 } });
    member.lead(2n);
    member.step(MessageType.appResp, { from: 2n, term: 3, index });
    assert.equal(member.core.commitIndex, committed, `${index}`);
  }
});

test("5.4.2, figure 8: an old entry on a majority can still be replaced; under one of the present term it cannot", () => {
  const build = (): TestGroup => {
    const group = new TestGroup([], FIVE);
    const term = (value: number): { hardState: { term: number; vote: bigint; commit: number } } => ({
      hardState: { term: value, vote: 0n, commit: 0 },
    });
    // (b) S1 led term 2 and reached S2; (c) S5 led term 3 alone.
    group.add(1n, FIVE, { terms: [1, 2], ...term(3) });
    group.add(2n, FIVE, { terms: [1, 2], ...term(3) });
    group.add(3n, FIVE, { terms: [1], ...term(3) });
    group.add(4n, FIVE, { terms: [1], ...term(3) });
    group.add(5n, FIVE, { terms: [1, 3], ...term(3) });
    return group;
  };

  // (c) S1 leads term 4 and brings the entry of term 2 to S3; its own entry of term 4 reaches nobody.
  const lost = build();
  lost.split([1n, 2n, 3n], [4n, 5n]);
  const { core } = lost.get(1n);
  core.campaign();
  lost.loses = ({ from, to, type }) => from > 3n || to > 3n || type === MessageType.app;
  lost.settle();
  assert.equal(core.isLeader, true);
  const [old] = lost.get(1n).store.slices(2, 2, 1000);
  for (const id of [2n, 3n]) {
    lost.get(id).step(MessageType.app, { from: 1n, term: 4, index: 1, logTerm: 1, entries: [old] });
    for (const answer of lost.get(id).flush()) core.step(answer);
  }
  assert.deepEqual(lost.get(3n).terms, [1, 2], "the entry of term 2 is on three of five");
  assert.deepEqual(
    core.progress().map(({ match }) => match),
    [3, 2, 2, 0, 0],
  );
  assert.equal(core.commitIndex, 0);
  // (d) So S5 may lead term 5 and replace it.
  lost.split([1n], [2n, 3n, 4n, 5n]);
  lost.elect(5n);
  // The first election only makes it learn of term 4.
  if (!lost.get(5n).core.isLeader) lost.elect(5n);
  assert.equal(lost.get(5n).core.isLeader, true);
  assert.deepEqual(lost.get(2n).terms.slice(0, 2), [1, 3]);

  // (e) With the entry of term 4 on a majority, both are committed, and S5 cannot win.
  const kept = build();
  kept.split([1n, 2n, 3n], [4n, 5n]);
  kept.elect(1n);
  assert.equal(kept.get(1n).core.commitIndex, 3);
  kept.split([1n], [2n, 3n, 4n, 5n]);
  for (let i = 0; i < 3; i++) kept.elect(5n);
  assert.equal(kept.get(5n).core.isLeader, false);
  assert.deepEqual(kept.get(2n).terms, [1, 2, 4]);
});

test("5.4.3: over random partitions, one leader a term, equal logs at equal entries, nothing applied is lost", () => {
  let terms = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const prng = new Prng(seed);
    const ids = [1n, 2n, 3n, 4n, 5n];
    const group = new TestGroup(ids, FIVE, { preVote: seed % 2 === 0, checkQuorum: seed % 3 === 0 });
    const leaderOf = new Map<number, bigint>();
    for (let step = 0; step < 60; step++) {
      const event = prng.below(10);
      if (event < 3) {
        const side = ids.filter(() => prng.chance(0.5));
        group.split(
          side,
          ids.filter((id) => !side.includes(id)),
        );
      } else if (event < 5) {
        const partitioned = group.loses;
        group.loses = (message) => partitioned(message) || prng.chance(0.2);
      }
      if (event === 9) group.heal();
      for (const { core } of group.members.values()) {
        if (prng.chance(0.6)) for (let i = prng.below(12); i > 0; i--) core.tick();
      }
      group.settle();
      for (const member of group.members.values()) {
        if (!member.core.isLeader) continue;
        const known = leaderOf.get(member.core.term) ?? member.id;
        assert.equal(known, member.id, `seed ${seed}: two leaders in term ${member.core.term}`);
        leaderOf.set(member.core.term, member.id);
        if (prng.chance(0.7)) group.propose(member.id, `${seed}/${step}/${member.id}`);
      }
      checkLogs(group, seed);
    }
    terms += leaderOf.size;
  }
  assert.ok(terms > 100, `only ${terms} leaders`);
});

/** Log matching and state machine safety. */
function checkLogs(group: TestGroup, seed: number): void {
  const members = [...group.members.values()];
  const longest = members.reduce((a, b) => (a.applied.length >= b.applied.length ? a : b)).applied;
  for (const { applied } of members)
    assert.deepEqual(applied, longest.slice(0, applied.length), `seed ${seed}`);
  for (const a of members) {
    for (const b of members) {
      let index = Math.min(a.terms.length, b.terms.length) - 1;
      while (index >= 0 && a.terms[index] !== b.terms[index]) index--;
      assert.deepEqual(
        a.terms.slice(0, index + 1),
        b.terms.slice(0, index + 1),
        `seed ${seed}: ${a.id} and ${b.id}`,
      );
    }
  }
}
