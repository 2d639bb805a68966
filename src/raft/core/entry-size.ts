import { varintBytes } from "../../proto/wire.ts";
import type { EntryBatch, EntrySlice } from "../raft.ts";

/** Tags of raftpb.Entry's type, term and index, and the type itself: a byte each, always written (proto2). */
const FIXED_BYTES = 4;

/** Bytes of a raftpb.Entry on the wire, without its own tag and length: what every limit on entries counts. */
export function entryEncodedBytes(term: number, index: number, dataBytes: number): number {
  const data = dataBytes === 0 ? 0 : 1 + varintBytes(dataBytes) + dataBytes;
  return FIXED_BYTES + varintBytes(term) + varintBytes(index) + data;
}

/** {@link entryEncodedBytes} of entry `i` of a batch. */
export function encodedBytesAt(batch: EntryBatch, i: number): number {
  return entryEncodedBytes(batch.term(i), batch.firstIndex + i, batch.dataEnd(i) - batch.dataStart(i));
}

export function countEntries(slices: readonly EntrySlice[]): number {
  let count = 0;
  for (const slice of slices) count += slice.count;
  return count;
}

/** Bytes of the entries' encodings. */
export function encodedBytesOf(slices: readonly EntrySlice[]): number {
  let bytes = 0;
  for (const { batch, from, count } of slices) {
    for (let i = from; i < from + count; i++) bytes += encodedBytesAt(batch, i);
  }
  return bytes;
}

/** Bytes of the entries' data alone. */
export function payloadBytesOf(slices: readonly EntrySlice[]): number {
  let bytes = 0;
  for (const { batch, from, count } of slices) {
    for (let i = from; i < from + count; i++) bytes += batch.dataEnd(i) - batch.dataStart(i);
  }
  return bytes;
}
