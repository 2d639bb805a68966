/**
 * Protobuf's wire primitives for the hand-tuned codecs: no allocation, no BigInt, no exceptions on hostile bytes.
 *
 * Numbers: int64 fields that etcd bounds by 2^53 (revisions, versions, limits) are read as `number` and saturate at
 * ±(2^53 - 1), which keeps every comparison against a real revision true; 64-bit ids are read as two 32-bit halves.
 */

export const WIRE_VARINT = 0;
export const WIRE_FIXED64 = 1;
export const WIRE_BYTES = 2;
export const WIRE_FIXED32 = 5;

/** Bytes of the varint encoding of an integer in [0, 2^53). */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  if (value < 0x1000_0000) return 4;
  if (value < 0x8_0000_0000) return 5;
  if (value < 0x400_0000_0000) return 6;
  if (value < 0x2_0000_0000_0000) return 7;
  return 8;
}

/** Writes an integer in [0, 2^53) at `offset`; returns the offset behind it. */
export function writeVarint(target: Uint8Array, offset: number, value: number): number {
  while (value >= 0x1000_0000) {
    target[offset++] = (value & 0x7f) | 0x80;
    value = Math.floor(value / 0x80);
  }
  while (value >= 0x80) {
    target[offset++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  target[offset++] = value;
  return offset;
}

/** Bytes of the varint encoding of a 64-bit value given as two unsigned halves. */
export function varint64Bytes(low: number, high: number): number {
  if (high === 0) return varintBytes(low);
  if (high < 0x8) return 5;
  if (high < 0x400) return 6;
  if (high < 0x2_0000) return 7;
  if (high < 0x100_0000) return 8;
  if (high < 0x8000_0000) return 9;
  return 10;
}

/** Writes a 64-bit value given as two unsigned halves; returns the offset behind it. */
export function writeVarint64(target: Uint8Array, offset: number, low: number, high: number): number {
  while (high !== 0) {
    target[offset++] = (low & 0x7f) | 0x80;
    low = ((low >>> 7) | (high << 25)) >>> 0;
    high >>>= 7;
  }
  while (low >= 0x80) {
    target[offset++] = (low & 0x7f) | 0x80;
    low >>>= 7;
  }
  target[offset++] = low;
  return offset;
}

/**
 * A cursor over one message. Reads past the end or malformed varints set {@link failed} and yield zeros, so that a decoder
 * checks once at its end. Reset it for each message instead of making a new one.
 */
export class WireReader {
  bytes: Uint8Array = new Uint8Array(0);
  position = 0;
  end = 0;
  /** Sticky: the message is malformed. */
  failed = false;
  /** Halves of the last varint read. */
  low = 0;
  high = 0;

  reset(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
    this.failed = false;
  }

  /** Next tag (`field << 3 | wire type`), or 0 at the end or after a failure. */
  tag(): number {
    if (this.position >= this.end || this.failed) return 0;
    const tag = this.uint32();
    // Field number 0 and a tag of more than 32 bits are malformed.
    if (tag < 8 || this.high !== 0) this.failed = true;
    return this.failed ? 0 : tag;
  }

  /** Reads a varint into {@link low} and {@link high}. */
  varint(): void {
    const bytes = this.bytes;
    let position = this.position;
    const end = this.end;
    this.low = 0;
    this.high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (position >= end) break;
      const byte = bytes[position++];
      const bits = byte & 0x7f;
      if (shift < 28) this.low |= bits << shift;
      else if (shift === 28) {
        this.low |= bits << 28;
        this.high |= bits >>> 4;
      } else this.high |= bits << (shift - 32);
      if (byte < 0x80) {
        // The tenth byte holds one bit only.
        if (shift === 63 && byte > 1) break;
        this.low >>>= 0;
        this.high >>>= 0;
        this.position = position;
        return;
      }
    }
    this.fail();
  }

  /** A varint's low 32 bits, unsigned; the high half stays in {@link high}. */
  uint32(): number {
    const first = this.bytes[this.position];
    if (first < 0x80 && this.position < this.end) {
      this.position++;
      this.high = 0;
      return (this.low = first);
    }
    this.varint();
    return this.low;
  }

  /** A signed int64 as a number, saturated at ±(2^53 - 1). */
  int64(): number {
    const first = this.bytes[this.position];
    if (first < 0x80 && this.position < this.end) {
      this.position++;
      return first;
    }
    this.varint();
    const high = this.high | 0;
    const value = high * 0x1_0000_0000 + this.low;
    if (value > Number.MAX_SAFE_INTEGER) return Number.MAX_SAFE_INTEGER;
    if (value < -Number.MAX_SAFE_INTEGER) return -Number.MAX_SAFE_INTEGER;
    return value;
  }

  /** An enum or int32 value, signed. */
  int32(): number {
    return this.uint32() | 0;
  }

  bool(): boolean {
    this.varint();
    return (this.low | this.high) !== 0;
  }

  /** A length-delimited field: leaves {@link position} at its first byte and returns its length, checked against the end. */
  length(): number {
    const length = this.uint32();
    if (this.high !== 0 || length > this.end - this.position) {
      this.fail();
      return 0;
    }
    return length;
  }

  /** Skips the field of `tag`; groups and unknown wire types fail. */
  skip(tag: number): void {
    switch (tag & 7) {
      case WIRE_VARINT:
        this.varint();
        return;
      case WIRE_FIXED64:
        this.advance(8);
        return;
      case WIRE_BYTES:
        this.advance(this.length());
        return;
      case WIRE_FIXED32:
        this.advance(4);
        return;
      default:
        this.fail();
    }
  }

  advance(bytes: number): void {
    if (bytes > this.end - this.position) this.fail();
    else this.position += bytes;
  }

  fail(): void {
    this.failed = true;
    this.low = 0;
    this.high = 0;
    this.position = this.end;
  }
}
