/**
 * How LMDB's data format 2 lays out its pages (64-bit, little-endian): offsets, flags, and where things lie in a page.
 * Pure arithmetic on bytes; whether a page deserves to be read is asked of `tree-page-check.ts` first: an offset outside of
 * the buffer is a RangeError here.
 *
 * ```
 * page     0 u64 number   8 u64 txn   16 u16 pad   18 u16 flags   20 u16 lower (or u32 pages)   22 u16 upper   24 ...
 *          behind the header: u16 offsets of the nodes (from 24), free space from lower to upper (from 24), the nodes
 * node     0 u16 low   2 u16 high   4 u16 flags   6 u16 key length   8 key, data
 *          branch: page number = low | high << 16 | flags << 32       leaf: data length = low | high << 16
 * big data 0 u64 first overflow page   8 u64 txn   16 u64 pages       in place of a leaf node's data
 * tree     0 u32 pad   4 u16 flags   6 u16 depth   8 u64 branch, leaf, overflow pages, records   40 u64 root
 * ```
 *
 * A page's txn is the number of the commit that wrote it. Pages are never changed in place: a commit that changes a record
 * writes new copies of its leaf and of every page above it, up to the tree's description in the main tree.
 */

export const PAGE_HEADER_BYTES = 24;
export const PAGE_TXN = 8;
export const PAGE_FLAGS = 18;
export const PAGE_LOWER = 20;
export const PAGE_UPPER = 22;
export const PAGE_OVERFLOW_PAGES = 20;

export const PAGE_FLAG_BRANCH = 0x01;
export const PAGE_FLAG_LEAF = 0x02;
export const PAGE_FLAG_OVERFLOW = 0x04;
export const PAGE_FLAG_META = 0x08;

export const NODE_HEADER_BYTES = 8;
export const NODE_FLAGS = 4;
const NODE_KEY_LENGTH = 6;
/** The node's data is a page number, a txn id and a count of overflow pages. */
export const NODE_FLAG_BIG_DATA = 0x01;
/** The node's data is the description of a named database. */
export const NODE_FLAG_DATABASE = 0x02;

export const BIG_DATA_PAGES = 16;
export const BIG_DATA_BYTES = 24;

const TREE_DEPTH = 6;
export const TREE_ROOT = 40;
export const TREE_BYTES = 48;
/** LMDB's own limit (its cursor stack); a file that says more is damaged. */
export const TREE_DEPTH_MAX = 32;

const TWO_32 = 0x1_0000_0000;
/** The root of an empty tree, all ones, as {@link readUint64} rounds it. */
const NO_PAGE = 2 ** 64;

/** Exact below 2^53; what is above is damage, and stays above. */
export function readUint64(page: DataView, at: number): number {
  return page.getUint32(at + 4, true) * TWO_32 + page.getUint32(at, true);
}

/** Number of nodes of the tree page at `base`. */
export function nodeCount(page: DataView, base: number): number {
  return page.getUint16(base + PAGE_LOWER, true) >> 1;
}

/** Where node `index` of the page at `base` begins. */
export function nodeAt(page: DataView, base: number, index: number): number {
  return base + PAGE_HEADER_BYTES + page.getUint16(base + PAGE_HEADER_BYTES + index * 2, true);
}

export function nodeFlags(page: DataView, node: number): number {
  return page.getUint16(node + NODE_FLAGS, true);
}

export function nodeKeyLength(page: DataView, node: number): number {
  return page.getUint16(node + NODE_KEY_LENGTH, true);
}

/** Where the data of a leaf node begins. */
export function nodeDataAt(page: DataView, node: number): number {
  return node + NODE_HEADER_BYTES + nodeKeyLength(page, node);
}

/** Length of a leaf node's data, or of the value on overflow pages that it refers to. */
export function nodeDataLength(page: DataView, node: number): number {
  return page.getUint32(node, true);
}

/** The page that node `index` of the branch page at 0 refers to. */
export function childAt(page: DataView, index: number): number {
  const node = nodeAt(page, 0, index);
  return page.getUint32(node, true) + nodeFlags(page, node) * TWO_32;
}

/** The root page in the description of a tree; -1 when the tree is empty. */
export function treeRoot(description: DataView): number {
  const root = readUint64(description, TREE_ROOT);
  return root === NO_PAGE ? -1 : root;
}

/** Levels of the tree described: 0 when it is empty, 1 when its root is a leaf. */
export function treeDepth(description: DataView): number {
  return description.getUint16(TREE_DEPTH, true);
}
