import assert from "node:assert/strict";
import { test } from "node:test";
import { EntryType } from "../raft.ts";
import type { SnapshotMeta } from "../raft.ts";
import { MemoryEntryStore, MemoryBatch } from "./memory-entry-store.ts";
import { RaftLog, UNKNOWN_TERM } from "./raft-log.ts";
import { SILENT_LOGGER } from "./raft-logger.ts";

const NO_BYTES = new Uint8Array(0);

interface Fixture {
  readonly log: RaftLog;
  readonly store: MemoryEntryStore;
  readonly said: string[];
}

/** A log behind `base` (index and term) with durable entries of the given terms. */
function logOf(terms: readonly number[], base = { index: 0, term: 0 }, applyingBytesMax = Infinity): Fixture {
  const store = new MemoryEntryStore(base.index, entriesOf(terms, base.index + 1));
  const said: string[] = [];
  const log = new RaftLog({
    store,
    baseIndex: base.index,
    baseTerm: base.term,
    terms,
    applyingBytesMax,
    logger: { ...SILENT_LOGGER, info: (text) => said.push(text) },
  });
  return { log, store, said };
}

function entriesOf(terms: readonly number[], first: number) {
  return terms.map((term, i) => ({ type: EntryType.normal, term, index: first + i, data: NO_BYTES }));
}

/** Entries from `first` on as a message brings them. */
function slicesOf(terms: readonly number[], first: number) {
  const batch = new MemoryBatch(entriesOf(terms, first));
  return terms.length === 0 ? [] : [{ batch, from: 0, count: batch.count }];
}

function termsOf({ log }: Fixture): number[] {
  const terms: number[] = [];
  for (let index = log.firstIndex; index <= log.lastIndex; index++) terms.push(log.term(index));
  return terms;
}

function storedTerms({ store }: Fixture): number[] {
  return store.lastIndex < store.firstIndex
    ? []
    : store.entries(store.firstIndex, store.lastIndex).map(({ term }) => term);
}

void test("appended entries replace what differs, and nothing else", () => {
  const cases = [
    { previous: { index: 3, term: 2 }, sent: [], last: 3, terms: [1, 1, 2] },
    { previous: { index: 3, term: 2 }, sent: [2, 3], last: 5, terms: [1, 1, 2, 2, 3] },
    { previous: { index: 1, term: 1 }, sent: [1, 2], last: 3, terms: [1, 1, 2] },
    { previous: { index: 1, term: 1 }, sent: [1], last: 2, terms: [1, 1, 2] },
    { previous: { index: 1, term: 1 }, sent: [3, 3], last: 3, terms: [1, 3, 3] },
    { previous: { index: 0, term: 0 }, sent: [1, 1, 2, 4], last: 4, terms: [1, 1, 2, 4] },
    { previous: { index: 3, term: 1 }, sent: [2], last: -1, terms: [1, 1, 2] },
    { previous: { index: 4, term: 2 }, sent: [2], last: -1, terms: [1, 1, 2] },
    // Term 0 is what an unknown term must not be mistaken for.
    { previous: { index: 9, term: 0 }, sent: [2], last: -1, terms: [1, 1, 2] },
  ];
  for (const { previous, sent, last, terms } of cases) {
    const fixture = logOf([1, 1, 2]);
    assert.equal(fixture.log.tryAppend(previous, slicesOf(sent, previous.index + 1), 0), last);
    assert.deepEqual(termsOf(fixture), terms);
    assert.deepEqual(storedTerms(fixture), terms);
  }
});

void test("a leader's commit index counts up to the last entry it sent", () => {
  const { log } = logOf([1, 1, 2]);
  log.tryAppend({ index: 1, term: 1 }, slicesOf([1], 2), 3);
  assert.equal(log.committed, 2);
  log.tryAppend({ index: 3, term: 2 }, [], 9);
  assert.equal(log.committed, 3);
});

void test("committed entries are never replaced", () => {
  const { log } = logOf([1, 1, 2]);
  log.commitTo(2);
  assert.throws(() => log.tryAppend({ index: 1, term: 1 }, slicesOf([3], 2), 0), /committed entry/);
  assert.throws(() => log.commitTo(4), /out of range/);
});

void test("only an entry of the asked term commits", () => {
  const { log } = logOf([1, 1, 2]);
  assert.equal(log.tryCommit(2, 2), false);
  assert.equal(log.tryCommit(3, 2), true);
  assert.equal(log.tryCommit(3, 2), false);
  assert.equal(log.committed, 3);
});

void test("hints skip entries of terms that the other side cannot have", () => {
  const { log } = logOf([2, 2, 5, 5, 5], { index: 10, term: 1 });
  const cases = [
    { index: 15, term: 5, expected: { index: 15, term: 5 } },
    { index: 15, term: 4, expected: { index: 12, term: 2 } },
    { index: 15, term: 1, expected: { index: 10, term: 1 } },
    // Compacted away: the term is not known.
    { index: 15, term: 0, expected: { index: 9, term: 0 } },
    { index: 16, term: 6, expected: { index: 16, term: 0 } },
  ];
  for (const { index, term, expected } of cases)
    assert.deepEqual(log.findConflictByTerm(index, term), expected);
});

void test("terms are known from the last compacted entry to the end", () => {
  const { log, store } = logOf([1, 2, 2, 3]);
  log.commitTo(3);
  log.appliedTo(3);
  store.compact(2);
  log.compactTo(2);
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map((index) => log.term(index)),
    [UNKNOWN_TERM, UNKNOWN_TERM, 2, 2, 3, UNKNOWN_TERM],
  );
  assert.equal(log.firstIndex, 3);
  assert.equal(log.entriesFrom(2, Infinity), null);
  assert.deepEqual(log.entriesFrom(5, Infinity), []);
});

void test("marks of durability follow what storage says, unless the log has changed meanwhile", () => {
  const { log, said } = logOf([1]);
  log.tryAppend({ index: 1, term: 1 }, slicesOf([1, 1], 2), 0);
  assert.equal(log.unstableOffset, 2);
  log.acceptUnstable(3, null);
  assert.equal(log.unstableInProgress, 4);
  log.tryAppend({ index: 2, term: 1 }, slicesOf([2, 2], 3), 0);
  assert.deepEqual([log.unstableOffset, log.unstableInProgress], [2, 3]);
  log.stableTo({ index: 3, term: 1 });
  assert.equal(log.unstableOffset, 2, "the entry that was stored is not in the log any more");
  log.stableTo({ index: 3, term: 2 });
  assert.deepEqual([log.unstableOffset, log.unstableInProgress], [4, 4]);
  log.stableTo({ index: 3, term: 2 });
  log.tryAppend({ index: 1, term: 1 }, slicesOf([3], 2), 0);
  assert.deepEqual([log.unstableOffset, log.unstableInProgress], [2, 2]);
  assert.deepEqual(said, [
    "found conflict at index 3 [existing term: 1, conflicting term: 2]",
    "truncate the unstable entries before index 3",
    "entry at (index,term)=(3,1) mismatched with entry at (3,2) in unstable log; ignoring",
    "entry at index 3 missing from unstable log; ignoring",
    "found conflict at index 2 [existing term: 1, conflicting term: 3]",
    "replace the unstable entries from index 2",
  ]);
});

void test("a snapshot takes the place of the log, and holds application up until it is installed", () => {
  const fixture = logOf([1, 1, 1]);
  const { log, store } = fixture;
  const snapshot: SnapshotMeta = {
    index: 20,
    term: 4,
    confState: { voters: [1n], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
  };
  log.restore(snapshot);
  assert.deepEqual([log.firstIndex, log.lastIndex, log.committed, log.applied], [21, 20, 20, 0]);
  assert.equal(store.firstIndex, 21);
  assert.equal(log.nextSnapshot, snapshot);
  log.tryAppend({ index: 20, term: 4 }, slicesOf([4], 21), 21);
  assert.equal(log.hasCommittedEntries(true), false);
  log.acceptUnstable(21, snapshot);
  assert.equal(log.nextSnapshot, null);
  assert.equal(log.hasPendingSnapshot, true);
  log.stableSnapshotTo(20);
  log.appliedTo(20);
  assert.equal(log.hasPendingSnapshot, false);
  assert.equal(log.hasCommittedEntries(true), true);
  assert.equal(log.hasCommittedEntries(false), false, "the entry is not durable");
});

void test("entries on their way to the state machine are limited by their bytes", () => {
  const { log } = logOf([1, 1, 1, 1], { index: 0, term: 0 }, 12);
  log.commitTo(4);
  const [first] = log.committedEntries(true);
  assert.equal(first.count, 2, "two of six bytes each fit");
  log.acceptApplying(2, 12, true);
  assert.equal(log.hasCommittedEntries(true), false);
  log.appliedTo(1);
  assert.equal(log.hasCommittedEntries(true), false, "the handful counts until it is applied as a whole");
  log.appliedTo(2);
  assert.equal(log.committedEntries(true)[0].count, 2);
});

void test("a committed conf change that is not applied is found", () => {
  const { log } = logOf([1, 1]);
  log.append(EntryType.confChangeV2, 1, NO_BYTES, 0, 0);
  log.commitTo(2);
  assert.equal(log.hasUnappliedConfChange(), false);
  log.commitTo(3);
  assert.equal(log.hasUnappliedConfChange(), true);
  log.appliedTo(3);
  assert.equal(log.hasUnappliedConfChange(), false);
});
