/**
 * A walk over all pages of LMDB's trees, for the one question that LMDB cannot be asked: does everything that the trees refer
 * to lie inside the file? The layout is in `page-layout.ts`.
 */
import { readSync } from "node:fs";

import {
  BIG_DATA_BYTES,
  BIG_DATA_PAGES,
  NODE_FLAG_BIG_DATA,
  NODE_FLAG_DATABASE,
  NODE_HEADER_BYTES,
  PAGE_FLAG_BRANCH,
  PAGE_FLAG_LEAF,
  PAGE_HEADER_BYTES,
  TREE_ROOT,
} from "./page-layout.ts";

const NO_PAGE = 0xffff_ffff_ffff_ffffn;

/**
 * Follows every tree from its root and returns the first page in use that is not among the first `filePages` pages;
 * undefined when all are there. A page that cannot be parsed counts as missing.
 */
export function findPageBeyond(options: {
  fd: number;
  pageBytes: number;
  filePages: number;
  roots: number[];
}): number | undefined {
  const { fd, pageBytes, filePages } = options;
  const pending = options.roots.filter((root) => root !== -1);
  const page = Buffer.allocUnsafe(pageBytes);
  let visited = 0;
  while (pending.length > 0) {
    const pageNumber = pending.pop() as number;
    // More visits than pages: a damaged tree with a cycle.
    if (pageNumber >= filePages || visited++ > filePages) return pageNumber;
    if (readSync(fd, page, 0, pageBytes, pageNumber * pageBytes) < pageBytes) return pageNumber;
    const missing = followPage(page, filePages, pending);
    if (missing === BROKEN) return pageNumber;
    if (missing !== undefined) return missing;
  }
  return undefined;
}

const BROKEN = -1;

/** Pushes the pages that `page` refers to; returns the first overflow page beyond the end, or BROKEN. */
function followPage(page: Buffer, filePages: number, pending: number[]): number | undefined {
  const flags = page.readUInt16LE(18);
  if ((flags & (PAGE_FLAG_BRANCH | PAGE_FLAG_LEAF)) === 0) return BROKEN;
  const count = page.readUInt16LE(20) >> 1;
  for (let i = 0; i < count; i++) {
    const node = page.readUInt16LE(PAGE_HEADER_BYTES + i * 2) + PAGE_HEADER_BYTES;
    if (node + NODE_HEADER_BYTES > page.length) return BROKEN;
    const low = page.readUInt16LE(node) + page.readUInt16LE(node + 2) * 0x10000;
    const nodeFlags = page.readUInt16LE(node + 4);
    if ((flags & PAGE_FLAG_BRANCH) !== 0) {
      pending.push(low + nodeFlags * 0x1_0000_0000);
      continue;
    }
    const data = node + NODE_HEADER_BYTES + page.readUInt16LE(node + 6);
    if ((nodeFlags & NODE_FLAG_BIG_DATA) !== 0) {
      if (data + BIG_DATA_BYTES > page.length) return BROKEN;
      const last = Number(page.readBigUInt64LE(data) + page.readBigUInt64LE(data + BIG_DATA_PAGES)) - 1;
      if (last >= filePages) return last;
    } else if ((nodeFlags & NODE_FLAG_DATABASE) !== 0) {
      if (data + TREE_ROOT + 8 > page.length) return BROKEN;
      const root = page.readBigUInt64LE(data + TREE_ROOT);
      if (root !== NO_PAGE) pending.push(Number(root));
    }
  }
  return undefined;
}
