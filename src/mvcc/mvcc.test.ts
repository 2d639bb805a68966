import assert from "node:assert/strict";
import { test } from "node:test";
import { createKeyMeta, createMvccStore, type Mvcc, type MvccOptions } from "./mvcc.ts";
import type { KeyRange } from "./store.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const range = (key: string, end: string | null): KeyRange => ({
  key: bytes(key),
  end: end === null ? null : bytes(end),
});
const ALL = range("\0", "\0");
const QUIET = { putRevision: () => {}, putTombstone: () => {}, deleteRevision: () => {} };

class Harness {
  readonly log: string[] = [];
  readonly stored = new Map<string, Uint8Array>();
  readonly reads: string[] = [];
  readonly store: Mvcc;
  readonly meta = createKeyMeta();

  constructor(options: Partial<MvccOptions> = {}) {
    const text = (value: Uint8Array, start: number, end: number): string =>
      Buffer.from(value.slice(start, end)).toString("hex");
    this.store = createMvccStore({
      valueBytesMax: 1 << 20,
      sink: {
        putRevision: (main, sub, value, start, end) => {
          this.stored.set(`${main}/${sub}`, value.slice(start, end));
          this.log.push(`put ${main}/${sub} ${text(value, start, end)}`);
        },
        putTombstone: (main, sub, value, start, end) =>
          this.log.push(`tombstone ${main}/${sub} ${text(value, start, end)}`),
        deleteRevision: (main, sub, tombstone) =>
          this.log.push(`delete ${main}/${sub}${tombstone ? "t" : ""}`),
      },
      source: {
        getRevision: (main, sub) => {
          this.reads.push(`${main}/${sub}`);
          return this.stored.get(`${main}/${sub}`);
        },
      },
      ...options,
    });
  }

  put(key: string, value: string, lease = 0): void {
    this.store.put(bytes(key), 0, bytes(key).length, bytes(value), 0, bytes(value).length, lease, 0);
  }

  txn(...changes: Array<() => void>): number {
    this.store.beginTxn();
    for (const change of changes) change();
    return this.store.endTxn();
  }

  keys(revision: number): string[] {
    const cursor = this.store.openCursor(ALL, revision);
    const keys: string[] = [];
    while (cursor.next(this.meta))
      keys.push(`${this.name()}@${this.meta.modRevision}/${this.meta.sub}v${this.meta.version}`);
    cursor.close();
    return keys;
  }

  name(): string {
    const target = Buffer.alloc(64);
    return target.toString("latin1", 0, this.store.copyKey(this.meta.keyId, target, 0));
  }

  value(): string {
    const target = Buffer.alloc(this.meta.encodedBytes);
    this.store.copyKeyValue(this.meta, target, 0);
    return target.toString("hex");
  }
}

test("the sink gets etcd's bytes, subs in order of execution", () => {
  const harness = new Harness();
  const { log, store } = harness;
  assert.equal(
    harness.txn(() => harness.put("k1", "v1")),
    2,
  );
  harness.txn(
    () => harness.put("k1", ""),
    () => harness.put("k0", "x", 0x1234),
  );
  harness.txn(() => assert.equal(store.deleteRange(range("k", "l")), 2));
  assert.equal(
    harness.txn(() => assert.equal(store.deleteRange(range("k", "l")), 0)),
    4,
  );
  assert.deepEqual(log, [
    "put 2/0 0a026b311002180220012a027631",
    "put 3/0 0a026b31100218032002",
    "put 3/1 0a026b301003180320012a017830b424",
    "tombstone 4/0 0a026b30",
    "tombstone 4/1 0a026b31",
  ]);
});

test("a txn reads its own writes; a cursor opened within does not see what follows", () => {
  const harness = new Harness();
  const { store } = harness;
  harness.txn(
    () => harness.put("a", "1"),
    () => harness.put("b", "1"),
  );
  store.beginTxn();
  harness.put("a", "2");
  assert.deepEqual(harness.keys(0), ["a@3/0v2", "b@2/1v1"]);
  assert.deepEqual(harness.keys(2), ["a@2/0v1", "b@2/1v1"]);
  const cursor = store.openCursor(ALL, 0);
  store.deleteRange(range("a", null));
  harness.put("c", "1");
  assert.equal(store.count(ALL, 0), 2);
  assert.equal(store.count(ALL, 2), 2);
  store.endTxn();
  // Nor does a compaction at the txn's own revision take from it what the txn superseded later.
  store.compact(3);
  for (let slices = 0; slices < 5; slices++) store.compactSlice(10);
  assert.equal(store.compactionWaitsForCursors, true);
  const seen: string[] = [];
  while (cursor.next(harness.meta))
    seen.push(`${harness.name()}@${harness.meta.modRevision}/${harness.meta.sub}`);
  assert.deepEqual(seen, ["a@3/0", "b@2/1"]);
  cursor.close();
  assert.deepEqual(harness.keys(0), ["b@2/1v1", "c@3/2v1"]);
});

test("compaction keeps what is live at its revision and tombstones of exactly that revision", () => {
  const harness = new Harness();
  const { store, log } = harness;
  harness.txn(() => harness.put("gone", "1")); // 2
  harness.txn(() => harness.put("kept", "1")); // 3
  harness.txn(() => store.deleteRange(range("gone", null))); // 4
  harness.txn(
    () => harness.put("kept", "2"),
    () => harness.put("last", "1"),
  ); // 5
  harness.txn(() => store.deleteRange(range("last", null))); // 6
  harness.txn(() => harness.put("kept", "3")); // 7
  log.length = 0;
  store.compact(6);
  assert.equal(store.compactRevision, 6);
  while (!store.compactSlice(1));
  assert.deepEqual(log.sort(), ["delete 2/0", "delete 3/0", "delete 4/0t", "delete 5/1"]);
  assert.deepEqual(harness.keys(6), ["kept@5/0v2"]);
  assert.equal(store.stats().keys, 2);
  log.length = 0;
  store.compact(7);
  while (!store.compactSlice(1));
  assert.deepEqual(log.sort(), ["delete 5/0", "delete 6/0t"]);
  assert.deepEqual([store.stats().keys, store.stats().olderRevisions], [1, 0]);
});

test("an open cursor holds back only the compaction of what it needs", () => {
  const harness = new Harness();
  const { store, log } = harness;
  for (let version = 1; version <= 6; version++) harness.txn(() => harness.put("k", String(version)));
  const cursor = store.openCursor(ALL, 4);
  log.length = 0;
  store.compact(6);
  for (let slices = 0; slices < 20; slices++) assert.equal(store.compactSlice(10), false);
  assert.equal(store.compactionWaitsForCursors, true);
  assert.deepEqual(log.sort(), ["delete 2/0", "delete 3/0"]);
  assert.equal(cursor.next(harness.meta), true);
  assert.equal(harness.meta.modRevision, 4);
  cursor.close();
  cursor.close();
  while (!store.compactSlice(1));
  assert.equal(store.compactionWaitsForCursors, false);
  assert.deepEqual(log.sort(), ["delete 2/0", "delete 3/0", "delete 4/0", "delete 5/0"]);
});

test("a tombstone is removed after everything older of its key, whatever the slices", () => {
  const harness = new Harness();
  const { store, log } = harness;
  for (let round = 0; round < 3; round++) {
    harness.txn(() => harness.put("k", "1"));
    harness.txn(() => harness.put("k", "2"));
    harness.txn(() => store.deleteRange(range("k", null)));
  }
  harness.txn(() => harness.put("other", ""));
  log.length = 0;
  store.compact(store.revision);
  while (!store.compactSlice(1));
  const order = log.map((line) => ({ main: Number(/\d+/.exec(line)?.[0]), tombstone: line.endsWith("t") }));
  assert.equal(order.length, 9);
  for (const [index, { main, tombstone }] of order.entries()) {
    if (tombstone)
      assert.ok(
        order.slice(index).every((later) => later.main >= main),
        log.join("; "),
      );
  }
  assert.equal(store.stats().keys, 1);
});

test("an evicted value is read once and then from memory, but a long walk leaves the memory alone", () => {
  const harness = new Harness({ valueBytesMax: 16_384, valueChunkBytes: 4096 });
  const { store, meta, reads } = harness;
  for (let key = 0; key < 400; key++)
    harness.txn(() => harness.put(`k${String(key).padStart(3, "0")}`, "x".repeat(100)));
  store.committed(store.revision);
  for (let read = 0; read < 2; read++) {
    assert.ok(store.lookup(bytes("k150"), 0, 4, 0, meta));
    assert.equal(harness.value(), Buffer.from(harness.stored.get("152/0") as Uint8Array).toString("hex"));
  }
  assert.deepEqual(reads, ["152/0"]);
  const cursor = store.openCursor(ALL, 0);
  while (cursor.next(meta)) harness.value();
  cursor.close();
  assert.ok(reads.length > 200);
  reads.length = 0;
  assert.ok(store.lookup(bytes("k399"), 0, 4, 0, meta));
  harness.value();
  assert.deepEqual(reads, [], "the newest value was not flushed by the walk");
});

test("counts at an older revision are right within and beyond the change log", () => {
  const store = createMvccStore({ valueBytesMax: 0, source: { getRevision: () => undefined }, sink: QUIET });
  const key = new Uint8Array(4);
  const view = new DataView(key.buffer);
  for (let number = 0; number < 70_000; number++) {
    store.beginTxn();
    view.setUint32(0, number);
    store.put(key, 0, 4, key, 0, 0, 0, 0);
    store.endTxn();
    store.committed(store.revision);
  }
  for (const revision of [2, 100, 4_000, 5_000, 69_999, 70_001])
    assert.equal(store.count(ALL, revision), revision - 1);
  const some = { key: Uint8Array.of(0, 0, 1), end: Uint8Array.of(0, 0, 2) };
  for (const [revision, count] of [
    [200, 0],
    [300, 43],
    [60_000, 256],
    [0, 256],
  ])
    assert.equal(store.count(some, revision), count);
});

test("needsCommit asks for a pause, and a commit ends it", () => {
  const harness = new Harness({ uncommittedBytesMax: 100_000, valueChunkBytes: 4096 });
  while (!harness.store.needsCommit) harness.txn(() => harness.put("k", "v".repeat(1000)));
  assert.ok(harness.store.uncommittedBytes > 100_000 && harness.store.uncommittedBytes < 110_000);
  harness.store.committed(harness.store.revision);
  assert.equal(harness.store.uncommittedBytes, 0);
});

test("what is read again while storage lags behind takes no memory beyond the budget, and holds up no write", () => {
  const budget = 64 * 1024;
  const harness = new Harness({ valueBytesMax: budget, uncommittedBytesMax: budget, valueChunkBytes: 4096 });
  const { store, meta } = harness;
  const keys = 400;
  for (let i = 0; i < keys; i++) harness.txn(() => harness.put(`k${i}`, "v".repeat(1000)));
  store.committed(store.revision);
  harness.txn(() => harness.put("last", "v"));
  const target = new Uint8Array(2000);
  for (let i = 0; i < keys; i++) {
    const key = bytes(`k${i}`);
    assert.ok(store.lookup(key, 0, key.length, 0, meta));
    store.copyKeyValue(meta, target, 0);
  }
  assert.ok(store.stats().valueBytes <= budget, `${store.stats().valueBytes} bytes of values`);
  assert.equal(store.needsCommit, false);
  store.committed(store.revision);
  harness.reads.length = 0;
  for (let round = 0; round < 2; round++) {
    assert.ok(store.lookup(bytes("k200"), 0, 4, 0, meta));
    store.copyKeyValue(meta, target, 0);
  }
  assert.deepEqual(harness.reads, ["202/0"], "then they are taken into memory again");
});

test("put, delete and compact for ever does not grow the memory", () => {
  const store = createMvccStore({
    valueBytesMax: 0,
    valueChunkBytes: 4096,
    source: { getRevision: () => undefined },
    sink: QUIET,
  });
  const sizes: number[] = [];
  for (let round = 0; round < 8; round++) {
    for (let number = 0; number < 20_000; number++) {
      const key = bytes(`round ${round} ${"y".repeat(number % 40)} ${number}`);
      store.beginTxn();
      store.put(key, 0, key.length, key, 0, 0, 0, 0);
      store.endTxn();
    }
    store.beginTxn();
    assert.equal(store.deleteRange(ALL), round === 0 ? 20_000 : 20_001);
    store.endTxn();
    store.beginTxn();
    store.put(bytes("mark"), 0, 4, bytes("mark"), 0, 0, 0, 0);
    store.endTxn();
    store.committed(store.revision);
    store.compact(store.revision);
    while (!store.compactSlice(1000));
    const stats = store.stats();
    assert.deepEqual([stats.keys, stats.olderRevisions], [1, 0]);
    sizes.push(
      stats.keyRecordBytes +
        stats.keyArenaBytes +
        stats.hashBytes +
        stats.treeBytes +
        stats.historyBytes +
        stats.valueBytes,
    );
  }
  assert.ok(sizes[7] <= sizes[1] * 1.1, sizes.join(" "));
});
