/**
 * Walks through the buckets of a database file in key order, and believes nothing: every page is checked for being what its
 * parent says (number, kind, keys in order and inside the parent's bounds, everything inside the page, visited once) before
 * a record of it is handed out. A walk over everything is the verification of the file.
 *
 * Bounded memory: a window of pages, the branch pages of one path, and a bit a page.
 */
import { BoltFile } from "./bolt-file.ts";
import {
  BUCKET_HEADER_BYTES,
  ELEMENT_BYTES,
  ELEMENT_FLAG_BUCKET,
  PAGE_FLAG_BRANCH,
  PAGE_FLAG_LEAF,
  PAGE_HEADER_BYTES,
  readPageHeader,
  readPageId,
} from "./bolt-format.ts";
import { type WindowPage, PageWindow } from "./page-window.ts";

/** A tree of two children a page is that deep at 2^32 leaves. */
const DEPTH_MAX = 32;

/**
 * Takes one record: its key is `bytes[keyAt, valueAt)`, its value `bytes[valueAt, end)`; borrowed until the call returns, and
 * the reader must not be used meanwhile.
 */
export type RecordVisitor = (bytes: Uint8Array, keyAt: number, valueAt: number, end: number) => void;

/** A bucket as the tree of buckets describes it. */
export interface BoltBucket {
  readonly name: string;
  /** Its root page; 0 = all of it is {@link inlinePage}. */
  readonly root: number;
  readonly inlinePage: Uint8Array;
}

/** Where the keys below a branch's child lie. */
interface Bounds {
  /** Keys are not below; null = no bound. */
  readonly low: Uint8Array | null;
  /** Keys are below; null = no bound. */
  readonly high: Uint8Array | null;
}

const UNBOUNDED: Bounds = { low: null, high: null };

export class BoltReader {
  readonly file: BoltFile;
  readonly #window: PageWindow;
  /** A bit a page: reached before. Pages with overflow count by their first. */
  readonly #visited: Uint8Array;
  #last: Uint8Array = new Uint8Array(256);
  #lastLength = -1;

  /** @throws as {@link BoltFile} */
  constructor(path: string) {
    this.file = new BoltFile(path);
    this.#window = new PageWindow(this.file);
    this.#visited = new Uint8Array((this.file.meta.highWater >> 3) + 1);
  }

  /** All buckets, by name. @throws SnapshotFileError */
  buckets(): BoltBucket[] {
    const found: BoltBucket[] = [];
    this.#walk(this.file.meta.root, ELEMENT_FLAG_BUCKET, (bytes, keyAt, valueAt, end) => {
      found.push(this.#decodeBucket(bytes, keyAt, valueAt, end));
    });
    return found;
  }

  /** Hands every record of `bucket` to `visit`, ascending. A page may be reached once in the life of the reader. @throws SnapshotFileError */
  scan(bucket: BoltBucket, visit: RecordVisitor): void {
    if (bucket.root === 0) this.#scanInline(bucket, visit);
    else this.#walk(bucket.root, 0, visit);
  }

  close(): void {
    this.file.close();
  }

  #decodeBucket(bytes: Uint8Array, keyAt: number, valueAt: number, end: number): BoltBucket {
    const name = Buffer.from(bytes.subarray(keyAt, valueAt)).toString("utf8");
    if (end - valueAt < BUCKET_HEADER_BYTES) {
      throw this.file.error(`is damaged: bucket ${name} is described by ${end - valueAt} bytes`);
    }
    const root = readPageId(new DataView(bytes.buffer, bytes.byteOffset), valueAt);
    return { name, root, inlinePage: bytes.slice(valueAt + BUCKET_HEADER_BYTES, end) };
  }

  #scanInline({ name, inlinePage }: BoltBucket, visit: RecordVisitor): void {
    const view = new DataView(inlinePage.buffer);
    const damaged = (what: string): Error => this.file.error(`is damaged: the inline bucket ${name} ${what}`);
    if (inlinePage.length < PAGE_HEADER_BYTES) throw damaged(`has ${inlinePage.length} bytes`);
    const { flags, count } = readPageHeader(view, 0);
    if (flags !== PAGE_FLAG_LEAF) throw damaged(`has flags 0x${flags.toString(16)}, expected a leaf`);
    if (PAGE_HEADER_BYTES + count * ELEMENT_BYTES > inlinePage.length)
      throw damaged(`has ${count} elements, more than fit`);
    this.#lastLength = -1;
    const page = { start: 0, end: inlinePage.length, count };
    this.#visitLeaf({ bytes: inlinePage, view, page, bounds: UNBOUNDED, flags: 0, visit, damaged });
  }

  #walk(root: number, flags: number, visit: RecordVisitor): void {
    this.#lastLength = -1;
    this.#walkPage(root, UNBOUNDED, { flags, visit }, 0);
  }

  #walkPage(
    id: number,
    bounds: Bounds,
    task: { readonly flags: number; readonly visit: RecordVisitor },
    depth: number,
  ): void {
    if (depth > DEPTH_MAX) throw this.file.pageError(id, `lies ${depth} levels deep`);
    const page = this.#window.load(id);
    this.#markVisited(id);
    if (page.flags === PAGE_FLAG_BRANCH) {
      const children = this.#readBranch(page, bounds);
      for (let i = 0; i < children.length; i++) {
        const high = i + 1 < children.length ? children[i + 1].key : bounds.high;
        this.#walkPage(children[i].page, { low: children[i].key, high }, task, depth + 1);
      }
      return;
    }
    const { bytes, view } = this.#window;
    const damaged = (what: string): Error => this.file.pageError(id, what);
    this.#visitLeaf({ bytes, view, page, bounds, ...task, damaged });
  }

  #markVisited(id: number): void {
    const bit = 1 << (id & 7);
    if ((this.#visited[id >> 3] & bit) !== 0) throw this.file.pageError(id, "is referred to twice");
    this.#visited[id >> 3] |= bit;
  }

  /** Copies a branch page out of the window: its children will replace it there. */
  #readBranch(page: WindowPage, bounds: Bounds): Array<{ key: Uint8Array; page: number }> {
    const { bytes, view } = this.#window;
    const children: Array<{ key: Uint8Array; page: number }> = [];
    if (page.count === 0) throw this.file.pageError(page.id, "is a branch without children");
    let low = bounds.low;
    for (let i = 0; i < page.count; i++) {
      const element = page.start + PAGE_HEADER_BYTES + i * ELEMENT_BYTES;
      const keyAt = element + view.getUint32(element, true);
      const keyEnd = keyAt + view.getUint32(element + 4, true);
      if (keyEnd > page.end) throw this.file.pageError(page.id, `has the key of child ${i} outside of it`);
      const key = bytes.slice(keyAt, keyEnd);
      const order = low === null ? 1 : Buffer.compare(key, low);
      // The first child's key may be the bound itself; the others ascend.
      const isBelow = i === 0 ? order < 0 : order <= 0;
      if (isBelow || (bounds.high !== null && Buffer.compare(key, bounds.high) >= 0)) {
        throw this.file.pageError(page.id, `has the key of child ${i} out of order`);
      }
      children.push({ key, page: readPageId(view, element + 8) });
      low = key;
    }
    return children;
  }

  #visitLeaf(leaf: {
    readonly bytes: Uint8Array;
    readonly view: DataView;
    readonly page: { readonly start: number; readonly end: number; readonly count: number };
    readonly bounds: Bounds;
    readonly flags: number;
    readonly visit: RecordVisitor;
    readonly damaged: (what: string) => Error;
  }): void {
    const { bytes, view, page, bounds, visit, damaged } = leaf;
    for (let i = 0; i < page.count; i++) {
      const element = page.start + PAGE_HEADER_BYTES + i * ELEMENT_BYTES;
      const flags = view.getUint32(element, true);
      if (flags !== leaf.flags) throw damaged(`has flags ${flags} on element ${i}, expected ${leaf.flags}`);
      const keyAt = element + view.getUint32(element + 4, true);
      const valueAt = keyAt + view.getUint32(element + 8, true);
      const end = valueAt + view.getUint32(element + 12, true);
      if (end > page.end || valueAt === keyAt) throw damaged(`has element ${i} outside of it`);
      const isLow =
        i === 0 && bounds.low !== null && compare(bytes, keyAt, valueAt, bounds.low, bounds.low.length) < 0;
      const isHigh =
        i === page.count - 1 &&
        bounds.high !== null &&
        compare(bytes, keyAt, valueAt, bounds.high, bounds.high.length) >= 0;
      const ascends =
        this.#lastLength < 0 || compare(bytes, keyAt, valueAt, this.#last, this.#lastLength) > 0;
      if (isLow || isHigh || !ascends) throw damaged(`has the key of element ${i} out of order`);
      this.#noteKey(bytes, keyAt, valueAt);
      visit(bytes, keyAt, valueAt, end);
    }
  }

  #noteKey(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length > this.#last.length) this.#last = new Uint8Array(2 * length);
    for (let i = 0; i < length; i++) this.#last[i] = bytes[start + i];
    this.#lastLength = length;
  }
}

/** Order of `a[start, end)` and `b[0, bLength)`, bytewise. */
function compare(a: Uint8Array, start: number, end: number, b: Uint8Array, bLength: number): number {
  const aLength = end - start;
  const length = Math.min(aLength, bLength);
  for (let i = 0; i < length; i++) {
    const difference = a[start + i] - b[i];
    if (difference !== 0) return difference;
  }
  return aLength - bLength;
}
