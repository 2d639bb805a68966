/**
 * Bytes of leases: the requests (etcdserverpb) as entries and reads carry them, leasepb.Lease as bucket `lease` has it, and the
 * parts of answers that the apply thread writes. Ids are int64 in two unsigned halves.
 */
import {
  varint64Bytes,
  varintBytes,
  WIRE_BYTES,
  WIRE_VARINT,
  WireReader,
  writeVarint,
  writeVarint64,
} from "../proto/wire.ts";

const TAG_1 = (1 << 3) | WIRE_VARINT;
const TAG_2 = (2 << 3) | WIRE_VARINT;
const TAG_3 = (3 << 3) | WIRE_VARINT;
const TAG_4 = (4 << 3) | WIRE_VARINT;
const TAG_1_BYTES = (1 << 3) | WIRE_BYTES;
const TAG_5_BYTES = (5 << 3) | WIRE_BYTES;

/** A message of a lease id and at most two numbers, decoded; one object is filled again and again. Make one a thread. */
export class LeaseView {
  low = 0;
  high = 0;
  /** LeaseGrantRequest.TTL, leasepb.Lease.TTL, LeaseCheckpoint.remaining_TTL, LeaseKeepAliveResponse.TTL; saturated at 2^53. */
  seconds = 0;
  /** leasepb.Lease.RemainingTTL, LeaseTimeToLiveRequest.keys. */
  second = 0;
  readonly #reader = new WireReader();

  /** LeaseGrantRequest {1 TTL, 2 ID}. False when the bytes are malformed; as all of these. */
  decodeGrant(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#decode(bytes, start, end, TAG_2, TAG_1, 0);
  }

  /** LeaseRevokeRequest, LeaseKeepAliveRequest {1 ID}. */
  decodeId(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#decode(bytes, start, end, TAG_1, 0, 0);
  }

  /** LeaseTimeToLiveRequest {1 ID, 2 keys}: `second` is 1 with keys. */
  decodeTimeToLive(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#decode(bytes, start, end, TAG_1, 0, TAG_2);
  }

  /** LeaseCheckpoint {1 ID, 2 remaining_TTL}. */
  decodeCheckpoint(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#decode(bytes, start, end, TAG_1, TAG_2, 0);
  }

  /** leasepb.Lease {1 ID, 2 TTL, 3 RemainingTTL}. */
  decodeLease(bytes: Uint8Array): boolean {
    return this.#decode(bytes, 0, bytes.length, TAG_1, TAG_2, TAG_3);
  }

  /** LeaseKeepAliveResponse {1 header, 2 ID, 3 TTL}. */
  decodeKeepAlive(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#decode(bytes, start, end, TAG_2, TAG_3, 0);
  }

  #decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    idTag: number,
    secondsTag: number,
    secondTag: number,
  ): boolean {
    const reader = this.#reader;
    this.low = this.high = this.seconds = this.second = 0;
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === idTag) {
        reader.varint();
        this.low = reader.low;
        this.high = reader.high;
      } else if (tag === secondsTag) this.seconds = reader.int64();
      else if (tag === secondTag) this.second = reader.int64();
      else reader.skip(tag);
    }
    return !reader.failed;
  }
}

/** Walks LeaseCheckpointRequest {1 repeated LeaseCheckpoint}; false when it is malformed (some may have been visited). */
export function visitCheckpoints(
  bytes: Uint8Array,
  start: number,
  end: number,
  visit: (low: number, high: number, remainingSeconds: number) => void,
): boolean {
  const reader = new WireReader();
  const view = new LeaseView();
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag !== TAG_1_BYTES) {
      reader.skip(tag);
      continue;
    }
    const length = reader.length();
    if (!view.decodeCheckpoint(bytes, reader.position, reader.position + length)) return false;
    reader.position += length;
    visit(view.low, view.high, view.seconds);
  }
  return !reader.failed;
}

/** LeaseGrantRequest with the id that a member has chosen. */
export function encodeGrant(ttlSeconds: number, low: number, high: number): Uint8Array {
  const bytes = new Uint8Array(numberBytes(ttlSeconds) + idBytes(low, high));
  writeId(bytes, writeNumber(bytes, 0, TAG_1, ttlSeconds), TAG_2, low, high);
  return bytes;
}

/** A message that holds an id alone, in field 1: LeaseRevokeRequest, LeaseKeepAliveRequest, LeaseStatus. */
export function encodeId(low: number, high: number): Uint8Array {
  const bytes = new Uint8Array(idBytes(low, high));
  writeId(bytes, 0, TAG_1, low, high);
  return bytes;
}

/** leasepb.Lease. */
export function encodeLease(
  low: number,
  high: number,
  ttlSeconds: number,
  remainingSeconds: number,
): Uint8Array {
  const bytes = new Uint8Array(idBytes(low, high) + numberBytes(ttlSeconds) + numberBytes(remainingSeconds));
  let at = writeId(bytes, 0, TAG_1, low, high);
  at = writeNumber(bytes, at, TAG_2, ttlSeconds);
  writeNumber(bytes, at, TAG_3, remainingSeconds);
  return bytes;
}

/** LeaseCheckpointRequest of `count` leases: ids in two halves each, and seconds. */
export function encodeCheckpoints(
  lows: ArrayLike<number>,
  highs: ArrayLike<number>,
  seconds: ArrayLike<number>,
  count: number,
): Uint8Array {
  let length = 0;
  const sizeOf = (index: number): number => idBytes(lows[index], highs[index]) + numberBytes(seconds[index]);
  for (let index = 0; index < count; index++) length += 2 + sizeOf(index);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (let index = 0; index < count; index++) {
    bytes[at++] = TAG_1_BYTES;
    bytes[at++] = sizeOf(index);
    at = writeId(bytes, at, TAG_1, lows[index], highs[index]);
    at = writeNumber(bytes, at, TAG_2, seconds[index]);
  }
  return bytes;
}

/** Key of bucket `lease`: the id, u64 big-endian. */
export function encodeLeaseKey(low: number, high: number): Uint8Array {
  const key = new Uint8Array(8);
  const view = new DataView(key.buffer);
  view.setUint32(0, high);
  view.setUint32(4, low);
  return key;
}

/** Longest encoding of an id and a TTL: fields 2 and 3 of grant and keep-alive answers. */
export const ID_AND_TTL_BYTES_MAX = 22;

/** Writes ID (field 2) and TTL (field 3), as LeaseGrantResponse, LeaseKeepAliveResponse and LeaseTimeToLiveResponse have them. */
export function writeIdAndTtl(
  target: Uint8Array,
  offset: number,
  low: number,
  high: number,
  seconds: number,
): number {
  return writeNumber(target, writeId(target, offset, TAG_2, low, high), TAG_3, seconds);
}

/** Bytes that {@link writeIdAndTtl} writes. */
export function idAndTtlBytes(low: number, high: number, seconds: number): number {
  return idBytes(low, high) + numberBytes(seconds);
}

/** Longest encoding of a granted TTL, field 4. */
export const GRANTED_TTL_BYTES_MAX = 11;

/** Writes LeaseTimeToLiveResponse.grantedTTL. */
export function writeGrantedTtl(target: Uint8Array, offset: number, seconds: number): number {
  return writeNumber(target, offset, TAG_4, seconds);
}

/** Writes tag and length of one of LeaseTimeToLiveResponse.keys; the key's bytes follow. At most 6 bytes. */
export function writeKeyPrefix(target: Uint8Array, offset: number, length: number): number {
  target[offset] = TAG_5_BYTES;
  return writeVarint(target, offset + 1, length);
}

function idBytes(low: number, high: number): number {
  return low === 0 && high === 0 ? 0 : 1 + varint64Bytes(low, high);
}

function writeId(target: Uint8Array, offset: number, tag: number, low: number, high: number): number {
  if (low === 0 && high === 0) return offset;
  target[offset] = tag;
  return writeVarint64(target, offset + 1, low, high);
}

function numberBytes(value: number): number {
  if (value === 0) return 0;
  return value > 0 ? 1 + varintBytes(value) : 11;
}

/** An int64; negative ones take ten bytes. */
function writeNumber(target: Uint8Array, offset: number, tag: number, value: number): number {
  if (value === 0) return offset;
  target[offset] = tag;
  if (value > 0) return writeVarint(target, offset + 1, value);
  const high = Math.floor(value / 0x1_0000_0000);
  return writeVarint64(target, offset + 1, (value - high * 0x1_0000_0000) >>> 0, high >>> 0);
}
