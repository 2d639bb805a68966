/**
 * raftpb.ConfChangeV2: {1 transition, 2 changes {1 type, 2 node id}, 3 context}, the data of an entry that changes several
 * members at once, or, when empty, leaves a joint configuration. Never proposed to members of etcd, which die of it.
 */

import { WireReader, writeVarint, writeVarint64 } from "./wire.ts";

/** raftpb.ConfChangeV2; its types are those of V1 (`conf-change.ts`). */
export interface ConfChangeV2 {
  /** 0 auto, 1 joint implicit, 2 joint explicit. */
  readonly transition: number;
  readonly changes: readonly { readonly type: number; readonly nodeId: bigint }[];
  /** Empty = no field. */
  readonly context: Uint8Array;
}

/** Most bytes of the transition and of the context's tag and length, and of one change. */
const OVERHEAD_BYTES_MAX = 16;
const CHANGE_BYTES_MAX = 32;
const NO_CONTEXT: Uint8Array = new Uint8Array(0);

function writeId(target: Uint8Array, at: number, tag: number, id: bigint): number {
  target[at] = tag;
  return writeVarint64(target, at + 1, Number(id & 0xffff_ffffn), Number(id >> 32n));
}

function writeContext(target: Uint8Array, at: number, tag: number, context: Uint8Array): number {
  if (context.length === 0) return at;
  target[at] = tag;
  at = writeVarint(target, at + 1, context.length);
  target.set(context, at);
  return at + context.length;
}

function readId(reader: WireReader): bigint {
  reader.varint();
  return (BigInt(reader.high) << 32n) | BigInt(reader.low);
}

function readBytes(reader: WireReader): Uint8Array {
  const length = reader.length();
  const start = reader.position;
  reader.advance(length);
  // Not slice(), which a Buffer does not copy with.
  return new Uint8Array(reader.bytes.subarray(start, start + length));
}

/** The data of an entry of type confChangeV2. */
export function encodeConfChangeV2(change: ConfChangeV2): Uint8Array {
  const { changes, context } = change;
  const target = new Uint8Array(OVERHEAD_BYTES_MAX + changes.length * CHANGE_BYTES_MAX + context.length);
  target[0] = 0x08;
  target[1] = change.transition;
  let at = 2;
  for (const { type, nodeId } of changes) {
    // Tag, length, then type and id: the length is a single byte.
    const end = writeId(target, at + 4, 0x10, nodeId);
    target[at] = 0x12;
    target[at + 1] = end - at - 2;
    target[at + 2] = 0x08;
    target[at + 3] = type;
    at = end;
  }
  return target.subarray(0, writeContext(target, at, 0x1a, context));
}

/** Decodes `bytes[start, end)`, or returns null if it is malformed. The context is copied. */
export function decodeConfChangeV2(bytes: Uint8Array, start: number, end: number): ConfChangeV2 | null {
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  const changes: { type: number; nodeId: bigint }[] = [];
  const change = { transition: 0, changes, context: NO_CONTEXT };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) change.transition = reader.int32();
    else if (tag === 0x12) {
      const length = reader.length();
      const single = decodeSingle(bytes, reader.position, reader.position + length);
      if (single === null) return null;
      changes.push(single);
      reader.advance(length);
    } else if (tag === 0x1a) change.context = readBytes(reader);
    else reader.skip(tag);
  }
  return reader.failed ? null : change;
}

function decodeSingle(
  bytes: Uint8Array,
  start: number,
  end: number,
): { type: number; nodeId: bigint } | null {
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  const single = { type: 0, nodeId: 0n };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) single.type = reader.int32();
    else if (tag === 0x10) single.nodeId = readId(reader);
    else reader.skip(tag);
  }
  return reader.failed ? null : single;
}
