/**
 * mvccpb.KeyValue {1 key, 2 create_revision, 3 mod_revision, 4 version, 5 value, 6 lease}, byte for byte as gogo/proto3 writes
 * it: ascending fields, zeros omitted. HashKV covers these bytes, so every member must write the same.
 */
import { varint64Bytes, varintBytes, WireReader, writeVarint, writeVarint64 } from "../proto/wire.ts";
import { copyBytes } from "../base/copy-bytes.ts";

const KEY = (1 << 3) | 2;
const CREATE_REVISION = 2 << 3;
const MOD_REVISION = 3 << 3;
const VERSION = 4 << 3;
const VALUE = (5 << 3) | 2;
const LEASE = 6 << 3;

/** Everything of a KeyValue but its bytes. */
export interface KeyValueFields {
  createRevision: number;
  modRevision: number;
  version: number;
  leaseLow: number;
  leaseHigh: number;
}

/** Length of the encoding. */
export function keyValueBytes(keyLength: number, valueLength: number, fields: KeyValueFields): number {
  return (
    bytesField(keyLength) +
    varintField(fields.createRevision) +
    varintField(fields.modRevision) +
    varintField(fields.version) +
    bytesField(valueLength) +
    ((fields.leaseLow | fields.leaseHigh) === 0 ? 0 : 1 + varint64Bytes(fields.leaseLow, fields.leaseHigh))
  );
}

function bytesField(length: number): number {
  return length === 0 ? 0 : 1 + varintBytes(length) + length;
}

function varintField(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value);
}

/** Writes the encoding of key `kb[ks, ke)` and value `vb[vs, ve)` at `offset`; returns the offset behind it. */
export function writeKeyValue(
  target: Uint8Array,
  offset: number,
  kb: Uint8Array,
  ks: number,
  ke: number,
  vb: Uint8Array,
  vs: number,
  ve: number,
  fields: KeyValueFields,
): number {
  let at = writeBytes(target, offset, KEY, kb, ks, ke);
  if (fields.createRevision !== 0) at = writeNumber(target, at, CREATE_REVISION, fields.createRevision);
  if (fields.modRevision !== 0) at = writeNumber(target, at, MOD_REVISION, fields.modRevision);
  if (fields.version !== 0) at = writeNumber(target, at, VERSION, fields.version);
  at = writeBytes(target, at, VALUE, vb, vs, ve);
  if ((fields.leaseLow | fields.leaseHigh) !== 0) {
    target[at++] = LEASE;
    at = writeVarint64(target, at, fields.leaseLow, fields.leaseHigh);
  }
  return at;
}

function writeNumber(target: Uint8Array, offset: number, tag: number, value: number): number {
  target[offset] = tag;
  return writeVarint(target, offset + 1, value);
}

function writeBytes(
  target: Uint8Array,
  offset: number,
  tag: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  if (start === end) return offset;
  target[offset] = tag;
  const at = writeVarint(target, offset + 1, end - start);
  copyBytes(bytes, start, end, target, at);
  return at + end - start;
}

/** Reads an encoding; reused, so that restoring a million keys makes no garbage. */
export class KeyValueReader implements KeyValueFields {
  createRevision = 0;
  modRevision = 0;
  version = 0;
  leaseLow = 0;
  leaseHigh = 0;
  /** Where key and value lie in the bytes read. */
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  readonly #wire = new WireReader();

  /** Fills the fields from `bytes[start, end)`; absent ones are 0. False if malformed. */
  read(bytes: Uint8Array, start: number, end: number): boolean {
    this.createRevision = this.modRevision = this.version = this.leaseLow = this.leaseHigh = 0;
    this.keyStart = this.keyEnd = this.valueStart = this.valueEnd = start;
    const wire = this.#wire;
    wire.reset(bytes, start, end);
    for (let tag = wire.tag(); tag !== 0; tag = wire.tag()) {
      if (tag === KEY) {
        const length = wire.length();
        this.keyStart = wire.position;
        this.keyEnd = this.keyStart + length;
        wire.advance(length);
      } else if (tag === VALUE) {
        const length = wire.length();
        this.valueStart = wire.position;
        this.valueEnd = this.valueStart + length;
        wire.advance(length);
      } else if (tag === CREATE_REVISION) this.createRevision = wire.int64();
      else if (tag === MOD_REVISION) this.modRevision = wire.int64();
      else if (tag === VERSION) this.version = wire.int64();
      else if (tag === LEASE) {
        wire.varint();
        this.leaseLow = wire.low;
        this.leaseHigh = wire.high;
      } else wire.skip(tag);
    }
    return !wire.failed;
  }
}
