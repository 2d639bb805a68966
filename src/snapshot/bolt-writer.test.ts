import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import * as fc from "fast-check";

import { decodeMetaPage, encodeMetaPage, readPageHeader, readPageId } from "./bolt-format.ts";
import { BoltReader } from "./bolt-reader.ts";
import { BoltWriter } from "./bolt-writer.ts";

const directory = mkdtempSync(join(tmpdir(), "concord-bolt-"));
const path = join(directory, "file");

test.after(() => rmSync(directory, { recursive: true }));

type Records = ReadonlyArray<readonly [key: Uint8Array, value: Uint8Array]>;
type Buckets = Readonly<Record<string, Records>>;

function writeFile(buckets: Buckets, pageBytes?: number): number {
  const writer = new BoltWriter(path, pageBytes === undefined ? {} : { pageBytes });
  for (const [name, records] of Object.entries(buckets)) {
    writer.beginBucket(name);
    for (const [key, value] of records) writer.put(key, key.length, value, value.length);
  }
  return writer.finish({ sync: false });
}

function readFile(): Buckets {
  const reader = new BoltReader(path);
  const found: Array<[name: string, Records]> = [];
  for (const bucket of reader.buckets()) {
    const records: Array<[Uint8Array, Uint8Array]> = [];
    reader.scan(bucket, (bytes, keyAt, valueAt, end) => {
      records.push([bytes.slice(keyAt, valueAt), bytes.slice(valueAt, end)]);
    });
    found.push([bucket.name, records]);
  }
  reader.close();
  // Not by assignment, for which the name "__proto__" is special.
  return Object.fromEntries(found);
}

/** What bbolt expects of the pages, found without the reader: every page used once, no branch with a single child. */
function checkPages(pageBytes: number): { pages: number; depth: number } {
  const file = readFileSync(path);
  const view = new DataView(file.buffer, file.byteOffset);
  const meta = decodeMetaPage(file.subarray(0, pageBytes));
  if (typeof meta === "string") throw new Error(meta);
  assert.equal(file.length, meta.highWater * pageBytes);
  let depthMax = 0;
  const walk = (id: number, depth: number): number => {
    const at = id * pageBytes;
    const { flags, count, overflow, id: found } = readPageHeader(view, at);
    assert.equal(found, id);
    depthMax = Math.max(depthMax, depth);
    let pages = overflow + 1;
    if (flags === 1) assert.ok(count >= 2, `branch page ${id} has ${count} children`);
    for (let i = 0; i < count; i++) {
      const element = at + 16 + 16 * i;
      if (flags === 1) pages += walk(readPageId(view, element + 8), depth + 1);
      else if (view.getUint32(element, true) === 1) {
        const value = element + view.getUint32(element + 4, true) + view.getUint32(element + 8, true);
        const root = readPageId(view, value);
        if (root !== 0) pages += walk(root, depth + 1);
        else assert.ok(view.getUint32(element + 12, true) - 16 <= pageBytes / 4, "an inline bucket is small");
      }
    }
    return pages;
  };
  assert.equal(walk(meta.root, 0) + 2, meta.highWater, "every page is in use");
  return { pages: meta.highWater, depth: depthMax };
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const plain = (buckets: Buckets): unknown =>
  Object.entries(buckets)
    .toSorted(([a], [b]) => Buffer.compare(bytes(a), bytes(b)))
    .map(([name, records]) => [
      name,
      records.map((pair) => pair.map((each) => Buffer.from(each).toString("hex"))),
    ]);

const recordsArbitrary = fc
  .uniqueArray(
    fc.tuple(
      fc.oneof(
        { weight: 9, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 40 }) },
        { weight: 1, arbitrary: fc.uint8Array({ minLength: 1000, maxLength: 3000 }) },
      ),
      fc.oneof(
        { weight: 8, arbitrary: fc.integer({ min: 0, max: 400 }) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 30_000 }) },
      ),
    ),
    { maxLength: 120, selector: ([key]) => Buffer.from(key).toString("latin1") },
  )
  .map((pairs) =>
    pairs
      .toSorted(([a], [b]) => Buffer.compare(a, b))
      .map(([key, length], i) => [key, new Uint8Array(length).fill(i)] as const),
  );

test("what is written is read back, whatever the sizes", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ minLength: 1, maxLength: 20 }), recordsArbitrary, {
        maxKeys: 12,
        noNullPrototype: true,
      }),
      fc.constantFrom(1024, 4096, 16384),
      (buckets, pageBytes) => {
        const length = writeFile(buckets, pageBytes);
        assert.equal(length, checkPages(pageBytes).pages * pageBytes);
        assert.deepEqual(plain(readFile()), plain(buckets));
      },
    ),
    { numRuns: 60, examples: [[{ ["__proto__"]: [] }, 4096]] },
  );
});

test("a file without buckets, and with nothing but empty ones", () => {
  writeFile({});
  assert.deepEqual(readFile(), {});
  writeFile({ b: [], a: [] });
  assert.deepEqual(readFile(), { a: [], b: [] });
});

test("deep trees, at every number of records around the edges of pages", () => {
  const records = Array.from({ length: 4000 }, (_, i) => {
    return [bytes(String(i).padStart(200, "0")), new Uint8Array(i % 90)] as const;
  });
  writeFile({ deep: records }, 1024);
  assert.ok(checkPages(1024).depth >= 5);
  assert.deepEqual(plain(readFile()), plain({ deep: records }));
  for (let count = 1; count < 60; count++) {
    writeFile({ b: records.slice(0, count) }, 1024);
    checkPages(1024);
    assert.equal(readFile().b.length, count);
  }
});

test("a value of many megabytes takes overflow pages, and the records around it stay", () => {
  const large = new Uint8Array(5_000_000).fill(7);
  const records = [
    [bytes("a"), bytes("before")],
    [bytes("b"), large],
    [bytes("c"), new Uint8Array(0)],
  ] as const;
  writeFile({ key: records });
  checkPages(4096);
  const found = readFile();
  assert.deepEqual(plain(found), plain({ key: records }));
});

test("meta pages and inline buckets have etcd's bytes", () => {
  const page = encodeMetaPage(0, { pageBytes: 4096, root: 4, highWater: 5, txid: 14n });
  const expected =
    "00000000000000000400000000000000edda0ced0200000000100000000000000400000000000000" +
    "0000000000000000ffffffffffffffff05000000000000000e000000000000000cefe8f43dee379d";
  assert.equal(Buffer.from(page.subarray(0, 80)).toString("hex"), expected);

  writeFile({ cluster: [[bytes("clusterVersion"), bytes("3.5.0")]], empty: [] });
  const file = readFileSync(path).toString("hex");
  const inline =
    "00000000000000000000000000000000" +
    "00000000000000000200010000000000000000001000" +
    "00000e00000005000000636c757374657256657273696f6e332e352e30";
  assert.ok(file.includes(inline));
  assert.ok(file.includes(`${"00".repeat(24)}0200000000000000`));
});

test("keys that do not ascend are a broken invariant, and no file is left", () => {
  const writer = new BoltWriter(path);
  writer.beginBucket("a");
  writer.put(bytes("b"), 1, bytes(""), 0);
  assert.throws(() => writer.put(bytes("b"), 1, bytes(""), 0), /keys of a bucket ascend/);
  assert.throws(() => readFileSync(path), /ENOENT/);
});
