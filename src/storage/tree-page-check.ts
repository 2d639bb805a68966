/**
 * Checks a branch or leaf page once after it was read, so that everything behind can trust it: all of its nodes lie inside
 * the page, whatever its bytes are. A disk that returned the wrong page, and a page that a later commit has overwritten,
 * are found here as well.
 */
import type { PageFile } from "./page-file.ts";
import {
  BIG_DATA_BYTES,
  NODE_FLAG_BIG_DATA,
  NODE_HEADER_BYTES,
  nodeAt,
  nodeCount,
  nodeDataLength,
  nodeFlags,
  nodeKeyLength,
  PAGE_FLAG_BRANCH,
  PAGE_FLAG_LEAF,
  PAGE_FLAG_OVERFLOW,
  PAGE_FLAGS,
  PAGE_HEADER_BYTES,
  PAGE_LOWER,
  PAGE_TXN,
  PAGE_UPPER,
  readUint64,
} from "./page-layout.ts";

/** The flags that say what a page is; the others are LMDB's notes to itself. */
const PAGE_KIND = 0xff;

/** The page number that the caller followed, and the newest commit (low 32 bits) that may have written the page. */
export interface PageClaim {
  pageNumber: number;
  stamp: number;
}

/** Checks the branch page at 0. @throws DamagedPageError */
export function checkBranch(file: PageFile, page: DataView, claim: PageClaim): void {
  checkHeader(file, page, 0, PAGE_FLAG_BRANCH, claim);
  const count = nodeCount(page, 0);
  for (let i = 0; i < count; i++) {
    const data = nodeAt(page, 0, i) + NODE_HEADER_BYTES;
    if (data > file.pageBytes || data + nodeKeyLength(page, data - NODE_HEADER_BYTES) > file.pageBytes) {
      throw file.damaged(claim.pageNumber, `has node ${i} outside of it`);
    }
  }
}

/** Checks the leaf page at `base`. @throws DamagedPageError */
export function checkLeaf(file: PageFile, page: DataView, base: number, claim: PageClaim): void {
  checkHeader(file, page, base, PAGE_FLAG_LEAF, claim);
  const end = base + file.pageBytes;
  const count = nodeCount(page, base);
  for (let i = 0; i < count; i++) {
    const node = nodeAt(page, base, i);
    if (node + NODE_HEADER_BYTES > end || leafNodeEnd(page, node) > end) {
      throw file.damaged(claim.pageNumber, `has node ${i} outside of it`);
    }
  }
}

function leafNodeEnd(page: DataView, node: number): number {
  const isBig = (nodeFlags(page, node) & NODE_FLAG_BIG_DATA) !== 0;
  const dataLength = isBig ? BIG_DATA_BYTES : nodeDataLength(page, node);
  return node + NODE_HEADER_BYTES + nodeKeyLength(page, node) + dataLength;
}

/** Checks what all pages of trees have in common. `kind` is the one flag expected. @throws DamagedPageError */
export function checkHeader(
  file: PageFile,
  page: DataView,
  base: number,
  kind: number,
  claim: PageClaim,
): void {
  const { pageNumber, stamp } = claim;
  const found = readUint64(page, base);
  if (found !== pageNumber) throw file.damaged(pageNumber, `says that it is page ${found}`);
  const flags = page.getUint16(base + PAGE_FLAGS, true);
  if ((flags & PAGE_KIND) !== kind) {
    throw file.damaged(pageNumber, `has flags 0x${flags.toString(16)}, expected 0x${kind.toString(16)}`);
  }
  // A page of the snapshot is never newer than what describes its tree. One that is was given to a later commit, so the
  // snapshot was not pinned: nothing in it may be believed. The numbers wrap at 2^32, their difference does not.
  const writtenBy = page.getUint32(base + PAGE_TXN, true);
  if (((stamp - writtenBy) | 0) < 0) {
    throw file.damaged(pageNumber, `was written by commit ${writtenBy}, later than ${stamp}`);
  }
  if (kind !== PAGE_FLAG_OVERFLOW) checkFreeSpace(file, page, base, pageNumber);
}

/** The free space ends the list of nodes, so that list lies inside the page, too. */
function checkFreeSpace(file: PageFile, page: DataView, base: number, pageNumber: number): void {
  const lower = page.getUint16(base + PAGE_LOWER, true);
  const upper = page.getUint16(base + PAGE_UPPER, true);
  if (lower < 2 || lower % 2 !== 0 || lower > upper || upper > file.pageBytes - PAGE_HEADER_BYTES) {
    throw file.damaged(pageNumber, `has its free space from ${lower} to ${upper}`);
  }
}
