/** Where a key belongs among the nodes of one page. Keys are ordered by their bytes, and a prefix comes before what it begins. */
import { NODE_HEADER_BYTES, nodeAt, nodeCount, nodeKeyLength } from "./page-layout.ts";

/** What is compared as numbers in place of bytes: the main revision of a revision key. */
const HEAD_BYTES = 8;
const TWO_32 = 0x1_0000_0000;

/** A key to look for. */
export class SearchKey {
  /** Change them, then call {@link changed}. */
  readonly bytes: Uint8Array;
  readonly length: number;
  /** The first four bytes as a number, and the next four; 0 when the key has less than eight. */
  high = 0;
  low = 0;
  /** See {@link readHead}. */
  head = 0;
  readonly #view: DataView;

  /** Keeps `bytes`. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.length = bytes.length;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.changed();
  }

  changed(): void {
    if (this.length < HEAD_BYTES) {
      this.head = padHead(this.#view, 0, this.length);
      return;
    }
    this.high = this.#view.getUint32(0);
    this.low = this.#view.getUint32(4);
    this.head = this.high * TWO_32 + this.low;
  }
}

/**
 * The head of the node's key as a number: of two keys, the one with the smaller head comes first. Equal heads say nothing,
 * beyond 2^53 not even about the first eight bytes.
 */
export function readHead(page: DataView, node: number): number {
  const length = nodeKeyLength(page, node);
  const start = node + NODE_HEADER_BYTES;
  if (length < HEAD_BYTES) return padHead(page, start, length);
  return page.getUint32(start) * TWO_32 + page.getUint32(start + 4);
}

/** The head of a key that is shorter than one: as if zero bytes followed. */
function padHead(bytes: DataView, start: number, length: number): number {
  let head = 0;
  for (let i = 0; i < HEAD_BYTES; i++) head = head * 256 + (i < length ? bytes.getUint8(start + i) : 0);
  return head;
}

/** Order of `key` against the key of `node`; negative when `key` is smaller. */
export function compareWithNode(key: SearchKey, page: DataView, node: number): number {
  const length = nodeKeyLength(page, node);
  const start = node + NODE_HEADER_BYTES;
  const common = length < key.length ? length : key.length;
  let i = 0;
  if (common >= HEAD_BYTES) {
    const high = page.getUint32(start);
    if (key.high !== high) return key.high < high ? -1 : 1;
    const low = page.getUint32(start + 4);
    if (key.low !== low) return key.low < low ? -1 : 1;
    i = HEAD_BYTES;
  }
  for (; i < common; i++) {
    const difference = key.bytes[i] - page.getUint8(start + i);
    if (difference !== 0) return difference;
  }
  return key.length - length;
}

/** First node of the leaf at `base` whose key is not below `key`; the count of nodes when there is none. */
export function findInLeaf(key: SearchKey, page: DataView, base: number): number {
  let low = 0;
  let high = nodeCount(page, base);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareWithNode(key, page, nodeAt(page, base, middle)) > 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
