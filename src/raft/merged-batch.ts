import { assert } from "../base/assert.ts";
import { copyBytes } from "../base/copy-bytes.ts";
import type { EntryBatch } from "./raft.ts";

/** A merged batch is full when its data or its number of entries reaches this; it grows beyond only for one long batch. */
export const MERGED_BYTES = 256 * 1024;
const MERGED_ENTRIES = 4096;
const BYTES_INITIAL = 4096;
const ENTRIES_INITIAL = 32;

/** Entries copied together from other batches: data alone, one behind the other, in memory that grows with them. */
export class MergedBatch implements EntryBatch {
  firstIndex: number;
  bytes: Uint8Array;
  count = 0;
  /** Where the data of each entry ends; it begins where the one before ends. */
  #ends = new Uint32Array(ENTRIES_INITIAL);
  #terms = new Float64Array(ENTRIES_INITIAL);
  #types = new Uint8Array(ENTRIES_INITIAL);

  /** @param bytes room for data that it begins with */
  constructor(firstIndex: number, bytes: number = BYTES_INITIAL) {
    this.firstIndex = firstIndex;
    this.bytes = new Uint8Array(bytes);
  }

  get hasRoom(): boolean {
    return this.count < MERGED_ENTRIES && this.#used < MERGED_BYTES;
  }

  get #used(): number {
    return this.count === 0 ? 0 : this.#ends[this.count - 1];
  }

  term(i: number): number {
    return this.#terms[i];
  }

  type(i: number): number {
    return this.#types[i];
  }

  dataStart(i: number): number {
    return i === 0 ? 0 : this.#ends[i - 1];
  }

  dataEnd(i: number): number {
    return this.#ends[i];
  }

  /** Appends one entry; its data `source[start, end)` is copied. */
  add(type: number, term: number, source: Uint8Array, start: number, end: number): void {
    const at = this.#used;
    this.#ensure(this.count + 1, at + end - start);
    copyBytes(source, start, end, this.bytes, at);
    const i = this.count++;
    this.#ends[i] = at + end - start;
    this.#terms[i] = term;
    this.#types[i] = type;
  }

  /** Appends `count` entries of another batch. */
  append(batch: EntryBatch, from: number, count: number): void {
    for (let i = from; i < from + count; i++) {
      this.add(batch.type(i), batch.term(i), batch.bytes, batch.dataStart(i), batch.dataEnd(i));
    }
  }

  /** Forgets the entries from `index` on. */
  truncate(index: number): void {
    assert(index >= this.firstIndex, "truncated before its first entry", index, this.firstIndex);
    this.count = Math.min(this.count, index - this.firstIndex);
  }

  /** Forgets everything; for a batch that gathers again and again. */
  clear(firstIndex: number = this.firstIndex): void {
    this.firstIndex = firstIndex;
    this.count = 0;
  }

  #ensure(entries: number, bytes: number): void {
    if (bytes > this.bytes.length) {
      const grown = new Uint8Array(Math.max(bytes, this.bytes.length * 2));
      grown.set(this.bytes.subarray(0, this.#used));
      this.bytes = grown;
    }
    if (entries <= this.#types.length) return;
    const length = Math.max(entries, this.#types.length * 2);
    this.#ends = copyTable(this.#ends, new Uint32Array(length));
    this.#terms = copyTable(this.#terms, new Float64Array(length));
    this.#types = copyTable(this.#types, new Uint8Array(length));
  }
}

function copyTable<T extends Uint8Array | Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
