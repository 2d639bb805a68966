import { MergedBatch } from "../merged-batch.ts";
import { EntryType } from "../raft.ts";
import type { EntryBatch, EntrySlice } from "../raft.ts";
import { payloadBytesOf } from "./entry-size.ts";

/** Copies entries so that they outlive whom they were borrowed from. */
export function copySlices(slices: readonly EntrySlice[]): readonly EntrySlice[] {
  const [first] = slices;
  if (first === undefined) return [];
  const batch = new MergedBatch(first.batch.firstIndex + first.from, payloadBytesOf(slices));
  for (const { batch: source, from, count } of slices) batch.append(source, from, count);
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
  // Not slice(), which a Buffer does not copy with.
  return new Uint8Array(batch.bytes.subarray(batch.dataStart(from), batch.dataEnd(from)));
}
