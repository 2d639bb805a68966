/**
 * etcd's WAL on disk: names, frames, record types, and the small messages inside records.
 *
 * ```
 *   segment  <sequence %016x>-<first index %016x>.wal
 *   frame    u64 LE length field │ walpb.Record │ zero padding to 8 bytes
 *            top byte 0x80 | padding if there is padding, low 56 bits = record bytes; 0 = end of data
 *   record   08 type │ 10 crc varint │ 1a length data (absent for type crc)
 * ```
 *
 * crc is the running CRC-32C over the data of all records so far, across segments. The messages are proto2: zeros are written.
 */

import type { ConfState, HardState } from "../raft/raft.ts";
import { WireReader, varintBytes, writeVarint, writeVarint64 } from "../proto/wire.ts";

/** walpb.Record.type. */
export const WalRecordType = {
  metadata: 1,
  entry: 2,
  state: 3,
  crc: 4,
  snapshot: 5,
} as const;

/** Size of a preallocated segment; a segment is cut once its data reaches this. etcd's value, so that tools see what they expect. */
export const SEGMENT_BYTES = 64_000_000;
export const FRAME_HEADER_BYTES = 8;
/** The unit a disk writes at once: a torn write leaves whole sectors unwritten (all zero in a preallocated file). */
export const SECTOR_BYTES = 512;
/** Most bytes between the start of a frame and the data in its record: 8 + (1 + 1) + (1 + 5) + (1 + 8). */
export const RECORD_OVERHEAD_BYTES_MAX = 25;

/** etcdserverpb.Metadata: whose log this is; the same in every segment. */
export interface WalMetadata {
  readonly nodeId: bigint;
  readonly clusterId: bigint;
}

/** walpb.Snapshot: state up to `index` is durable outside the WAL. */
export interface SnapshotMarker {
  readonly index: number;
  readonly term: number;
  /** Null only for the marker {0, 0} of a new WAL. */
  readonly confState: ConfState | null;
}

const NAME_PATTERN = /^([0-9a-f]{16})-([0-9a-f]{16})\.wal$/;

/** File name of a segment. */
export function segmentName(sequence: number, firstIndex: number): string {
  return `${sequence.toString(16).padStart(16, "0")}-${firstIndex.toString(16).padStart(16, "0")}.wal`;
}

/** Parts of a segment's file name, or null if it is none. */
export function parseSegmentName(name: string): { sequence: number; firstIndex: number } | null {
  const match = NAME_PATTERN.exec(name);
  if (match === null) return null;
  return { sequence: Number.parseInt(match[1], 16), firstIndex: Number.parseInt(match[2], 16) };
}

/** Zero bytes that follow a record of `recordBytes`. */
export function paddingBytes(recordBytes: number): number {
  return (8 - (recordBytes & 7)) & 7;
}

/** Writes the length field of a frame; returns the offset behind it. */
export function writeFrameHeader(target: Uint8Array, at: number, recordBytes: number): number {
  const padding = paddingBytes(recordBytes);
  target[at] = recordBytes & 0xff;
  target[at + 1] = (recordBytes >>> 8) & 0xff;
  target[at + 2] = (recordBytes >>> 16) & 0xff;
  target[at + 3] = recordBytes >>> 24;
  target[at + 4] = 0;
  target[at + 5] = 0;
  target[at + 6] = 0;
  target[at + 7] = padding === 0 ? 0 : 0x80 | padding;
  return at + FRAME_HEADER_BYTES;
}

/** A small writer for messages off the hot path. */
class MessageWriter {
  readonly #bytes: number[] = [];
  readonly #scratch = new Uint8Array(10);

  number(field: number, value: number): this {
    this.#bytes.push(field << 3);
    return this.#raw(writeVarint(this.#scratch, 0, value));
  }

  id(field: number, value: bigint): this {
    this.#bytes.push(field << 3);
    return this.#raw(writeVarint64(this.#scratch, 0, Number(value & 0xffff_ffffn), Number(value >> 32n)));
  }

  message(field: number, bytes: Uint8Array): this {
    this.#bytes.push((field << 3) | 2);
    this.#raw(writeVarint(this.#scratch, 0, bytes.length));
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  #raw(length: number): this {
    for (let i = 0; i < length; i++) this.#bytes.push(this.#scratch[i]);
    return this;
  }
}

export function encodeMetadata(metadata: WalMetadata): Uint8Array {
  return new MessageWriter().id(1, metadata.nodeId).id(2, metadata.clusterId).finish();
}

export function encodeHardState(state: HardState): Uint8Array {
  return new MessageWriter().number(1, state.term).id(2, state.vote).number(3, state.commit).finish();
}

export function encodeConfState(state: ConfState): Uint8Array {
  const writer = new MessageWriter();
  for (const id of state.voters) writer.id(1, id);
  for (const id of state.learners) writer.id(2, id);
  for (const id of state.votersOutgoing) writer.id(3, id);
  for (const id of state.learnersNext) writer.id(4, id);
  return writer.number(5, state.autoLeave ? 1 : 0).finish();
}

export function encodeSnapshotMarker(marker: SnapshotMarker): Uint8Array {
  const writer = new MessageWriter().number(1, marker.index).number(2, marker.term);
  if (marker.confState !== null) writer.message(3, encodeConfState(marker.confState));
  return writer.finish();
}

function lastId(reader: WireReader): bigint {
  return (BigInt(reader.high) << 32n) | BigInt(reader.low);
}

/** Decodes a record's data, or returns null if it is malformed. */
export function decodeMetadata(bytes: Uint8Array, start: number, end: number): WalMetadata | null {
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  const metadata = { nodeId: 0n, clusterId: 0n };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08 || tag === 0x10) {
      reader.varint();
      if (tag === 0x08) metadata.nodeId = lastId(reader);
      else metadata.clusterId = lastId(reader);
    } else reader.skip(tag);
  }
  return reader.failed ? null : metadata;
}

/** Decodes a record's data, or returns null if it is malformed. */
export function decodeHardState(bytes: Uint8Array, start: number, end: number): HardState | null {
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  const state: HardState = { term: 0, vote: 0n, commit: 0 };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) state.term = reader.int64();
    else if (tag === 0x18) state.commit = reader.int64();
    else if (tag === 0x10) {
      reader.varint();
      state.vote = lastId(reader);
    } else reader.skip(tag);
  }
  return reader.failed ? null : state;
}

/** Decodes a record's data, or returns null if it is malformed. */
export function decodeSnapshotMarker(bytes: Uint8Array, start: number, end: number): SnapshotMarker | null {
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  const marker = { index: 0, term: 0, confState: null as ConfState | null };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) marker.index = reader.int64();
    else if (tag === 0x10) marker.term = reader.int64();
    else if (tag === 0x1a) {
      const length = reader.length();
      marker.confState = decodeConfState(bytes, reader.position, reader.position + length);
      if (marker.confState === null) return null;
      reader.advance(length);
    } else reader.skip(tag);
  }
  return reader.failed ? null : marker;
}

/** Decodes raftpb.ConfState (ids not packed), or returns null if it is malformed. */
export function decodeConfState(bytes: Uint8Array, start: number, end: number): ConfState | null {
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  const lists: bigint[][] = [[], [], [], []];
  let autoLeave = false;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const list = (tag & 7) === 0 ? lists[(tag >>> 3) - 1] : undefined;
    if (list !== undefined) {
      reader.varint();
      list.push(lastId(reader));
    } else if (tag === 0x28) autoLeave = reader.bool();
    else reader.skip(tag);
  }
  if (reader.failed) return null;
  const [voters, learners, votersOutgoing, learnersNext] = lists as [bigint[], bigint[], bigint[], bigint[]];
  return { voters, learners, votersOutgoing, learnersNext, autoLeave };
}

/** Writes a raftpb.Entry up to its data; returns the offset at which the data belongs. */
export function writeEntryHeader(
  target: Uint8Array,
  at: number,
  type: number,
  term: number,
  index: number,
  dataBytes: number,
): number {
  target[at] = 0x08;
  target[at + 1] = type;
  target[at + 2] = 0x10;
  at = writeVarint(target, at + 3, term);
  target[at] = 0x18;
  at = writeVarint(target, at + 1, index);
  // Go's nil slice: the empty entry of a new leader has no field 4.
  if (dataBytes === 0) return at;
  target[at] = 0x22;
  return writeVarint(target, at + 1, dataBytes);
}

/** Bytes of a walpb.Record with a data field of `dataBytes`. */
export function recordBytes(crc: number, dataBytes: number): number {
  return 2 + 1 + varintBytes(crc) + 1 + varintBytes(dataBytes) + dataBytes;
}
