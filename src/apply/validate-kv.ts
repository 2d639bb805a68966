/**
 * The checks that etcd's gRPC layer runs before a request is proposed or read, for Put, Range and DeleteRange. They run on
 * the main thread over the client's bytes, and allocate nothing. Each returns an ErrorId, 0 when the request may go on.
 * Read next: `validate-txn.ts`.
 */
import { ErrorId } from "../base/errors.ts";
import {
  CompactionView,
  DeleteRangeView,
  PutView,
  RangeView,
  SortOrder,
  SortTarget,
} from "../proto/kv-decode.ts";

const put = new PutView();
const range = new RangeView();
const deleteRange = new DeleteRangeView();
const compaction = new CompactionView();

/** PutRequest in `bytes[start, end)`. */
export function checkPut(bytes: Uint8Array, start: number, end: number): number {
  if (!put.decode(bytes, start, end)) return ErrorId.malformedRequest;
  if (put.keyStart === put.keyEnd) return ErrorId.emptyKey;
  if (put.ignoreValue && put.valueStart !== put.valueEnd) return ErrorId.valueProvided;
  if (put.ignoreLease && (put.leaseLow !== 0 || put.leaseHigh !== 0)) return ErrorId.leaseProvided;
  return ErrorId.none;
}

/** RangeRequest in `bytes[start, end)`. */
export function checkRange(bytes: Uint8Array, start: number, end: number): number {
  if (!range.decode(bytes, start, end)) return ErrorId.malformedRequest;
  if (range.keyStart === range.keyEnd) return ErrorId.emptyKey;
  if (range.sortOrder < SortOrder.none || range.sortOrder > SortOrder.descend)
    return ErrorId.invalidSortOption;
  if (range.sortTarget < SortTarget.key || range.sortTarget > SortTarget.value)
    return ErrorId.invalidSortOption;
  return ErrorId.none;
}

/** DeleteRangeRequest in `bytes[start, end)`. */
export function checkDeleteRange(bytes: Uint8Array, start: number, end: number): number {
  if (!deleteRange.decode(bytes, start, end)) return ErrorId.malformedRequest;
  return deleteRange.keyStart === deleteRange.keyEnd ? ErrorId.emptyKey : ErrorId.none;
}

/** Whether the RangeRequest that {@link checkRange} saw last may be answered from local state, past Raft. */
export function isSerializableRange(): boolean {
  return range.serializable;
}

/** Whether it names an empty range_end (`src/proto/strip-range-end.ts`). */
export function hasEmptyRangeEnd(): boolean {
  return range.hasRangeEnd && range.rangeEndStart === range.rangeEndEnd;
}

/** The same of {@link checkDeleteRange}. */
export function hasEmptyDeleteRangeEnd(): boolean {
  return deleteRange.hasRangeEnd && deleteRange.rangeEndStart === deleteRange.rangeEndEnd;
}

/** CompactionRequest in `bytes[start, end)`: only its form can be wrong here, its revision is judged by apply. */
export function checkCompaction(bytes: Uint8Array, start: number, end: number): number {
  return compaction.decode(bytes, start, end) ? ErrorId.none : ErrorId.malformedRequest;
}
