/**
 * Encoders of the KV responses, byte for byte what Go sends: proto3, zero values left out, fields ascending. All of them
 * write at an offset into memory the caller has sized, and return the offset behind what they wrote.
 */
import { varint64Bytes, varintBytes, WIRE_BYTES, WIRE_VARINT, writeVarint, writeVarint64 } from "./wire.ts";

/** Tag of `header`, field 1 of every response. */
const TAG_HEADER = (1 << 3) | WIRE_BYTES;
/** Tag of prev_kv in PutResponse, and of kvs in RangeResponse. */
export const TAG_FIELD_2_BYTES = (2 << 3) | WIRE_BYTES;
/** Tag of prev_kvs in DeleteRangeResponse, and of responses in TxnResponse. */
export const TAG_FIELD_3_BYTES = (3 << 3) | WIRE_BYTES;
const TAG_FIELD_2_VARINT = (2 << 3) | WIRE_VARINT;
const TAG_FIELD_3_VARINT = (3 << 3) | WIRE_VARINT;
const TAG_FIELD_4_VARINT = (4 << 3) | WIRE_VARINT;

/**
 * etcdserverpb.ResponseHeader of the answers of one member. Cluster and member id never change and the term hardly ever, so
 * both are kept encoded.
 */
export class ResponseHeader {
  readonly #ids: Uint8Array;
  readonly #term = new Uint8Array(11);
  #termBytes = 0;

  /** Both ids are unsigned 64-bit. */
  constructor(clusterId: bigint, memberId: bigint) {
    const ids = new Uint8Array(22);
    let length = writeId(ids, 0, 1, clusterId);
    length = writeId(ids, length, 2, memberId);
    this.#ids = ids.subarray(0, length);
  }

  setTerm(term: number): void {
    this.#termBytes = 0;
    if (term === 0) return;
    this.#term[0] = TAG_FIELD_4_VARINT;
    this.#termBytes = writeVarint(this.#term, 1, term);
  }

  /** Bytes of the field `header` with this revision (never 0 here: the store starts at 1). */
  fieldBytes(revision: number): number {
    return 2 + this.#ids.length + 1 + varintBytes(revision) + this.#termBytes;
  }

  /** Writes the field `header`. */
  write(target: Uint8Array, offset: number, revision: number): number {
    const ids = this.#ids;
    target[offset] = TAG_HEADER;
    target[offset + 1] = ids.length + 1 + varintBytes(revision) + this.#termBytes;
    offset += 2;
    for (let i = 0; i < ids.length; i++) target[offset++] = ids[i];
    target[offset++] = TAG_FIELD_3_VARINT;
    offset = writeVarint(target, offset, revision);
    for (let i = 0; i < this.#termBytes; i++) target[offset++] = this.#term[i];
    return offset;
  }
}

function writeId(target: Uint8Array, offset: number, field: number, id: bigint): number {
  if (id === 0n) return offset;
  target[offset++] = (field << 3) | WIRE_VARINT;
  return writeVarint64(target, offset, Number(id & 0xffff_ffffn), Number((id >> 32n) & 0xffff_ffffn));
}

/** Bytes of {@link writeRevisionHeader}. */
export function revisionHeaderBytes(revision: number): number {
  return 3 + varintBytes(revision);
}

/** The field `header` of an op inside a txn: it holds the revision alone. */
export function writeRevisionHeader(target: Uint8Array, offset: number, revision: number): number {
  target[offset] = TAG_HEADER;
  target[offset + 1] = 1 + varintBytes(revision);
  target[offset + 2] = TAG_FIELD_3_VARINT;
  return writeVarint(target, offset + 3, revision);
}

/** The empty field `header` of a nested TxnResponse. */
export function writeEmptyHeader(target: Uint8Array, offset: number): number {
  target[offset] = TAG_HEADER;
  target[offset + 1] = 0;
  return offset + 2;
}

/** Bytes of tag and length before a length-delimited field (of a one-byte tag) of `length` bytes. */
export function prefixBytes(length: number): number {
  return 1 + varintBytes(length);
}

/** Writes tag and length of a length-delimited field. */
export function writePrefix(target: Uint8Array, offset: number, tag: number, length: number): number {
  target[offset] = tag;
  return writeVarint(target, offset + 1, length);
}

/** Bytes of RangeResponse's `more` and `count`. */
export function rangeTailBytes(more: boolean, count: number): number {
  return (more ? 2 : 0) + (count > 0 ? 1 + varintBytes(count) : 0);
}

/** Writes RangeResponse's `more` and `count`, which stand behind the kvs. */
export function writeRangeTail(target: Uint8Array, offset: number, more: boolean, count: number): number {
  if (more) {
    target[offset++] = TAG_FIELD_3_VARINT;
    target[offset++] = 1;
  }
  if (count > 0) {
    target[offset++] = TAG_FIELD_4_VARINT;
    offset = writeVarint(target, offset, count);
  }
  return offset;
}

/** Bytes of DeleteRangeResponse's `deleted`. */
export function deletedBytes(deleted: number): number {
  return deleted > 0 ? 1 + varintBytes(deleted) : 0;
}

/** Writes DeleteRangeResponse's `deleted`, which stands before the prev_kvs. */
export function writeDeleted(target: Uint8Array, offset: number, deleted: number): number {
  if (deleted === 0) return offset;
  target[offset++] = TAG_FIELD_2_VARINT;
  return writeVarint(target, offset, deleted);
}

/** Writes TxnResponse's `succeeded`. */
export function writeSucceeded(target: Uint8Array, offset: number, succeeded: boolean): number {
  if (!succeeded) return offset;
  target[offset] = TAG_FIELD_2_VARINT;
  target[offset + 1] = 1;
  return offset + 2;
}

/** What a KeyValue without its value is made of; fields as in {@link KeyMeta} of the store. */
export interface KeyValueNumbers {
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly leaseLow: number;
  readonly leaseHigh: number;
}

/** Bytes of mvccpb.KeyValue without its value, for keys_only. */
export function keyOnlyBytes(keyBytes: number, meta: KeyValueNumbers): number {
  const lease =
    meta.leaseLow === 0 && meta.leaseHigh === 0 ? 0 : 1 + varint64Bytes(meta.leaseLow, meta.leaseHigh);
  return (
    prefixBytes(keyBytes) +
    keyBytes +
    3 +
    varintBytes(meta.createRevision) +
    varintBytes(meta.modRevision) +
    varintBytes(meta.version) +
    lease
  );
}

/** Writes everything of a KeyValue without value that stands behind its key. */
export function writeKeyOnlyTail(target: Uint8Array, offset: number, meta: KeyValueNumbers): number {
  target[offset++] = TAG_FIELD_2_VARINT;
  offset = writeVarint(target, offset, meta.createRevision);
  target[offset++] = TAG_FIELD_3_VARINT;
  offset = writeVarint(target, offset, meta.modRevision);
  target[offset++] = TAG_FIELD_4_VARINT;
  offset = writeVarint(target, offset, meta.version);
  if (meta.leaseLow === 0 && meta.leaseHigh === 0) return offset;
  target[offset++] = (6 << 3) | WIRE_VARINT;
  return writeVarint64(target, offset, meta.leaseLow, meta.leaseHigh);
}

/** Tag of KeyValue's key. */
export const TAG_KEY = (1 << 3) | WIRE_BYTES;
