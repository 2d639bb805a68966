/** A call with one request and many responses, read as fast as its user iterates. */
import type { DescMethodServerStreaming, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Metadata, ServiceError } from "@grpc/grpc-js";
import type { Endpoint } from "./endpoint.ts";
import { toEtcdError } from "./unary.ts";

/** What the call needs. */
export interface ServerStreamOptions<M extends DescMethodServerStreaming> {
  readonly endpoint: Endpoint;
  readonly method: M;
  readonly request: MessageShape<M["input"]>;
  readonly metadata: Metadata;
  /** In ms of `performance.now()`. */
  readonly deadlineMs: number;
}

/** Iterates over the responses; leaving the iteration early cancels the call. Throws EtcdError. */
export async function* readServerStream<M extends DescMethodServerStreaming>(
  options: ServerStreamOptions<M>,
): AsyncGenerator<MessageShape<M["output"]>, void, undefined> {
  const { endpoint, method, request, metadata, deadlineMs } = options;
  const call = endpoint.client.makeServerStreamRequest(
    `/${method.parent.typeName}/${method.name}`,
    (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
    (bytes: Buffer) => fromBinary(method.output, bytes),
    toBinary(method.input, request),
    metadata,
    { deadline: deadlineMs === Infinity ? Infinity : new Date(Date.now() + deadlineMs - performance.now()) },
  );
  try {
    yield* call as AsyncIterable<MessageShape<M["output"]>>;
  } catch (error) {
    const { code, details } = error as Partial<ServiceError>;
    throw code === undefined ? error : toEtcdError(code, details ?? "");
  } finally {
    call.cancel();
  }
}
