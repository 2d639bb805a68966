import assert from "node:assert/strict";
import { test } from "node:test";

import { Prng } from "../base/prng.ts";
import { BranchPage } from "./branch-page.ts";
import { findInLeaf, SearchKey } from "./key-search.ts";
import { SEED } from "../../test/support/seed.ts";

const PAGE_BYTES = 16 * 1024;

/** A page of nodes with these keys and no data; a leaf and a branch page differ only in how they are searched. */
function fillPage(page: BranchPage, keys: readonly Buffer[]): void {
  const bytes = Buffer.from(page.bytes.buffer);
  bytes.writeUInt16LE(keys.length * 2, 20);
  let at = keys.length * 2;
  keys.forEach((key, i) => {
    bytes.writeUInt16LE(at, 24 + i * 2);
    bytes.writeUInt16LE(key.length, 24 + at + 6);
    key.copy(bytes, 24 + at + 8);
    at += 8 + key.length + (key.length % 2);
  });
  page.changed();
}

/** Keys of every kind: revisions spread evenly, in clusters, with many subs, and names that begin alike or are short. */
function randomKey(prng: Prng, kind: number): Buffer {
  const key = Buffer.alloc(17);
  key[8] = 0x5f;
  if (kind === 0) key.writeUInt32BE(prng.below(1 << 20), 4);
  if (kind === 1) key.writeUInt32BE(prng.below(20) * 100_000 + prng.below(4), 4);
  if (kind === 2) {
    key.writeUInt32BE(5 + prng.below(3), 4);
    key.writeUInt32BE(prng.below(50), 13);
  }
  if (kind < 3) return key;
  // Beyond 2^53, and differing behind the eighth byte only, where heads round to the same number.
  const name = Buffer.alloc(prng.below(12), prng.below(2) === 0 ? 0xff : 0x61);
  if (name.length > 0) name[prng.below(name.length)] = prng.below(3);
  return name;
}

test(`searches agree with a walk over all keys (SEED=${SEED})`, () => {
  const prng = new Prng(SEED);
  const page = new BranchPage(PAGE_BYTES);
  for (let round = 0; round < 2000; round++) {
    const kind = prng.below(4);
    const unique = new Map<string, Buffer>();
    for (let i = prng.below(120); i >= 0; i--) {
      const key = randomKey(prng, kind);
      unique.set(key.toString("latin1"), key);
    }
    const keys = [...unique.values()].sort((a, b) => Buffer.compare(a, b));
    fillPage(page, keys);
    for (let i = 0; i < 20; i++) {
      const sought = prng.below(2) === 0 ? keys[prng.below(keys.length)] : randomKey(prng, kind);
      const key = new SearchKey(new Uint8Array(sought));
      const above = keys.findIndex((each, index) => index > 0 && Buffer.compare(each, sought) > 0);
      assert.equal(
        page.find(key),
        (above === -1 ? keys.length : above) - 1,
        `branch, seed ${SEED}, round ${round}`,
      );
      const notBelow = keys.findIndex((each) => Buffer.compare(each, sought) >= 0);
      assert.equal(
        findInLeaf(key, page.view, 0),
        notBelow === -1 ? keys.length : notBelow,
        `leaf, seed ${SEED}, round ${round}`,
      );
    }
  }
});
