/**
 * A read-only walk over LMDB's pages (data format 2, 64-bit, little-endian), for the one question that LMDB cannot be
 * asked: does everything that the trees refer to lie inside the file?
 *
 * ```
 * page    0 u64 number   8 u64 txn   16 u16 pad   18 u16 flags   20 u16 lower (or u32 pages)   22 u16 upper   24 ...
 * node    0 u16 low   2 u16 high   4 u16 flags   6 u16 key length   8 key, data
 *         branch: page number = low | high << 16 | flags << 32       leaf: data length = low | high << 16
 * ```
 */
import { readSync } from "node:fs";

export const PAGE_HEADER_BYTES = 24;
export const PAGE_FLAG_META = 0x08;
const PAGE_FLAG_BRANCH = 0x01;
const PAGE_FLAG_LEAF = 0x02;
const NODE_HEADER_BYTES = 8;
/** The node's data is a page number, a txn id and a count of overflow pages. */
const NODE_FLAG_BIG_DATA = 0x01;
/** The node's data is the description of a named database; its root lies at 40. */
const NODE_FLAG_DATABASE = 0x02;
const DATABASE_ROOT = 40;
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
      if (data + 24 > page.length) return BROKEN;
      const last = Number(page.readBigUInt64LE(data) + page.readBigUInt64LE(data + 16)) - 1;
      if (last >= filePages) return last;
    } else if ((nodeFlags & NODE_FLAG_DATABASE) !== 0) {
      if (data + DATABASE_ROOT + 8 > page.length) return BROKEN;
      const root = page.readBigUInt64LE(data + DATABASE_ROOT);
      if (root !== NO_PAGE) pending.push(Number(root));
    }
  }
  return undefined;
}
