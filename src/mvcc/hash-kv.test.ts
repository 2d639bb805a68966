import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "../base/crc32c.ts";
import { KeepFilter, sortRevisions } from "./hash-kv.ts";
import { createKeyMeta, createMvccStore, type Mvcc } from "./mvcc.ts";

/** Bucket `key` of a real etcd: main/sub, `t` for a tombstone, value. */
const RECORDS = parseRecords(`2/0 0a026b311002180220012a027631
3/0 0a026b321003180320012a027632
4/0 0a026b331004180420012a027633
5/0 0a026b341005180520012a027634
6/0 0a026b351006180620012a027635
7/0 0a026b361007180720012a027636
8/0 0a026b371008180820012a027637
9/0 0a026b381009180920012a027638
10/0 0a026b311002180a20022a03763162
11/0t 0a026b32
12/0 0a026b32100c180c20012a05616761696e
13/0t 0a026b33
14/0 0a0161100e180e20012a0131
14/1 0a0162100e180e20012a0132
14/2t 0a026b34
15/0 0a066c6561736564100f180f20012a01783090e080fcb3c0a8e917`);

/** A key put twice and deleted in a real etcd, and the hashes it gave at 4. */
const EMPTIED = parseRecords(`2/0 0a01611002180220012a0131
3/0 0a01611002180320022a0132
4/0t 0a0161`);
const HASH_EMPTIED = 1363947557;
const HASH_EMPTIED_COMPACTED_TO_3 = 573317793;

interface HistoryRecord {
  readonly main: number;
  readonly sub: number;
  readonly tombstone: boolean;
  readonly value: Uint8Array;
}

function parseRecords(text: string): HistoryRecord[] {
  return text.split("\n").map((line) => {
    const [, main, sub, tombstone, value] = /^(\d+)\/(\d+)(t?) (\w+)$/.exec(line) as RegExpExecArray;
    return {
      main: Number(main),
      sub: Number(sub),
      tombstone: tombstone === "t",
      value: Buffer.from(value, "hex"),
    };
  });
}

function restored(deleted: Set<string>, records = RECORDS): Mvcc {
  const store = createMvccStore({
    valueBytesMax: 0,
    source: {
      getRevision: (main, sub) => records.find((record) => record.main === main && record.sub === sub)?.value,
    },
    sink: {
      putRevision: () => assert.fail("nothing is written"),
      putTombstone: () => assert.fail("nothing is written"),
      deleteRevision: (main, sub) => deleted.add(`${main}/${sub}`),
    },
  });
  for (const { main, sub, tombstone, value } of records)
    assert.ok(store.restoreRevision(main, sub, tombstone, value));
  store.finishRestore({ scheduledCompactRevision: -1, finishedCompactRevision: -1 });
  return store;
}

/** HashKV by the book (interop 6.9), so that the keep set is checked against hashes that a real etcd gave. */
function hash(store: Mvcc, deleted: Set<string>, { records = RECORDS, revision = 15 } = {}): number {
  const keep = store.hashKeepSet(revision);
  const filter = new KeepFilter(keep);
  let crc = crc32c(0, Buffer.from("key"), 0, 3);
  for (const { main, sub, tombstone, value } of records) {
    if (main > revision || deleted.has(`${main}/${sub}`)) continue;
    if (main === keep.compactRevision && tombstone) continue;
    if (main <= keep.compactRevision && !filter.includes(main, sub)) continue;
    const key = Buffer.alloc(tombstone ? 18 : 17);
    key.writeBigUInt64BE(BigInt(main), 0);
    key[8] = 0x5f;
    key.writeBigUInt64BE(BigInt(sub), 9);
    if (tombstone) key[17] = 0x74;
    crc = crc32c(crc32c(crc, key, 0, key.length), value, 0, value.length);
  }
  return crc;
}

test("HashKV of a real etcd's records, before and after a compaction, carried out or not", () => {
  const deleted = new Set<string>();
  const store = restored(deleted);
  assert.equal(store.revision, 15);
  assert.equal(hash(store, deleted), 1172604007);
  store.compact(8);
  assert.equal(hash(store, deleted), 930155810);
  while (!store.compactSlice(1));
  // Nothing up to 8 was superseded at 8.
  assert.deepEqual([...deleted], []);
  store.compact(13);
  const scheduled = hash(store, deleted);
  while (!store.compactSlice(1));
  assert.deepEqual([...deleted].sort(), ["11/0", "2/0", "3/0", "4/0"]);
  assert.equal(hash(store, deleted), scheduled);
});

test("where no key lives, the hash does not tell whether a compaction has been carried out", () => {
  const deleted = new Set<string>();
  const store = restored(deleted, EMPTIED);
  assert.equal(hash(store, deleted, { records: EMPTIED, revision: 4 }), HASH_EMPTIED);
  store.compact(3);
  assert.equal(hash(store, deleted, { records: EMPTIED, revision: 4 }), HASH_EMPTIED_COMPACTED_TO_3);
  while (!store.compactSlice(1));
  assert.deepEqual([...deleted], ["2/0"]);
  assert.equal(hash(store, deleted, { records: EMPTIED, revision: 4 }), HASH_EMPTIED_COMPACTED_TO_3);
});

test("revisions sort by main, then sub, however large", () => {
  for (const main of [5, 2 ** 50]) {
    const mains = new Float64Array([main, main - 1, main, main - 3]);
    const subs = new Uint32Array([2, 9, 1, 5000]);
    sortRevisions(mains, subs);
    assert.deepEqual([...mains], [main - 3, main - 1, main, main]);
    assert.deepEqual([...subs], [5000, 9, 1, 2]);
  }
});

test("the empty record that a restoration with --bump-revision leaves counts, survives compactions, and no range meets it", () => {
  const deleted = new Set<string>();
  const store = createMvccStore({
    valueBytesMax: 0,
    source: { getRevision: () => new Uint8Array(0) },
    sink: {
      putRevision: () => {},
      putTombstone: () => {},
      deleteRevision: (main, sub) => deleted.add(`${main}/${sub}`),
    },
  });
  const [first] = RECORDS;
  assert.ok(store.restoreRevision(first.main, first.sub, false, first.value));
  assert.ok(store.restoreRevision(1002, 0, false, new Uint8Array(0)));
  store.finishRestore({ scheduledCompactRevision: 1002, finishedCompactRevision: -1 });
  assert.equal(store.revision, 1002);
  const keep = store.hashKeepSet(0);
  assert.deepEqual([...keep.mains], [first.main, 1002]);
  const cursor = store.openCursor({ key: new Uint8Array(1), end: new Uint8Array(1) }, 0);
  const found = [];
  for (const meta = createKeyMeta(); cursor.next(meta);) found.push(meta.modRevision);
  cursor.close();
  assert.deepEqual(found, [first.main]);
  while (!store.compactSlice(1));
  assert.deepEqual([...deleted], []);
});
