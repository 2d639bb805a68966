/** gRPC-framed request bodies of the loads. */
import {
  create,
  toBinary,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { KV, RequestOpSchema, type RequestOp } from "../src/proto/gen/rpc_pb.ts";

/** One call: a method's path and a message with its 5-byte gRPC prefix. */
export interface RequestBody {
  readonly path: string;
  readonly body: Buffer;
}

/** Values of all loads that write. */
export const VALUE_BYTES = 256;
const VALUE = Buffer.alloc(VALUE_BYTES, "v");

/** A call of any unary method. */
export function requestBody<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
): RequestBody {
  const body = framed(toBinary(method.input, create(method.input, request)));
  return { path: `/${method.parent.typeName}/${method.name}`, body };
}

/** A message with its gRPC prefix. */
export function framed(message: Uint8Array): Buffer {
  const body = Buffer.alloc(5 + message.length);
  body.writeUInt32BE(message.length, 1);
  body.set(message, 5);
  return body;
}

/** Name of the key with a number, of equal length for all. */
export function keyName(prefix: string, index: number): Buffer {
  return Buffer.from(`${prefix}${String(index).padStart(9, "0")}`);
}

export function putRequest(key: Buffer, value: Buffer = VALUE): RequestBody {
  return requestBody(KV.method.put, { key, value });
}

/** All keys with this prefix (not empty). */
export function prefixRange(prefix: string): { key: Buffer; rangeEnd: Buffer } {
  const key = Buffer.from(prefix);
  const rangeEnd = Buffer.from(key);
  rangeEnd[rangeEnd.length - 1] = rangeEnd[rangeEnd.length - 1] + 1;
  return { key, rangeEnd };
}

/** If the key exists, put it: one compare, one put, as a client does that updates what it has read. */
export function compareAndPutRequest(key: Buffer): RequestBody {
  return requestBody(KV.method.txn, {
    compare: [{ key, target: 0, result: 1, targetUnion: { case: "version", value: 0n } }],
    success: [putOp(key)],
    failure: [create(RequestOpSchema, { request: { case: "requestRange", value: { key } as never } })],
  });
}

/** One transaction of many puts, to fill a store. */
export function fillRequest(prefix: string, range: { from: number; to: number }): RequestBody {
  const success = Array.from({ length: range.to - range.from }, (_, i) =>
    putOp(keyName(prefix, range.from + i)),
  );
  return requestBody(KV.method.txn, { success });
}

function putOp(key: Buffer): RequestOp {
  return create(RequestOpSchema, { request: { case: "requestPut", value: { key, value: VALUE } as never } });
}
