/** The leaf page that is being filled: its records, kept until it is known how many of them fit. */
import { assert } from "../base/assert.ts";
import { copyBytes } from "../base/copy-bytes.ts";
import {
  BUCKET_HEADER_BYTES,
  ELEMENT_BYTES,
  ELEMENTS_MAX,
  KEY_BYTES_MAX,
  PAGE_FLAG_LEAF,
  PAGE_HEADER_BYTES,
  writePageHeader,
} from "./bolt-format.ts";
import type { PageOutput } from "./page-output.ts";

export class LeafBuilder {
  count = 0;
  readonly #output: PageOutput;
  /** Flags of every record: those of the root tree are buckets. */
  readonly #flags: number;
  /** Keys and values, one behind the other. */
  #data: Uint8Array;
  #dataLength = 0;
  readonly #keyLengths: Uint32Array;
  readonly #valueLengths: Uint32Array;
  /** The newest key: `#lastKey[0, #lastKeyLength)`; kept over pages. */
  #lastKey = new Uint8Array(256);
  #lastKeyLength = -1;

  constructor(output: PageOutput, flags: number) {
    this.#output = output;
    this.#flags = flags;
    this.#data = new Uint8Array(2 * output.pageBytes);
    const countMax = Math.min(ELEMENTS_MAX, Math.ceil(output.pageBytes / ELEMENT_BYTES));
    this.#keyLengths = new Uint32Array(countMax);
    this.#valueLengths = new Uint32Array(countMax);
  }

  /** Length of the page's image. */
  get usedBytes(): number {
    return PAGE_HEADER_BYTES + this.count * ELEMENT_BYTES + this.#dataLength;
  }

  /** Whether a record of so many bytes fits behind those that are there. */
  fits(recordBytes: number): boolean {
    if (this.count === 0) return true;
    const isFull = this.count === this.#keyLengths.length;
    return !isFull && this.usedBytes + ELEMENT_BYTES + recordBytes <= this.#output.pageBytes;
  }

  /** Appends a record; its key must be above all before. Both are borrowed. */
  add(key: Uint8Array, keyLength: number, value: Uint8Array, valueLength: number): void {
    this.#noteKey(key, keyLength);
    const end = this.#dataLength + keyLength + valueLength;
    if (end > this.#data.length) this.#grow(end);
    copyBytes(key, 0, keyLength, this.#data, this.#dataLength);
    copyBytes(value, 0, valueLength, this.#data, this.#dataLength + keyLength);
    this.#keyLengths[this.count] = keyLength;
    this.#valueLengths[this.count] = valueLength;
    this.#dataLength = end;
    this.count++;
  }

  #noteKey(key: Uint8Array, length: number): void {
    assert(length > 0 && length <= KEY_BYTES_MAX, "length of a key", length);
    assert(
      this.#lastKeyLength === -1 || isAbove(key, length, this.#lastKey, this.#lastKeyLength),
      "keys of a bucket ascend",
    );
    if (length > this.#lastKey.length) this.#lastKey = new Uint8Array(KEY_BYTES_MAX);
    copyBytes(key, 0, length, this.#lastKey, 0);
    this.#lastKeyLength = length;
  }

  #grow(length: number): void {
    const larger = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
    larger.set(this.#data.subarray(0, this.#dataLength));
    this.#data = larger;
  }

  /** Copy of the page's first key. */
  firstKey(): Uint8Array {
    return this.#data.slice(0, this.#keyLengths[0]);
  }

  /** Writes the page, with overflow pages where it is longer than one, and begins the next. Returns its id. */
  writePage(): number {
    const output = this.#output;
    const pages = Math.ceil(this.usedBytes / output.pageBytes);
    const id = output.nextPage;
    const at = output.reserve(pages);
    this.#writeImage(output.bytes, output.view, at, id, pages - 1);
    output.bytes.fill(0, at + this.usedBytes, at + pages * output.pageBytes);
    this.#clear();
    return id;
  }

  /** The bucket's value when this page is all of it: root 0, then the page's image. Begins the next page. */
  takeInlineBucket(): Uint8Array {
    const value = new Uint8Array(BUCKET_HEADER_BYTES + this.usedBytes);
    this.#writeImage(value, new DataView(value.buffer), BUCKET_HEADER_BYTES, 0, 0);
    this.#clear();
    return value;
  }

  #writeImage(target: Uint8Array, view: DataView, at: number, id: number, overflow: number): void {
    const { count } = this;
    writePageHeader(view, at, { id, flags: PAGE_FLAG_LEAF, count, overflow });
    let element = at + PAGE_HEADER_BYTES;
    const dataAt = element + count * ELEMENT_BYTES;
    let keyAt = dataAt;
    for (let i = 0; i < count; i++) {
      const keyLength = this.#keyLengths[i];
      const valueLength = this.#valueLengths[i];
      view.setUint32(element, this.#flags, true);
      view.setUint32(element + 4, keyAt - element, true);
      view.setUint32(element + 8, keyLength, true);
      view.setUint32(element + 12, valueLength, true);
      element += ELEMENT_BYTES;
      keyAt += keyLength + valueLength;
    }
    target.set(this.#data.subarray(0, this.#dataLength), dataAt);
  }

  #clear(): void {
    this.count = 0;
    this.#dataLength = 0;
    if (this.#data.length > 1024 * this.#output.pageBytes)
      this.#data = new Uint8Array(2 * this.#output.pageBytes);
  }
}

/** Whether `a[0, aLength)` is above `b[0, bLength)`, bytewise. */
function isAbove(a: Uint8Array, aLength: number, b: Uint8Array, bLength: number): boolean {
  const length = Math.min(aLength, bLength);
  for (let i = 0; i < length; i++) {
    if (a[i] !== b[i]) return a[i] > b[i];
  }
  return aLength > bLength;
}
