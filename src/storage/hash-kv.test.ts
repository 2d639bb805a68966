import assert from "node:assert/strict";
import { test } from "node:test";

import { HashKv, type HashKvOptions } from "./hash-kv.ts";
import { openMemoryBackend } from "./memory-backend.ts";
import { writeRevisionKey } from "./revision-key.ts";

// Records of a real etcd, and the hashes it gave (interop facts, appendix E, where 12/0 names k5 by mistake: only k2 gives
// etcd's hash, and only k2 was deleted before).
const RECORDS = `
2/0 0a026b311002180220012a027631
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
15/0 0a066c6561736564100f180f20012a01783090e080fcb3c0a8e917`;
const HASH_AT_15 = 1172604007;
const HASH_AT_15_COMPACTED_TO_8 = 930155810;

function load(skip: string[] = []) {
  const backend = openMemoryBackend();
  for (const line of RECORDS.trim().split("\n")) {
    const [revision, value] = line.split(" ");
    if (skip.includes(revision)) continue;
    const [main, sub] = revision.split("/");
    const key = new Uint8Array(18);
    const length = writeRevisionKey(key, 0, Number(main), Number.parseInt(sub, 10), sub.endsWith("t"));
    backend.putRevision(key.subarray(0, length), Buffer.from(value, "hex"));
  }
  backend.commit(1, 1);
  return backend.reader();
}

function hash(options: HashKvOptions, slice: number, skip: string[] = []): number {
  const computation = new HashKv(load(skip), options);
  let steps = 1;
  while (!computation.step(slice)) assert.ok(++steps < 100);
  assert.equal(computation.step(slice), true, "stays done");
  return computation.hash;
}

// Newest revisions at 15 of the keys that live then; at or below 8 those of k5, k6 and k7.
const keptAt15 = new Set(["6/0", "7/0", "8/0", "9/0", "10/0", "12/0", "14/0", "14/1", "15/0"]);
const keeps = (main: number, sub: number): boolean => keptAt15.has(`${main}/${sub}`);

for (const slice of [1, 3, 1000]) {
  test(`hashes of a real etcd, ${slice} records a slice`, () => {
    assert.equal(hash({ revision: 15, compactRevision: -1, keeps }, slice), HASH_AT_15);
    assert.equal(hash({ revision: 15, compactRevision: 8, keeps }, slice), HASH_AT_15_COMPACTED_TO_8);
  });
}

test("what a compaction deletes does not change the hash, whether it is gone or not", () => {
  const deleted = ["2/0", "3/0", "4/0", "5/0"];
  assert.equal(hash({ revision: 15, compactRevision: 8, keeps }, 4, deleted), HASH_AT_15_COMPACTED_TO_8);
});

test("a tombstone at the compacted revision does not count, a later one does", () => {
  const at = (compactRevision: number, skip: string[]): number =>
    hash({ revision: 15, compactRevision, keeps: () => true }, 9, skip);
  assert.equal(at(11, []), at(11, ["11/0t"]));
  assert.notEqual(at(10, []), at(10, ["11/0t"]));
});

test("records behind the revision do not count", () => {
  const upTo = (revision: number, skip: string[]): number =>
    hash({ revision, compactRevision: -1, keeps }, 9, skip);
  assert.equal(upTo(13, []), upTo(13, ["14/0", "14/1", "14/2t", "15/0"]));
});
