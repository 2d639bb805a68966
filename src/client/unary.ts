/** One attempt of one unary call at one endpoint. */
import type { DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Metadata } from "@grpc/grpc-js";
import { GrpcCode } from "../base/errors.ts";
import type { Endpoint } from "./endpoint.ts";
import { EtcdError } from "./etcd-error.ts";

/** What an attempt needs. */
export interface UnaryAttempt<M extends DescMethodUnary> {
  readonly endpoint: Endpoint;
  readonly method: M;
  readonly path: string;
  readonly request: MessageShape<M["input"]>;
  readonly metadata: Metadata;
  /** In ms of `performance.now()`. */
  readonly deadlineMs: number;
  readonly requestBytesMax: number;
}

/** Sends the request and waits for the answer. Rejects with {@link EtcdError}. */
export function unaryAttempt<M extends DescMethodUnary>(
  attempt: UnaryAttempt<M>,
): Promise<MessageShape<M["output"]>> {
  const { method, deadlineMs } = attempt;
  const bytes = toBinary(method.input, attempt.request);
  if (bytes.length > attempt.requestBytesMax) {
    const text = `trying to send message larger than max (${bytes.length} vs. ${attempt.requestBytesMax})`;
    return Promise.reject(new EtcdError(GrpcCode.resourceExhausted, text));
  }
  return new Promise((resolve, reject) => {
    attempt.endpoint.client.makeUnaryRequest(
      attempt.path,
      () => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
      (response) => fromBinary(method.output, response),
      null,
      attempt.metadata,
      {
        deadline: deadlineMs === Infinity ? Infinity : new Date(Date.now() + deadlineMs - performance.now()),
      },
      (error, response) => {
        if (error === null) resolve(response as MessageShape<M["output"]>);
        else reject(toEtcdError(error.code, error.details));
      },
    );
  });
}

/** Puts the statuses that grpc-js itself makes into the words of gRPC for Go, which etcd's users know. */
export function toEtcdError(code: number, details: string): EtcdError {
  if (code === GrpcCode.deadlineExceeded) return new EtcdError(code, details, "context deadline exceeded");
  const tooLarge = /^Received message larger than max \((\d+) vs\.? (\d+)\)/.exec(details);
  if (tooLarge === null) return new EtcdError(code, details);
  return new EtcdError(code, `grpc: received message larger than max (${tooLarge[1]} vs. ${tooLarge[2]})`);
}
