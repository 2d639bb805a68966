import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Prng } from "../base/prng.ts";
import { decodeMetaPage, readPageHeader } from "./bolt-format.ts";
import { BoltReader } from "./bolt-reader.ts";
import { BoltWriter } from "./bolt-writer.ts";
import { SnapshotFileError } from "./snapshot-file-error.ts";

const directory = mkdtempSync(join(tmpdir(), "concord-bolt-"));
const path = join(directory, "file");

test.after(() => rmSync(directory, { recursive: true }));

/** A file with a tree of three levels, values in overflow pages, and inline buckets. */
function exampleFile(pageBytes = 1024): Buffer {
  const writer = new BoltWriter(path, { pageBytes });
  const key = Buffer.alloc(40);
  writer.beginBucket("key");
  for (let i = 0; i < 600; i++) {
    key.writeUInt32BE(i, 4);
    const value = new Uint8Array(i % 50 === 0 ? 3000 : 60).fill(i);
    writer.put(key, key.length, value, value.length);
  }
  writer.beginBucket("meta");
  writer.put(Buffer.from("term"), 4, Buffer.from("1"), 1);
  writer.beginBucket("alarm");
  writer.finish({ sync: false });
  return readFileSync(path);
}

/** Walks over everything. */
function readAll(content: Uint8Array, verifyTrailer = false): number {
  writeFileSync(path, content);
  const reader = new BoltReader(path);
  try {
    if (verifyTrailer) reader.file.verifyTrailer();
    let records = 0;
    for (const bucket of reader.buckets()) reader.scan(bucket, () => records++);
    return records;
  } finally {
    reader.close();
  }
}

function refuses(content: Uint8Array, message: RegExp, verifyTrailer = false): void {
  assert.throws(
    () => readAll(content, verifyTrailer),
    (error) => {
      assert.ok(error instanceof SnapshotFileError, String(error));
      assert.match(error.message, message);
      assert.ok(error.message.includes(path));
      return true;
    },
  );
}

/** Offset of the first page with these flags, from page `from` on. */
function findPage(file: Buffer, flags: number, pageBytes = 1024, from = 2): number {
  const view = new DataView(file.buffer, file.byteOffset);
  for (let id = from; id * pageBytes < file.length; id++) {
    const header = readPageHeader(view, id * pageBytes);
    if (header.id === id && header.flags === flags) return id * pageBytes;
  }
  throw new Error(`no page with flags ${flags}`);
}

test("either meta page will do, the newer one counts, none is an error", () => {
  const file = exampleFile();
  const first = Buffer.from(file).fill(0, 0, 100);
  assert.equal(readAll(first), 601);
  assert.equal(readAll(Buffer.from(file).fill(0, 1024, 1100)), 601);
  refuses(Buffer.from(first).fill(0, 1024, 1100), /not a database of etcd.*page 0 has magic 0.*no meta page/);
  const damaged = Buffer.from(file);
  damaged[64]++;
  damaged[1024 + 64]++;
  refuses(damaged, /page 0 has checksum [0-9a-f]+, expected [0-9a-f]+/);
  refuses(Buffer.from("hello"), /only 5 bytes of file/);
  refuses(Buffer.alloc(0), /only 0 bytes of file/);
});

test("every page size that etcd knows is found without the first meta page", () => {
  for (const pageBytes of [1024, 8192, 65536]) {
    const file = exampleFile(pageBytes);
    assert.equal(readAll(Buffer.from(file).fill(0, 0, 100)), 601);
    const meta = decodeMetaPage(file);
    assert.equal(typeof meta !== "string" && meta.pageBytes, pageBytes);
  }
});

test("what lies behind the last page is ignored, what is missing of it is told", () => {
  const file = exampleFile();
  assert.equal(readAll(Buffer.concat([file, Buffer.alloc(5000)])), 601);
  refuses(file.subarray(0, file.length - 1024), /truncated: its \d+ pages take \d+ bytes, there are \d+/);
});

test("the SHA-256 of a saved snapshot is checked", () => {
  const file = exampleFile();
  const saved = Buffer.concat([file, createHash("sha256").update(file).digest()]);
  assert.equal(readAll(saved, true), 601);
  const flipped = Buffer.from(saved);
  flipped[file.length >> 1] ^= 1;
  refuses(flipped, /expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}/, true);
  refuses(file, /no SHA-256 behind the database/, true);
});

test("pages that are not what their parents say are refused with page and offset", () => {
  const file = exampleFile();
  const leaf = findPage(file, 2, 1024, 3); // the first holds a single, long record
  const branch = findPage(file, 1);
  const change = (edit: (copy: Buffer) => void): Buffer => {
    const copy = Buffer.from(file);
    edit(copy);
    return copy;
  };
  const place = (at: number): string => `page ${at / 1024} \\(offset ${at}\\)`;
  refuses(
    change((copy) => copy.writeUInt32LE(9999, leaf)),
    new RegExp(`${place(leaf)} says that it is page 9999`),
  );
  refuses(
    change((copy) => copy.writeUInt16LE(0x10, leaf + 8)),
    new RegExp(`${place(leaf)} has flags 0x10`),
  );
  refuses(
    change((copy) => copy.writeUInt16LE(5000, leaf + 10)),
    new RegExp(`${place(leaf)} has 5000 elements`),
  );
  refuses(
    change((copy) => copy.writeUInt32LE(5000, leaf + 12)),
    new RegExp(`${place(leaf)} has 5000 overflow`),
  );
  refuses(
    change((copy) => copy.writeUInt32LE(70_000, leaf + 16 + 12)),
    /has element 0 outside of it/,
  );
  refuses(
    change((copy) => copy.writeUInt32LE(1, leaf + 16)),
    /has flags 1 on element 0/,
  );
  refuses(
    change((copy) => copy.writeUInt32LE(branch / 1024, branch + 24)),
    /is referred to twice/,
  );
  refuses(
    change((copy) => copy.writeUInt32LE(100_000, branch + 24)),
    /refers to page 100000 of/,
  );
  refuses(
    change((copy) => copy.writeUInt16LE(0, branch + 10)),
    /branch without children/,
  );
  // The second key of a leaf, and the second of a branch, below the first.
  const key = (element: number, pos: number): number => element + file.readUInt32LE(element + pos);
  refuses(
    change((copy) => copy.fill(0, key(leaf + 32, 4), key(leaf + 32, 4) + 40)),
    /element 1 out of order/,
  );
  refuses(
    change((copy) => copy.fill(0, key(branch + 32, 0), key(branch + 32, 0) + 40)),
    /child 1 out of order/,
  );
});

test("random damage is found or harmless, and never anything else", () => {
  const file = exampleFile();
  const seed = 20_260_101;
  const prng = new Prng(seed);
  let refused = 0;
  for (let run = 0; run < 150; run++) {
    const copy = Buffer.from(file);
    for (let i = prng.nextUint32() % 4; i >= 0; i--) {
      // Most of it where pages have their headers and elements.
      const page = prng.nextUint32() % (copy.length / 1024);
      copy[page * 1024 + (prng.nextUint32() % 200)] = prng.nextUint32() & 0xff;
    }
    try {
      readAll(copy);
    } catch (error) {
      assert.ok(error instanceof SnapshotFileError, `seed ${seed}, run ${run}: ${String(error)}`);
      refused++;
    }
  }
  assert.ok(refused > 40, `${refused} of 150`);
});
