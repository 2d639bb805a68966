/**
 * raftpb.ConfChange (V1): {1 ID, 2 Type, 3 NodeID, 4 Context}. proto2 of gogo's kind: every scalar is written, zeros included;
 * the context only when there is one.
 */
import { varint64Bytes, varintBytes, WireReader, writeVarint, writeVarint64 } from "./wire.ts";

/** raftpb.ConfChangeType. */
export const ConfChangeType = { addNode: 0, removeNode: 1, updateNode: 2, addLearnerNode: 3 } as const;

/** A decoded ConfChange. Owns its context. */
export interface ConfChangeMessage {
  /** etcd's request id, 64 bits; 0 = nobody waits for it. */
  readonly id: bigint;
  /** A {@link ConfChangeType}; what comes from others may be any number. */
  readonly type: number;
  readonly nodeId: bigint;
  /** Empty when there is none. */
  readonly context: Uint8Array;
}

const TAG_ID = 0x08;
const TAG_TYPE = 0x10;
const TAG_NODE_ID = 0x18;
const TAG_CONTEXT = 0x22;

/** The message's bytes, as Go writes them. */
export function encodeConfChange(change: ConfChangeMessage): Uint8Array {
  const [idLow, idHigh] = halves(change.id);
  const [nodeLow, nodeHigh] = halves(change.nodeId);
  const { context, type } = change;
  const contextBytes = context.length === 0 ? 0 : 1 + varintBytes(context.length) + context.length;
  const scalarBytes = 3 + varint64Bytes(idLow, idHigh) + varintBytes(type) + varint64Bytes(nodeLow, nodeHigh);
  const bytes = new Uint8Array(scalarBytes + contextBytes);
  bytes[0] = TAG_ID;
  let at = writeVarint64(bytes, 1, idLow, idHigh);
  bytes[at++] = TAG_TYPE;
  at = writeVarint(bytes, at, type);
  bytes[at++] = TAG_NODE_ID;
  at = writeVarint64(bytes, at, nodeLow, nodeHigh);
  if (contextBytes === 0) return bytes;
  bytes[at++] = TAG_CONTEXT;
  bytes.set(context, writeVarint(bytes, at, context.length));
  return bytes;
}

/** Decodes `bytes[start, end)`; null when they are malformed. */
export function decodeConfChange(bytes: Uint8Array, start: number, end: number): ConfChangeMessage | null {
  const reader = new WireReader();
  let id = 0n;
  let type = 0;
  let nodeId = 0n;
  let context: Uint8Array = new Uint8Array(0);
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === TAG_ID) id = readUint64(reader);
    else if (tag === TAG_TYPE) type = reader.int32();
    else if (tag === TAG_NODE_ID) nodeId = readUint64(reader);
    else if (tag === TAG_CONTEXT) {
      const length = reader.length();
      // Not slice(), which a Buffer does not copy with.
      context = new Uint8Array(bytes.subarray(reader.position, reader.position + length));
      reader.advance(length);
    } else reader.skip(tag);
  }
  return reader.failed ? null : { id, type, nodeId, context };
}

function readUint64(reader: WireReader): bigint {
  reader.varint();
  return (BigInt(reader.high) << 32n) | BigInt(reader.low);
}

function halves(value: bigint): [low: number, high: number] {
  return [Number(value & 0xffff_ffffn), Number(value >> 32n)];
}
