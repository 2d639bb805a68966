import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { BranchCache } from "./branch-cache.ts";
import { PageFile } from "./page-file.ts";

const PAGE_BYTES = 512;
const PAGES = 64;

const directory = mkdtempSync(join(tmpdir(), "concord-branches-"));
const path = join(directory, "db");
const file = new PageFile(writePages(0, 0), PAGE_BYTES);

test.after(() => {
  file.close();
  rmSync(directory, { recursive: true });
});

/** Pages of one node each, whose child tells them apart. */
function writePages(txn: number, child: number): string {
  const bytes = Buffer.alloc(PAGES * PAGE_BYTES);
  for (let page = 0; page < PAGES; page++) {
    const at = page * PAGE_BYTES;
    bytes.writeUInt32LE(page, at);
    bytes.writeUInt32LE(txn, at + 8);
    bytes.writeUInt16LE(0x01, at + 18);
    bytes.writeUInt16LE(2, at + 20);
    bytes.writeUInt16LE(400, at + 22);
    bytes.writeUInt16LE(400, at + 24);
    bytes.writeUInt16LE(child + page, at + 24 + 400);
  }
  writeFileSync(path, bytes);
  return path;
}

const childOf = (cache: BranchCache, page: number, stamp: number): number => cache.get(page, stamp).child(0);

test("a page reached in one commit is believed in the next, and so on", () => {
  const cache = new BranchCache(file);
  writePages(10, 100);
  assert.equal(childOf(cache, 3, 10), 103);
  writePages(10, 200); // the file may say what it likes: page 3 is in use all the time
  for (const stamp of [10, 11, 12, 12, 13]) assert.equal(childOf(cache, 3, stamp), 103);
});

test("a page not reached in the commit before is read again", () => {
  for (const later of [12, 13, 1000]) {
    const cache = new BranchCache(file);
    writePages(10, 100);
    assert.equal(childOf(cache, 3, 10), 103);
    assert.equal(childOf(cache, 4, 10), 104);
    assert.equal(childOf(cache, 4, 11), 104); // another page reached in between does not vouch for this one
    writePages(later, 200);
    assert.equal(childOf(cache, 3, later), 203);
  }
});

test("commit numbers wrap at 2^32", () => {
  const cache = new BranchCache(file);
  writePages(0xffff_ffff, 100);
  assert.equal(childOf(cache, 3, 0xffff_ffff), 103);
  writePages(1, 200);
  assert.equal(childOf(cache, 3, 0), 103);
  assert.equal(childOf(cache, 4, 1), 204);
  assert.equal(childOf(cache, 3, 1), 103);
  assert.equal(childOf(cache, 3, 3), 203);
});

test("what does not fit is given up, the pages asked for last stay", () => {
  const cache = new BranchCache(file, 3 * PAGE_BYTES);
  writePages(10, 100);
  for (let page = 0; page < PAGES; page++) {
    assert.equal(childOf(cache, 0, 10), 100);
    assert.equal(childOf(cache, page, 10), 100 + page);
  }
  writePages(10, 200);
  assert.equal(childOf(cache, 0, 10), 100, "asked for all the time");
  assert.equal(childOf(cache, 1, 10), 201, "given up");
});

test("pages that commits have moved away are used for others before more are made", () => {
  const cache = new BranchCache(file);
  writePages(10, 100);
  // The root stays in the first page; of the others each commit uses the next one.
  for (let stamp = 10; stamp < 10 + 10 * PAGES; stamp++) {
    assert.equal(childOf(cache, 0, stamp), 100);
    const page = 1 + (stamp % (PAGES - 1));
    assert.equal(childOf(cache, page, stamp), 100 + page);
  }
  assert.ok(cache.pages <= 8, `${cache.pages} pages for the two that are in use`);
  // Without commits, all of them are good.
  for (let round = 0; round < 2; round++) for (let page = 0; page < PAGES; page++) childOf(cache, page, 1000);
  assert.equal(cache.pages, PAGES);
  writePages(1000, 300);
  for (let page = 0; page < PAGES; page++)
    assert.equal(childOf(cache, page, 1000), 100 + page, "not read again");
});

test("a page that failed its checks is not believed later", () => {
  const cache = new BranchCache(file);
  writePages(20, 100);
  assert.throws(() => cache.get(3, 10), /page 3 was written by commit 20, later than 10/);
  assert.throws(() => cache.get(3, 10), /page 3 was written by commit 20, later than 10/);
  assert.throws(() => cache.get(PAGES, 20), /page 64 is in use and lies behind the end/);
  assert.equal(childOf(cache, 3, 20), 103);
});
