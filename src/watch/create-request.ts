import { compareBytes } from "../base/compare-bytes.ts";
import { WireReader } from "../proto/wire.ts";
import type { RangeEnd } from "./range-table.ts";
import { WatcherFlag } from "./watcher-flag.ts";

/** A WatchCreateRequest as the watch thread uses it; the bytes are copies. */
export interface CreateRequest {
  readonly key: Uint8Array;
  readonly end: RangeEnd;
  readonly startRevision: number;
  readonly idLow: number;
  readonly idHigh: number;
  /** {@link WatcherFlag}s. */
  readonly flags: number;
}

const EMPTY = new Uint8Array(0);
const LEAST_KEY = new Uint8Array(1);
const FILTER_NOPUT = 0;
const FILTER_NODELETE = 1;

const wire = new WireReader();

/** Decodes it; null if it is malformed. */
export function decodeCreate(bytes: Uint8Array, start: number, end: number): CreateRequest | null {
  let key = EMPTY;
  let rangeEnd = EMPTY;
  let startRevision = 0;
  let idLow = 0;
  let idHigh = 0;
  let flags = 0;
  wire.reset(bytes, start, end);
  for (let tag = wire.tag(); tag !== 0; tag = wire.tag()) {
    if (tag === 0x0a) key = takeBytes(bytes);
    else if (tag === 0x12) rangeEnd = takeBytes(bytes);
    else if (tag === 0x18) startRevision = wire.int64();
    else if (tag === 0x20) flags = withFlag(flags, WatcherFlag.progress, wire.bool());
    else if (tag === 0x28) flags |= filterFlag(wire.int32());
    else if (tag === 0x2a) flags |= takeFilters();
    else if (tag === 0x30) flags = withFlag(flags, WatcherFlag.prevKv, wire.bool());
    else if (tag === 0x38) {
      wire.varint();
      idLow = wire.low | 0;
      idHigh = wire.high | 0;
    } else if (tag === 0x40) flags = withFlag(flags, WatcherFlag.fragment, wire.bool());
    else wire.skip(tag);
  }
  if (wire.failed) return null;
  return {
    key: key.length === 0 ? LEAST_KEY : key,
    end: rangeEndOf(rangeEnd),
    startRevision,
    idLow,
    idHigh,
    flags,
  };
}

/** A range that ends at or in front of its first key. */
export function isEmptyRange(key: Uint8Array, end: RangeEnd): boolean {
  if (end === null || end.length === 0) return false;
  return compareBytes(key, 0, key.length, end, 0, end.length) >= 0;
}

/** None: a single key. One zero byte: from the key on. */
function rangeEndOf(bytes: Uint8Array): RangeEnd {
  if (bytes.length === 0) return null;
  return bytes.length === 1 && bytes[0] === 0 ? EMPTY : bytes;
}

function takeBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = wire.length();
  // slice() of shared memory would be shared again.
  const copy = new Uint8Array(bytes.subarray(wire.position, wire.position + length));
  wire.advance(length);
  return copy;
}

/** Packed enums. */
function takeFilters(): number {
  const length = wire.length();
  const stop = wire.position + length;
  let flags = 0;
  while (wire.position < stop && !wire.failed) flags |= filterFlag(wire.int32());
  return flags;
}

function filterFlag(filter: number): number {
  if (filter === FILTER_NOPUT) return WatcherFlag.noPut;
  return filter === FILTER_NODELETE ? WatcherFlag.noDelete : 0;
}

function withFlag(flags: number, flag: number, set: boolean): number {
  return set ? flags | flag : flags & ~flag;
}
