/**
 * raftpb.Message on the wire, as raft 3.6 writes it (proto2: scalars are written also when zero; interop: protobuf encoding
 * rules). Entries go from the batches that hold them straight into the output, one copy.
 */

import { copyBytes } from "../base/copy-bytes.ts";
import { varintBytes, writeVarint, writeVarint64 } from "../proto/wire.ts";
import { type MessageTrace, MESSAGE_TRACES_MAX } from "../raft/peer-traces.ts";
import { type EntryBatch, MessageType, type RaftMessage, type SnapshotMeta } from "../raft/raft.ts";
import { TRACE_CONTEXT_BYTES } from "../ring/trace.ts";
import { encodeConfState, writeEntryHeader } from "../wal/wal-format.ts";
import type { OutputBuffer } from "./output-buffer.ts";

/** Most bytes of an encoded entry besides its data: type 2, term 9, index 9, tag and length of the data 6. */
export const ENTRY_OVERHEAD_BYTES_MAX = 26;
/** Scalars of a message and the tags and lengths of its variable fields: 13 fields of at most 11 bytes. */
const MESSAGE_OVERHEAD_BYTES_MAX = 160;

/** `Message.traces`: field 1000, bytes. Each entry is u32 LE position, trace id, span id. */
const TRACES_FIELD = 1000;
const TRACES_TAG = Uint8Array.of(((TRACES_FIELD & 0xf) << 3) | 2 | 0x80, TRACES_FIELD >>> 4);
/** The same as one number, as a reader of tags has it. */
export const TRACES_TAG_NUMBER = (TRACES_FIELD << 3) | 2;
const POSITION_BYTES = 4;
/** Bytes of one trace in that field. */
export const TRACE_ENTRY_BYTES = POSITION_BYTES + TRACE_CONTEXT_BYTES;

const NO_DATA = new Uint8Array(0);

/** Bytes of a raftpb.Entry. */
export function entryBytes(term: number, index: number, dataBytes: number): number {
  const head = 4 + varintBytes(term) + varintBytes(index);
  return dataBytes === 0 ? head : head + 1 + varintBytes(dataBytes) + dataBytes;
}

/** Writes entry `i` of a batch as raftpb.Entry with index `index`; there must be room. Returns the offset behind it. */
export function writeEntry(
  target: Uint8Array,
  at: number,
  batch: EntryBatch,
  i: number,
  index: number,
): number {
  const start = batch.dataStart(i);
  const end = batch.dataEnd(i);
  at = writeEntryHeader(target, at, batch.type(i), batch.term(i), index, end - start);
  copyBytes(batch.bytes, start, end, target, at);
  return at + end - start;
}

/** Whether entries of this message carry their indexes; those of forwarded proposals and reads have none yet. */
export function hasIndexes(message: RaftMessage): boolean {
  return message.type === MessageType.app;
}

/**
 * Appends the message, without anything around it.
 * @param snapshotData `Snapshot.data` of a MsgSnap
 */
export function encodeMessage(
  out: OutputBuffer,
  message: RaftMessage,
  snapshotData: Uint8Array = NO_DATA,
): void {
  out.ensure(MESSAGE_OVERHEAD_BYTES_MAX);
  let { bytes } = out;
  let at = out.length;
  bytes[at] = 0x08;
  bytes[at + 1] = message.type;
  at = writeId(bytes, at + 2, 0x10, message.to);
  at = writeId(bytes, at, 0x18, message.from);
  at = writeNumber(bytes, at, 0x20, message.term);
  at = writeNumber(bytes, at, 0x28, message.logTerm);
  out.length = writeNumber(bytes, at, 0x30, message.index);
  if (message.entries.length > 0) encodeEntries(out, message);
  const { context } = message;
  out.ensure(MESSAGE_OVERHEAD_BYTES_MAX + (context === null ? 0 : context.length));
  out.length = writeNumber(out.bytes, out.length, 0x40, message.commit);
  if (message.snapshot !== null) encodeSnapshot(out, message.snapshot, snapshotData);
  ({ bytes } = out);
  at = out.length;
  bytes[at] = 0x50;
  bytes[at + 1] = message.reject ? 1 : 0;
  at = writeNumber(bytes, at + 2, 0x58, message.rejectHint);
  if (context !== null) {
    bytes[at] = 0x62;
    at = writeVarint(bytes, at + 1, context.length);
    bytes.set(context, at);
    at += context.length;
  }
  out.length = writeId(bytes, at, 0x68, message.vote);
  if (message.traces !== undefined) encodeTraces(out, message.traces);
}

/** In a field that etcd does not know, and which is therefore sent only to those who do (decision 008). */
function encodeTraces(out: OutputBuffer, traces: readonly MessageTrace[]): void {
  const count = Math.min(traces.length, MESSAGE_TRACES_MAX);
  const length = count * TRACE_ENTRY_BYTES;
  out.ensure(TRACES_TAG.length + 10 + length);
  const { bytes } = out;
  bytes.set(TRACES_TAG, out.length);
  let at = writeVarint(bytes, out.length + TRACES_TAG.length, length);
  for (let i = 0; i < count; i++, at += TRACE_ENTRY_BYTES) {
    bytes.writeUInt32LE(traces[i].position, at);
    bytes.set(traces[i].context, at + POSITION_BYTES);
  }
  out.length = at;
}

function encodeEntries(out: OutputBuffer, message: RaftMessage): void {
  const isIndexed = hasIndexes(message);
  for (const { batch, from, count } of message.entries) {
    for (let i = from; i < from + count; i++) {
      const index = isIndexed ? batch.firstIndex + i : 0;
      const dataBytes = batch.dataEnd(i) - batch.dataStart(i);
      out.ensure(ENTRY_OVERHEAD_BYTES_MAX + dataBytes + 10);
      const { bytes } = out;
      bytes[out.length] = 0x3a;
      const at = writeVarint(bytes, out.length + 1, entryBytes(batch.term(i), index, dataBytes));
      out.length = writeEntry(bytes, at, batch, i, index);
    }
  }
}

function encodeSnapshot(out: OutputBuffer, meta: SnapshotMeta, data: Uint8Array): void {
  const confState = encodeConfState(meta.confState);
  const metadataBytes =
    1 +
    varintBytes(confState.length) +
    confState.length +
    (1 + varintBytes(meta.index)) +
    (1 + varintBytes(meta.term));
  const dataBytes = data.length === 0 ? 0 : 1 + varintBytes(data.length) + data.length;
  const snapshotBytes = dataBytes + 1 + varintBytes(metadataBytes) + metadataBytes;
  // What follows the snapshot needs its room too.
  out.ensure(snapshotBytes + 2 * MESSAGE_OVERHEAD_BYTES_MAX);
  const { bytes } = out;
  let at = out.length;
  bytes[at] = 0x4a;
  at = writeVarint(bytes, at + 1, snapshotBytes);
  if (data.length > 0) at = writeBytes(bytes, at, 0x0a, data);
  bytes[at] = 0x12;
  at = writeVarint(bytes, at + 1, metadataBytes);
  at = writeBytes(bytes, at, 0x0a, confState);
  at = writeNumber(bytes, at, 0x10, meta.index);
  out.length = writeNumber(bytes, at, 0x18, meta.term);
}

function writeBytes(target: Uint8Array, at: number, tag: number, value: Uint8Array): number {
  target[at] = tag;
  at = writeVarint(target, at + 1, value.length);
  target.set(value, at);
  return at + value.length;
}

function writeNumber(target: Uint8Array, at: number, tag: number, value: number): number {
  target[at] = tag;
  return writeVarint(target, at + 1, value);
}

function writeId(target: Uint8Array, at: number, tag: number, id: bigint): number {
  target[at] = tag;
  return writeVarint64(target, at + 1, Number(id & 0xffff_ffffn), Number(id >> 32n));
}
