/** Raft paper, section 5.3: log replication; section 5.5: what crashes and repeated messages do to it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageType } from "../raft.ts";
import { TestGroup } from "./testing/test-group.ts";
import { entry, slicesOf, TestMember, textOf, voters } from "./testing/test-member.ts";

const THREE = voters(1n, 2n, 3n);
const FIVE = voters(1n, 2n, 3n, 4n, 5n);

test("5.3: a new leader begins its term with an empty entry, and sends it to everybody", () => {
  const member = new TestMember(1n, THREE, { terms: [1, 1], hardState: { term: 1, vote: 0n, commit: 0 } });
  const appends = member.lead(2n).filter(({ type }) => type === MessageType.app);
  assert.deepEqual(
    appends.map(({ to, term, index, logTerm }) => [to, term, index, logTerm]),
    [
      [2n, 2, 2, 1],
      [3n, 2, 2, 1],
    ],
  );
  const [{ batch, from, count }] = appends[0].entries;
  assert.deepEqual([count, batch.term(from), batch.dataEnd(from) - batch.dataStart(from)], [1, 2, 0]);
});

test("5.3: an entry is committed once a majority holds it, and only then", () => {
  const rows: [size: number, acknowledged: bigint[], committed: boolean][] = [
    [1, [], true],
    [3, [], false],
    [3, [2n], true],
    [3, [2n, 3n], true],
    [5, [2n], false],
    [5, [2n, 3n], true],
    [5, [2n, 3n, 4n], true],
  ];
  for (const [size, acknowledged, committed] of rows) {
    const ids = Array.from({ length: size }, (_, i) => BigInt(i + 1));
    const member = new TestMember(1n, voters(...ids));
    member.lead(...ids.slice(1));
    for (const from of ids.slice(1)) member.step(MessageType.appResp, { from, term: 1, index: 1 });
    member.flush();
    member.propose("x");
    member.flush();
    for (const from of acknowledged) member.step(MessageType.appResp, { from, term: 1, index: 2 });
    member.flush();
    assert.equal(member.core.commitIndex === 2, committed, `${size} ${acknowledged.join()}`);
    assert.deepEqual(member.applied, committed ? ["x"] : []);
  }
});

test("5.3: a leader's own entry counts only once its own storage holds it", () => {
  const member = new TestMember(1n, THREE);
  member.lead(2n);
  const { core } = member;
  member.step(MessageType.appResp, { from: 2n, term: 1, index: 1 });
  member.flush();
  assert.equal(core.commitIndex, 1);
  member.propose("x");
  // The follower is faster than the own disk.
  const hasAppend = core.ready().messages.some(({ type }) => type === MessageType.app);
  assert.ok(hasAppend, "appends leave before the own flush");
  core.advance();
  member.step(MessageType.appResp, { from: 2n, term: 1, index: 2 });
  assert.equal(core.commitIndex, 1);
  core.entriesStored(2, 1, 1);
  assert.equal(core.commitIndex, 2);
});

test("5.3: followers apply what the leader says is committed, in log order", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  group.elect(1n);
  for (const text of ["a", "b", "c"]) group.propose(1n, text);
  for (const { applied } of group.members.values()) assert.deepEqual(applied, ["a", "b", "c"]);
});

test("5.3: a follower commits no further than it knows its log to be the leader's", () => {
  const rows: [entries: number[], commit: number, expected: number][] = [
    [[1, 1], 1, 1],
    [[1, 1], 2, 2],
    [[1], 2, 1],
    [[], 2, 0],
  ];
  for (const [terms, commit, expected] of rows) {
    const member = new TestMember(1n, THREE, { terms: [2, 2], hardState: { term: 2, vote: 0n, commit: 0 } });
    const entries = slicesOf(terms.map((_, i) => entry(3, 1 + i)));
    member.step(MessageType.app, { from: 2n, term: 3, commit, entries });
    assert.equal(member.core.commitIndex, expected, `${terms.join()} ${commit}`);
  }
});

test("5.3: an append that does not follow the follower's log is rejected, with a hint where it may match", () => {
  // The follower's log has terms 1 1 2.
  const rows: [logTerm: number, index: number, reject: boolean, hint: number, hintTerm: number][] = [
    [0, 0, false, 0, 0],
    [1, 1, false, 0, 0],
    [2, 3, false, 0, 0],
    [3, 3, true, 3, 2],
    [1, 3, true, 2, 1],
    [3, 7, true, 3, 2],
  ];
  for (const [logTerm, index, reject, hint, hintTerm] of rows) {
    const member = new TestMember(1n, THREE, { terms: [1, 1, 2] });
    member.step(MessageType.app, { from: 2n, term: 3, logTerm, index });
    const [answer] = member.flush();
    assert.equal(answer.reject, reject, `${logTerm}/${index}`);
    if (reject) assert.deepEqual([answer.index, answer.rejectHint, answer.logTerm], [index, hint, hintTerm]);
  }
});

test("5.3: entries that differ are replaced with all behind them, equal ones stay", () => {
  const rows: [index: number, logTerm: number, terms: number[], expected: number[]][] = [
    [2, 2, [3], [1, 2, 3]],
    [1, 1, [3, 4], [1, 3, 4]],
    [0, 0, [1], [1, 2, 2]],
    [0, 0, [1, 2], [1, 2, 2]],
    [0, 0, [3], [3]],
    [3, 2, [4, 4], [1, 2, 2, 4, 4]],
  ];
  for (const [index, logTerm, terms, expected] of rows) {
    const member = new TestMember(1n, THREE, { terms: [1, 2, 2] });
    const entries = slicesOf(terms.map((term, i) => entry(term, index + 1 + i)));
    member.step(MessageType.app, { from: 2n, term: 4, index, logTerm, entries });
    member.flush();
    assert.deepEqual(member.terms, expected, `${index}: ${terms.join()}`);
    assert.deepEqual(
      member.entries.map(({ data }) => textOf(data)),
      expected.map((term, i) => `${term}.${i + 1}`),
    );
  }
});

test("5.3, figure 7: a new leader brings any follower's log in line with its own", () => {
  const leaderTerms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
  const followers: Record<string, number[]> = {
    a: [1, 1, 1, 4, 4, 5, 5, 6, 6],
    b: [1, 1, 1, 4],
    c: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    d: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    e: [1, 1, 1, 4, 4, 4, 4],
    f: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    empty: [],
  };
  for (const [name, terms] of Object.entries(followers)) {
    const group = new TestGroup([], THREE);
    const hardState = { term: 7, vote: 0n, commit: 0 };
    group.add(1n, THREE, { terms: leaderTerms, hardState });
    group.add(2n, THREE, { terms, hardState });
    group.add(3n, THREE, { hardState });
    group.elect(1n);
    // Those who refused their vote, having more, are told by the next heartbeat.
    group.tick(1n);
    const expected = [...leaderTerms, 8];
    assert.deepEqual(group.get(1n).terms, expected, name);
    assert.deepEqual(group.get(2n).terms, expected, name);
    assert.deepEqual(group.get(2n).applied, group.get(1n).applied, name);
  }
});

test("5.3: a log that parts over many entries is found by one rejection a term, not one an entry", () => {
  const group = new TestGroup([], THREE);
  const ours = [...new Array<number>(10).fill(1), ...new Array<number>(200).fill(3)];
  const theirs = [...new Array<number>(10).fill(1), ...new Array<number>(200).fill(2)];
  group.add(1n, THREE, { terms: ours });
  group.add(2n, THREE, { terms: theirs });
  group.add(3n, THREE, {});
  group.elect(1n);
  const rejections = group.delivered.filter(
    ({ type, from, reject }) => type === MessageType.appResp && from === 2n && reject,
  );
  assert.equal(rejections.length, 1);
  assert.deepEqual(group.get(2n).terms, group.get(1n).terms);
});

test("5.3: a leader never overwrites or deletes its own entries", () => {
  const member = new TestMember(1n, THREE, { terms: [1, 2] });
  member.lead(2n);
  member.propose("mine");
  member.flush();
  const before = member.entries;
  for (const parts of [
    { index: 0, logTerm: 0 },
    { index: 1, logTerm: 1 },
  ]) {
    // Of an old term, then of its own: nobody but itself leads that.
    member.step(MessageType.app, {
      from: 2n,
      term: 2,
      ...parts,
      entries: slicesOf([entry(2, parts.index + 1, "other")]),
    });
    member.flush();
  }
  assert.deepEqual(member.entries, before);
});

test("5.3: a slow follower delays nobody, and gets everything when it is back", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  group.elect(1n);
  group.isolate(3n);
  const texts = Array.from({ length: 50 }, (_, i) => `entry ${i}`);
  for (const text of texts) group.propose(1n, text);
  assert.deepEqual(group.get(1n).applied, texts);
  assert.deepEqual(group.get(3n).applied, []);
  group.heal();
  group.tick(1n, 2);
  assert.deepEqual(group.get(3n).applied, texts);
});

test("5.3: at most so many appends, and so many bytes, are under way to a follower", () => {
  for (const rules of [{ inflightCountMax: 3 }, { inflightBytesMax: 30, messageBytesMax: 15 }]) {
    const member = new TestMember(1n, THREE, { rules });
    member.lead(2n);
    member.step(MessageType.appResp, { from: 2n, term: 1, index: 1 });
    member.flush();
    let carried = 0;
    for (let i = 0; i < 20; i++) {
      member.propose("ten bytes.");
      const appends = member
        .flush()
        .filter(({ type, to, entries }) => type === MessageType.app && to === 2n && entries.length > 0);
      carried += appends.length;
    }
    assert.equal(carried, 3, JSON.stringify(rules));
    member.step(MessageType.appResp, { from: 2n, term: 1, index: 2 });
    const more = member
      .flush()
      .filter(({ type, to, entries }) => type === MessageType.app && to === 2n && entries.length > 0);
    assert.ok(more.length >= 1, "an acknowledgement makes room");
  }
});

test("5.5: messages that come twice do no harm", () => {
  const group = new TestGroup([1n, 2n, 3n], THREE);
  group.elect(1n);
  group.propose(1n, "a");
  group.propose(1n, "b");
  const before = [...group.members.values()].map(({ terms, applied, core }) => [
    terms,
    [...applied],
    core.commitIndex,
  ]);
  for (const message of group.delivered.slice()) group.get(message.to).core.step(message);
  group.settle();
  const after = [...group.members.values()].map(({ terms, applied, core }) => [
    terms,
    [...applied],
    core.commitIndex,
  ]);
  assert.deepEqual(after, before);
});

test("5.5: a member that restarts goes on with what its storage holds", () => {
  const group = new TestGroup([1n, 2n, 3n, 4n, 5n], FIVE);
  group.elect(1n);
  group.propose(1n, "a");
  const { terms, core } = group.get(2n);
  const hardState = { term: core.term, vote: core.vote, commit: core.commitIndex };
  group.isolate(2n);
  group.propose(1n, "b");
  group.heal();
  const restarted = group.add(2n, FIVE, { terms, hardState });
  group.tick(1n, 2);
  assert.deepEqual(restarted.terms, group.get(1n).terms);
  assert.equal(restarted.core.commitIndex, group.get(1n).core.commitIndex);
});
