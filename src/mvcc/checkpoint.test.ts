import assert from "node:assert/strict";
import { test } from "node:test";
import { createKeyMeta, createMvccStore, type Mvcc } from "./mvcc.ts";

const ALL = { key: new Uint8Array(1), end: new Uint8Array(1) };
const SINK = { putRevision: () => {}, putTombstone: () => {}, deleteRevision: () => {} };
const newStore = (): Mvcc =>
  createMvccStore({ valueBytesMax: 0, source: { getRevision: () => undefined }, sink: SINK });

function put(store: Mvcc, text: string): void {
  const key = Buffer.from(text);
  store.beginTxn();
  store.put(key, 0, key.length, key, 0, key.length, 0, 0);
  store.endTxn();
}

function filled(): Mvcc {
  const store = newStore();
  for (let number = 0; number < 5_000; number++) put(store, `key ${(number * 7919) % 5_000}`);
  for (let number = 0; number < 500; number++) put(store, `key ${number}`);
  store.committed(store.revision);
  return store;
}

const copy = (store: Mvcc): Uint8Array[] => store.serialize().map((chunk) => chunk.slice());

test("a loaded checkpoint answers, grows and shrinks as the original", () => {
  const original = filled();
  const store = newStore();
  const backend = { revision: original.revision, scheduledCompactRevision: -1 };
  assert.deepEqual(store.loadCheckpoint(copy(original), backend), { revision: original.revision });
  store.finishRestore({ scheduledCompactRevision: -1, finishedCompactRevision: -1 });
  for (const each of [original, store]) {
    for (let number = 4_000; number < 9_000; number++) put(each, `key ${number}`);
    each.beginTxn();
    assert.equal(each.deleteRange({ key: Buffer.from("key 3"), end: Buffer.from("key 5") }), 1111 + 1111);
    each.endTxn();
    each.compact(each.revision);
    while (!each.compactSlice(100));
  }
  const [a, b] = [createKeyMeta(), createKeyMeta()];
  const [left, right] = [original.openCursor(ALL, 0), store.openCursor(ALL, 0)];
  while (left.next(a)) {
    assert.ok(right.next(b));
    assert.deepEqual({ ...a, location: 0 }, { ...b, location: 0 });
  }
  assert.equal(right.next(b), false);
  assert.equal(store.stats().keys, original.stats().keys);
});

test("a compaction that a checkpoint interrupts is carried out after the restart", () => {
  const deleted: string[] = [];
  const sink = { ...SINK, deleteRevision: (main: number) => void deleted.push(String(main)) };
  const original = createMvccStore({ valueBytesMax: 0, source: { getRevision: () => undefined }, sink });
  for (let version = 0; version < 10; version++) put(original, "key");
  original.beginTxn();
  original.deleteRange(ALL);
  original.endTxn();
  put(original, "other");
  original.compact(13);
  assert.equal(original.compactSlice(4), false);
  assert.ok(deleted.length > 0 && deleted.length < 10);
  const store = newStore();
  assert.deepEqual(store.loadCheckpoint(copy(original), { revision: 13, scheduledCompactRevision: 13 }), {
    revision: 13,
  });
  store.finishRestore({ scheduledCompactRevision: 13, finishedCompactRevision: -1 });
  while (!store.compactSlice(1));
  assert.deepEqual([store.stats().keys, store.stats().olderRevisions], [1, 0]);
  // What the checkpoint no longer knows of must have been removed before it was made.
  assert.equal(deleted.length, 11);
});

test("what a later compaction removed from the backend leaves an older checkpoint's index too", () => {
  const original = filled();
  const chunks = copy(original);
  const store = newStore();
  assert.equal(original.stats().olderRevisions, 500);
  const revision = original.revision;
  assert.deepEqual(store.loadCheckpoint(chunks, { revision, scheduledCompactRevision: revision }), {
    revision,
  });
  store.finishRestore({ scheduledCompactRevision: revision, finishedCompactRevision: revision });
  while (!store.compactSlice(100));
  assert.equal(store.stats().olderRevisions, 0);
});

test("a checkpoint that does not fit is refused", () => {
  const chunks = copy(filled());
  const revision = 5_501;
  const load = (changed: Uint8Array[], backend = { revision, scheduledCompactRevision: -1 }): unknown =>
    newStore().loadCheckpoint(changed, backend);
  assert.deepEqual(load(chunks), { revision });
  assert.deepEqual(load([]), { refusal: "layout" });
  const other = new Float64Array(chunks[0].slice().buffer);
  other[1]++;
  assert.deepEqual(load([new Uint8Array(other.buffer), ...chunks.slice(1)]), { refusal: "layout" });
  assert.deepEqual(load(chunks, { revision, scheduledCompactRevision: revision + 1 }), {
    refusal: "older than the compaction",
  });
  assert.deepEqual(load(chunks, { revision: revision - 1, scheduledCompactRevision: -1 }), {
    refusal: "newer than the backend",
  });
  for (let index = 1; index < chunks.length; index++) {
    assert.deepEqual(load(chunks.toSpliced(index, 1)), { refusal: "lengths" }, `without chunk ${index}`);
    if (chunks[index].length === 0) continue;
    const short = chunks[index].subarray(0, chunks[index].length - 1);
    assert.deepEqual(load(chunks.toSpliced(index, 1, short)), { refusal: "lengths" }, `chunk ${index} cut`);
  }
});

test("restore refuses malformed and unordered records, and goes on with an unfinished compaction", () => {
  const record = Buffer.from("0a026b311002180220012a027631", "hex");
  assert.equal(newStore().restoreRevision(2, 0, false, record.subarray(0, -1)), false);
  assert.equal(
    newStore().restoreRevision(2, 0, false, record.subarray(0, 4)),
    false,
    "a put without a version",
  );
  const store = newStore();
  assert.ok(store.restoreRevision(2, 0, false, record));
  assert.equal(store.restoreRevision(2, 0, false, record), false);
  assert.ok(store.restoreRevision(3, 0, false, record));
  assert.ok(store.restoreRevision(4, 0, true, record.subarray(0, 4)));
  store.finishRestore({ scheduledCompactRevision: 9, finishedCompactRevision: 2 });
  assert.deepEqual([store.revision, store.compactRevision], [9, 9]);
  assert.equal(store.stats().keys, 1);
  while (!store.compactSlice(1));
  assert.equal(store.stats().keys, 0);
});
