/**
 * Decoders of the KV requests that are on the hot path. A decoded request is a view: numbers, and offsets into the bytes it
 * was decoded from; nothing is copied or allocated. Make one view a thread and decode into it again and again.
 *
 * As etcd's decoder: the last occurrence of a field wins, unknown fields are skipped, a known field of a wrong wire type
 * makes the message malformed. `decode` returns false for malformed bytes and never throws.
 * Read next: `kv-txn-decode.ts` (TxnRequest), `kv-encode.ts` (responses), `raft-request.ts` (the envelope).
 */
import { WIRE_BYTES, WIRE_VARINT, WireReader } from "./wire.ts";

const bytesTag = (field: number): number => (field << 3) | WIRE_BYTES;
const varintTag = (field: number): number => (field << 3) | WIRE_VARINT;

// The tags as constants, so that the switches above and below compile to jumps over small integers.
const bytesTag1 = bytesTag(1);
const bytesTag2 = bytesTag(2);
const varintTag1 = varintTag(1);
const varintTag2 = varintTag(2);
const varintTag3 = varintTag(3);
const varintTag4 = varintTag(4);
const varintTag5 = varintTag(5);
const varintTag6 = varintTag(6);
const varintTag7 = varintTag(7);
const varintTag8 = varintTag(8);
const varintTag9 = varintTag(9);
const varintTag10 = varintTag(10);
const varintTag11 = varintTag(11);
const varintTag12 = varintTag(12);
const varintTag13 = varintTag(13);

const reader = new WireReader();

/** True when `tag` is one of the fields 1..`last` of a message that this decoder knows, but of another wire type. */
function isKnownField(tag: number, last: number): boolean {
  return tag >>> 3 <= last;
}

/** Reads a bytes field; returns the offset behind it and leaves its length in `reader.low`. */
function readBytes(): number {
  const length = reader.length();
  reader.position += length;
  reader.low = length;
  return reader.position;
}

/** etcdserverpb.PutRequest. Offsets point into the decoded bytes. */
export class PutView {
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  /** int64 lease id, two unsigned halves. */
  leaseLow = 0;
  leaseHigh = 0;
  prevKv = false;
  ignoreValue = false;
  ignoreLease = false;

  decode(bytes: Uint8Array, start: number, end: number): boolean {
    this.keyStart = this.keyEnd = this.valueStart = this.valueEnd = start;
    this.leaseLow = this.leaseHigh = 0;
    this.prevKv = this.ignoreValue = this.ignoreLease = false;
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      switch (tag) {
        case bytesTag1:
          this.keyEnd = readBytes();
          this.keyStart = this.keyEnd - reader.low;
          break;
        case bytesTag2:
          this.valueEnd = readBytes();
          this.valueStart = this.valueEnd - reader.low;
          break;
        case varintTag3:
          reader.varint();
          this.leaseLow = reader.low;
          this.leaseHigh = reader.high;
          break;
        case varintTag4:
          this.prevKv = reader.bool();
          break;
        case varintTag5:
          this.ignoreValue = reader.bool();
          break;
        case varintTag6:
          this.ignoreLease = reader.bool();
          break;
        default:
          if (isKnownField(tag, 6)) return false;
          reader.skip(tag);
      }
    }
    return !reader.failed;
  }
}

/** etcdserverpb.RangeRequest.SortOrder */
export const SortOrder = { none: 0, ascend: 1, descend: 2 } as const;
/** etcdserverpb.RangeRequest.SortTarget */
export const SortTarget = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const;

/** etcdserverpb.RangeRequest. Offsets point into the decoded bytes. */
export class RangeView {
  keyStart = 0;
  keyEnd = 0;
  rangeEndStart = 0;
  rangeEndEnd = 0;
  /** range_end was on the wire, be it empty. etcd reads an empty one as "every key from key on" where the client's own bytes are executed. */
  hasRangeEnd = false;
  limit = 0;
  revision = 0;
  /** As sent: may lie outside the enum. */
  sortOrder = 0;
  sortTarget = 0;
  serializable = false;
  keysOnly = false;
  countOnly = false;
  minModRevision = 0;
  maxModRevision = 0;
  minCreateRevision = 0;
  maxCreateRevision = 0;

  decode(bytes: Uint8Array, start: number, end: number): boolean {
    this.clear(start);
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      switch (tag) {
        case bytesTag1:
          this.keyEnd = readBytes();
          this.keyStart = this.keyEnd - reader.low;
          break;
        case bytesTag2:
          this.rangeEndEnd = readBytes();
          this.rangeEndStart = this.rangeEndEnd - reader.low;
          this.hasRangeEnd = true;
          break;
        case varintTag3:
          this.limit = reader.int64();
          break;
        case varintTag4:
          this.revision = reader.int64();
          break;
        case varintTag5:
          this.sortOrder = reader.int32();
          break;
        case varintTag6:
          this.sortTarget = reader.int32();
          break;
        case varintTag7:
          this.serializable = reader.bool();
          break;
        case varintTag8:
          this.keysOnly = reader.bool();
          break;
        case varintTag9:
          this.countOnly = reader.bool();
          break;
        case varintTag10:
          this.minModRevision = reader.int64();
          break;
        case varintTag11:
          this.maxModRevision = reader.int64();
          break;
        case varintTag12:
          this.minCreateRevision = reader.int64();
          break;
        case varintTag13:
          this.maxCreateRevision = reader.int64();
          break;
        default:
          if (isKnownField(tag, 13)) return false;
          reader.skip(tag);
      }
    }
    return !reader.failed;
  }

  /** True when any min/max filter is set. */
  hasFilters(): boolean {
    return (
      this.minModRevision !== 0 ||
      this.maxModRevision !== 0 ||
      this.minCreateRevision !== 0 ||
      this.maxCreateRevision !== 0
    );
  }

  private clear(start: number): void {
    this.keyStart = this.keyEnd = this.rangeEndStart = this.rangeEndEnd = start;
    this.hasRangeEnd = this.serializable = this.keysOnly = this.countOnly = false;
    this.limit = this.revision = this.sortOrder = this.sortTarget = 0;
    this.minModRevision = this.maxModRevision = this.minCreateRevision = this.maxCreateRevision = 0;
  }
}

/** etcdserverpb.DeleteRangeRequest. Offsets point into the decoded bytes. */
export class DeleteRangeView {
  keyStart = 0;
  keyEnd = 0;
  rangeEndStart = 0;
  rangeEndEnd = 0;
  hasRangeEnd = false;
  prevKv = false;

  decode(bytes: Uint8Array, start: number, end: number): boolean {
    this.keyStart = this.keyEnd = this.rangeEndStart = this.rangeEndEnd = start;
    this.hasRangeEnd = this.prevKv = false;
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      switch (tag) {
        case bytesTag1:
          this.keyEnd = readBytes();
          this.keyStart = this.keyEnd - reader.low;
          break;
        case bytesTag2:
          this.rangeEndEnd = readBytes();
          this.rangeEndStart = this.rangeEndEnd - reader.low;
          this.hasRangeEnd = true;
          break;
        case varintTag3:
          this.prevKv = reader.bool();
          break;
        default:
          if (isKnownField(tag, 3)) return false;
          reader.skip(tag);
      }
    }
    return !reader.failed;
  }
}

/** etcdserverpb.CompactionRequest. */
export class CompactionView {
  revision = 0;
  physical = false;

  decode(bytes: Uint8Array, start: number, end: number): boolean {
    this.revision = 0;
    this.physical = false;
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === varintTag1) this.revision = reader.int64();
      else if (tag === varintTag2) this.physical = reader.bool();
      else if (isKnownField(tag, 2)) return false;
      else reader.skip(tag);
    }
    return !reader.failed;
  }
}

const COMPARE_UNION_FIRST = 4;
const COMPARE_UNION_LAST = 8;
const COMPARE_VALUE = 7;
const COMPARE_LEASE = 8;
const COMPARE_RANGE_END = 64;

/** etcdserverpb.Compare.CompareResult */
export const CompareResult = { equal: 0, greater: 1, less: 2, notEqual: 3 } as const;
/** etcdserverpb.Compare.CompareTarget */
export const CompareTarget = { version: 0, create: 1, mod: 2, value: 3, lease: 4 } as const;

/** etcdserverpb.Compare. Offsets point into the decoded bytes. */
export class CompareView {
  result = 0;
  target = 0;
  keyStart = 0;
  keyEnd = 0;
  rangeEndStart = 0;
  rangeEndEnd = 0;
  hasRangeEnd = false;
  /** Field number of the member of target_union that was set last, 0 if none was. */
  unionField = 0;
  /** version, create_revision or mod_revision. */
  number = 0;
  valueStart = 0;
  valueEnd = 0;
  leaseLow = 0;
  leaseHigh = 0;

  decode(bytes: Uint8Array, start: number, end: number): boolean {
    this.result = this.target = this.unionField = this.number = this.leaseLow = this.leaseHigh = 0;
    this.keyStart =
      this.keyEnd =
      this.rangeEndStart =
      this.rangeEndEnd =
      this.valueStart =
      this.valueEnd =
        start;
    this.hasRangeEnd = false;
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (!this.field(tag)) return false;
    }
    return !reader.failed;
  }

  private field(tag: number): boolean {
    const field = tag >>> 3;
    if (field > COMPARE_UNION_LAST && field !== COMPARE_RANGE_END) {
      reader.skip(tag);
      return true;
    }
    const isBytes = field === 3 || field === COMPARE_VALUE || field === COMPARE_RANGE_END;
    if ((tag & 7) !== (isBytes ? WIRE_BYTES : WIRE_VARINT)) return false;
    if (field >= COMPARE_UNION_FIRST && field <= COMPARE_UNION_LAST) this.unionField = field;
    if (isBytes) this.bytesField(field);
    else if (field === 1) this.result = reader.int32();
    else if (field === 2) this.target = reader.int32();
    else if (field === COMPARE_LEASE) {
      reader.varint();
      this.leaseLow = reader.low;
      this.leaseHigh = reader.high;
    } else this.number = reader.int64();
    return true;
  }

  private bytesField(field: number): void {
    const end = readBytes();
    const start = end - reader.low;
    if (field === 3) {
      this.keyStart = start;
      this.keyEnd = end;
    } else if (field === COMPARE_VALUE) {
      this.valueStart = start;
      this.valueEnd = end;
    } else {
      this.rangeEndStart = start;
      this.rangeEndEnd = end;
      this.hasRangeEnd = true;
    }
  }
}
