/** One streaming call at one endpoint, in both directions. What it means if it breaks is decided by who opened it. */
import type { DescMethodBiDiStreaming, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ClientDuplexStream, Metadata, ServiceError } from "@grpc/grpc-js";
import { GrpcCode } from "../base/errors.ts";
import type { Endpoint } from "./endpoint.ts";
import { EtcdError } from "./etcd-error.ts";
import { toEtcdError } from "./unary.ts";

/** Told what a stream brings. Neither is called after {@link StreamCall.cancel}. */
export interface StreamHandlers<M extends DescMethodBiDiStreaming> {
  readonly onMessage: (message: MessageShape<M["output"]>) => void;
  /** Once, as the last. A stream that the server ended without an error is UNAVAILABLE: it was not asked to. */
  readonly onEnd: (error: EtcdError) => void;
}

/** Opens a stream at an endpoint that can be reached; rejects with EtcdError if the client is closed or may not log in. */
export type OpenStream<M extends DescMethodBiDiStreaming> = (
  handlers: StreamHandlers<M>,
) => Promise<StreamCall<M>>;

/** What opening needs. */
export interface StreamCallOptions<M extends DescMethodBiDiStreaming> {
  readonly endpoint: Endpoint;
  readonly method: M;
  readonly path: string;
  readonly metadata: Metadata;
  readonly handlers: StreamHandlers<M>;
}

/** An open stream. Requests leave in the order in which they are sent. */
export class StreamCall<M extends DescMethodBiDiStreaming> {
  readonly #method: M;
  readonly #call: ClientDuplexStream<Uint8Array, unknown>;
  #ended = false;

  constructor({ endpoint, method, path, metadata, handlers }: StreamCallOptions<M>) {
    this.#method = method;
    this.#call = endpoint.client.makeBidiStreamRequest(
      path,
      (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
      (bytes: Buffer): unknown => fromBinary(method.output, bytes),
      metadata,
    );
    this.#call.on("data", (message: MessageShape<M["output"]>) => {
      if (!this.#ended) handlers.onMessage(message);
    });
    const end = (error: EtcdError): void => {
      if (this.#ended) return;
      this.#ended = true;
      handlers.onEnd(error);
    };
    this.#call.on("error", (error: ServiceError) => end(toEtcdError(error.code, error.details)));
    this.#call.on("end", () => {
      // An error status comes as "error", right behind; only without one this is the end.
      setImmediate(() => end(new EtcdError(GrpcCode.unavailable, "the server has ended the stream")));
    });
  }

  send(request: MessageInitShape<M["input"]>): void {
    if (this.#ended) return;
    this.#call.write(toBinary(this.#method.input, create<M["input"]>(this.#method.input, request)));
  }

  /** Says that nothing more will be sent. */
  closeSend(): void {
    if (!this.#ended) this.#call.end();
  }

  cancel(): void {
    this.#ended = true;
    this.#call.cancel();
  }
}
