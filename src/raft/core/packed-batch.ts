import { copyBytes } from "../../base/copy-bytes.ts";
import { EntryType } from "../raft.ts";
import type { EntryBatch, EntrySlice } from "../raft.ts";
import { countEntries, payloadBytesOf } from "./entry-size.ts";

/** Entries that own their bytes: what must outlive the call it came with, such as a proposal on its way to the leader. */
export class PackedBatch implements EntryBatch {
  readonly firstIndex: number;
  readonly count: number;
  readonly bytes: Uint8Array;
  readonly #types: Uint8Array;
  readonly #terms: Float64Array;
  /** Entry `i`'s data ends at `#ends[i]` and begins where the one before it ends. */
  readonly #ends: Float64Array;

  private constructor(slices: readonly EntrySlice[]) {
    this.count = countEntries(slices);
    this.firstIndex = this.count === 0 ? 0 : slices[0].batch.firstIndex + slices[0].from;
    this.bytes = new Uint8Array(payloadBytesOf(slices));
    this.#types = new Uint8Array(this.count);
    this.#terms = new Float64Array(this.count);
    this.#ends = new Float64Array(this.count);
    let at = 0;
    let end = 0;
    for (const { batch, from, count } of slices) {
      for (let i = from; i < from + count; i++) {
        const start = batch.dataStart(i);
        copyBytes(batch.bytes, start, batch.dataEnd(i), this.bytes, end);
        end += batch.dataEnd(i) - start;
        this.#types[at] = batch.type(i);
        this.#terms[at] = batch.term(i);
        this.#ends[at] = end;
        at++;
      }
    }
  }

  /** A copy of `slices`; indexes count on from the first one's. */
  static copy(slices: readonly EntrySlice[]): PackedBatch {
    return new PackedBatch(slices);
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
}

/** Copies entries so that they outlive whom they were borrowed from. */
export function copySlices(slices: readonly EntrySlice[]): readonly EntrySlice[] {
  const batch = PackedBatch.copy(slices);
  return batch.count === 0 ? [] : [{ batch, from: 0, count: batch.count }];
}

/** One entry without index and term, around bytes that it borrows: a proposal, or the context of a read. */
export function singleEntry(data: Uint8Array, type: number = EntryType.normal): readonly EntrySlice[] {
  const batch: EntryBatch = {
    firstIndex: 0,
    count: 1,
    bytes: data,
    term: () => 0,
    type: () => type,
    dataStart: () => 0,
    dataEnd: () => data.length,
  };
  return [{ batch, from: 0, count: 1 }];
}

/** A copy of the data of entry `i` of the first slice. */
export function copyData({ batch, from }: EntrySlice): Uint8Array {
  return batch.bytes.slice(batch.dataStart(from), batch.dataEnd(from));
}
