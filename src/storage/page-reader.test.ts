/** What a damaged file does to a reader: an error that names file and page. Read without LMDB, which would die of it. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Prng } from "../base/prng.ts";
import { openLmdbBackend } from "./lmdb-backend.ts";
import { DamagedPageError, PageFile } from "./page-file.ts";
import { PageReader } from "./page-reader.ts";
import { writeRevisionKey } from "./revision-key.ts";
import { PAGE_BYTES, pinResting } from "./testdata/resting-file.ts";
import { SEED } from "../../test/support/seed.ts";

const RECORDS = 3000;
const FUZZ_MS = 1000;
const LARGE_BYTES = 10_000;
const FLAGS_AT = 18;

const directory = mkdtempSync(join(tmpdir(), "concord-pages-"));
const path = join(directory, "db");
const whole = writeDatabase();
const pin = pinResting(path);
const root = Buffer.from(pin.describe("key")).readUInt32LE(40);

test.after(() => rmSync(directory, { recursive: true }));

/** Three levels, and a value on overflow pages every 100 records. */
function writeDatabase(): Buffer {
  const backend = openLmdbBackend(path);
  const key = new Uint8Array(17);
  for (let main = 2; main < 2 + RECORDS; main++) {
    writeRevisionKey(key, 0, main, 0, false);
    backend.putRevision(key, new Uint8Array(main % 100 === 0 ? LARGE_BYTES : 300).fill(main));
  }
  backend.put("cluster", Buffer.from("name"), Buffer.from("value"));
  backend.commit(1, 1);
  backend.close();
  return readFileSync(path);
}

/** Scans all and gets some of the file with these bytes; returns what was read. */
function readAll(bytes: Uint8Array): { records: number; found: number } {
  writeFileSync(path, bytes);
  const reader = new PageReader(new PageFile(path, PAGE_BYTES), pin);
  try {
    let records = 0;
    reader.scanRevisions(0, () => ++records > 0);
    let found = 0;
    for (let main = 2; main < RECORDS + 20; main += 7)
      found += reader.getRevision(main, 0, false) === undefined ? 0 : 1;
    reader.get("cluster", Buffer.from("name"));
    return { records, found };
  } finally {
    reader.close();
  }
}

/** The page of this kind that a walk from the root meets first. */
function firstPage(flag: number): number {
  let page = root;
  while (whole.readUInt16LE(page * PAGE_BYTES + FLAGS_AT) !== flag)
    page = whole.readUInt32LE(nodeOf(page, 0));
  return page;
}

/** Where node `index` of `page` begins in the file. */
function nodeOf(page: number, index: number): number {
  return page * PAGE_BYTES + 24 + whole.readUInt16LE(page * PAGE_BYTES + 24 + index * 2);
}

/** The first node, in the order of the file, whose value lies on overflow pages. */
function firstLargeNode(): number {
  for (let page = 2; ; page++) {
    if (whole.readUInt16LE(page * PAGE_BYTES + FLAGS_AT) !== 0x02) continue;
    for (let i = 0; i < whole.readUInt16LE(page * PAGE_BYTES + 20) / 2; i++) {
      const node = nodeOf(page, i);
      if (whole.readUInt16LE(node + 4) === 0x01) return node;
    }
  }
}

function refuses(change: (bytes: Buffer) => void, message: RegExp): void {
  const bytes = Buffer.from(whole);
  change(bytes);
  assert.throws(
    () => readAll(bytes),
    (error) => {
      assert.ok(error instanceof DamagedPageError, String(error));
      assert.match(error.message, message);
      assert.ok(error.message.includes(path));
      return true;
    },
  );
}

test("the file as it was written is read in full", () => {
  assert.deepEqual(readAll(whole), { records: RECORDS, found: Math.ceil(RECORDS / 7) });
});

test("pages that are not what the tree says", () => {
  const leaf = firstPage(0x02) * PAGE_BYTES;
  refuses(
    (bytes) => bytes.writeUInt32LE(0xffffff, nodeOf(root, 1)),
    /page 16777215 is in use and lies behind the end/,
  );
  refuses(
    (bytes) => bytes.writeUInt16LE(0xffff, nodeOf(root, 1) + 4),
    /is damaged: page 281\d+ is in use and lies behind the end/,
  );
  refuses((bytes) => bytes.writeUInt32LE(root, nodeOf(root, 1)), /page \d+ has flags 0x1, expected 0x2/);
  refuses((bytes) => bytes.writeUInt16LE(0x01, leaf + FLAGS_AT), /page \d+ has flags 0x1, expected 0x2/);
  refuses(
    (bytes) => bytes.writeUInt16LE(0x08, root * PAGE_BYTES + FLAGS_AT),
    /page \d+ has flags 0x8, expected 0x1/,
  );
  refuses(
    (bytes) => bytes.copy(bytes, leaf, leaf + PAGE_BYTES, leaf + 2 * PAGE_BYTES),
    /page \d+ says that it is page \d+/,
  );
  refuses(
    (bytes) => bytes.writeUInt32LE(pin.stamp + 1, leaf + 8),
    /was written by commit \d+, later than \d+/,
  );
  refuses((bytes) => bytes.fill(0, leaf, leaf + PAGE_BYTES), /says that it is page 0/);
});

test("nodes that lie outside of their page", () => {
  const leaf = firstPage(0x02);
  const at = leaf * PAGE_BYTES;
  refuses((bytes) => bytes.writeUInt16LE(PAGE_BYTES, at + 20), /has its free space from 4096 to/);
  refuses((bytes) => bytes.writeUInt16LE(PAGE_BYTES, at + 22), /has its free space from \d+ to 4096/);
  refuses((bytes) => bytes.writeUInt16LE(PAGE_BYTES - 26, at + 24), /has node 0 outside of it/);
  refuses((bytes) => bytes.writeUInt16LE(0xffff, at + 24), /has node 0 outside of it/);
  refuses((bytes) => bytes.writeUInt16LE(5000, nodeOf(leaf, 0) + 6), /has node 0 outside of it/);
  refuses((bytes) => bytes.writeUInt16LE(0xffff, nodeOf(leaf, 0)), /has node 0 outside of it/);
  refuses((bytes) => bytes.writeUInt16LE(0xffff, nodeOf(root, 1) + 6), /has node 1 outside of it/);
});

test("records that are none of ours", () => {
  const leaf = firstPage(0x02);
  refuses((bytes) => bytes.writeUInt16LE(16, nodeOf(leaf, 2) + 6), /has a revision key of 16 bytes/);
  refuses((bytes) => bytes.writeUInt16LE(0x04, nodeOf(leaf, 2) + 4), /has flags 0x4 on record 2/);
  refuses((bytes) => bytes.writeUInt8(0, nodeOf(leaf, 3) + 8 + 7), /has revision 0\/0 behind 4\/0/);
});

test("overflow pages that do not hold the value", () => {
  const node = firstLargeNode();
  const data = node + 8 + 17;
  const overflow = whole.readUInt32LE(data);
  const at = overflow * PAGE_BYTES;
  refuses((bytes) => bytes.writeUInt32LE(9, at + 20), new RegExp(`page ${overflow} has 9 pages, expected 3`));
  refuses(
    (bytes) => bytes.writeUInt16LE(0x02, at + FLAGS_AT),
    new RegExp(`page ${overflow} has flags 0x2, expected 0x4`),
  );
  refuses(
    (bytes) => bytes.writeUInt32LE(0xfffffff0, node),
    new RegExp(`page ${overflow} has 3 pages for a value of 4294967280 bytes`),
  );
  refuses((bytes) => bytes.writeUInt32LE(0xfffff, data), /page 1048575 is in use and lies behind the end/);
  refuses(
    (bytes) => {
      bytes.writeUInt32LE(0x40000000, node);
      bytes.writeUInt32LE(0x100000, data + 16);
    },
    new RegExp(`page ${overflow} is in use and lies behind the end`),
  );
});

test("a file cut short anywhere", () => {
  for (let pages = 2; pages < whole.length / PAGE_BYTES; pages += 5) {
    assert.throws(() => readAll(whole.subarray(0, pages * PAGE_BYTES + 100)), DamagedPageError);
  }
});

test("bytes changed at random are read, or refused with file and page", (context) => {
  context.diagnostic(`SEED=${SEED}`);
  const prng = new Prng(SEED);
  let refused = 0;
  for (const until = performance.now() + FUZZ_MS; performance.now() < until;) {
    const bytes = Buffer.from(whole);
    for (let i = prng.below(30); i >= 0; i--) {
      const page = 2 + prng.below(whole.length / PAGE_BYTES - 2);
      // Half of the changes in the header and the list of nodes, where they hurt.
      const at = prng.below(2) === 0 ? prng.below(64) : prng.below(PAGE_BYTES);
      bytes[page * PAGE_BYTES + at] = prng.below(256);
    }
    try {
      readAll(bytes);
    } catch (error) {
      assert.ok(
        error instanceof DamagedPageError && error.message.includes(path),
        `seed ${SEED}: ${String(error)}`,
      );
      refused++;
    }
  }
  assert.ok(refused > 10, `${refused} files refused`);
});

test("a closed reader says so", () => {
  writeFileSync(path, whole);
  const reader = new PageReader(new PageFile(path, PAGE_BYTES), pin);
  assert.notEqual(reader.getRevision(2, 0, false), undefined);
  reader.close();
  assert.throws(() => reader.getRevision(2, 0, false), /is closed/);
  assert.throws(
    () => new PageFile(join(directory, "none"), PAGE_BYTES),
    /cannot open the database file .*none/,
  );
});
