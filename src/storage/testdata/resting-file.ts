/** A database file that nobody writes, read without LMDB: so a test may damage it in ways that LMDB would die of. */
import { readFileSync } from "node:fs";

import type { BucketName } from "../../mvcc/backend.ts";
import { nodeAt, nodeCount, nodeDataAt, nodeKeyLength, NODE_HEADER_BYTES, PAGE_HEADER_BYTES, TREE_BYTES } from "../page-layout.ts";
import type { SnapshotPin } from "../page-reader.ts";

const META_MAIN_ROOT = PAGE_HEADER_BYTES + 72 + 40;
const META_TXN = PAGE_HEADER_BYTES + 128;

export const PAGE_BYTES = 4096;

/** The newest commit in the file at `path`, as it is now. Damage done later does not reach the descriptions. */
export function pinResting(path: string): SnapshotPin {
  const file = readFileSync(path);
  const metas = [0, PAGE_BYTES].map((at) => file.subarray(at, at + PAGE_BYTES));
  const meta = metas[0].readBigUInt64LE(META_TXN) > metas[1].readBigUInt64LE(META_TXN) ? metas[0] : metas[1];
  const base = Number(meta.readBigUInt64LE(META_MAIN_ROOT)) * PAGE_BYTES;
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const trees = new Map<string, Uint8Array>();
  for (let i = 0; i < nodeCount(view, base); i++) {
    const node = nodeAt(view, base, i);
    const name = file.toString("latin1", node + NODE_HEADER_BYTES, node + NODE_HEADER_BYTES + nodeKeyLength(view, node) - 1);
    trees.set(name, file.subarray(nodeDataAt(view, node), nodeDataAt(view, node) + TREE_BYTES));
  }
  return {
    stamp: meta.readUInt32LE(META_TXN),
    describe: (bucket: BucketName) => trees.get(bucket) as Uint8Array,
    release: () => {},
    close: () => {},
  };
}
