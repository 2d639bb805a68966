import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ERRORS, ErrorId } from "../base/errors.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";
import {
  type WatchCreateRequestSchema,
  WatchRequestSchema,
  type WatchResponse,
  WatchResponseSchema,
} from "../proto/gen/rpc_pb.ts";
import { CallFailure } from "./internal-call.ts";
import { failure } from "./reconfigurer.ts";

/**
 * A Watch call that the member makes of itself, on behalf of a client's call: the Watch method serves it as any other, at the pace at
 * which responses are taken, and with the client's permissions.
 */
export class InternalWatch implements Call {
  state: unknown = null;
  readonly path = "/etcdserverpb.Watch/Watch";
  readonly deadlineMs = Infinity;
  cancelled = false;
  readonly #handler: MethodHandler;
  readonly #client: Call;
  readonly #responses: WatchResponse[] = [];
  /** Bytes of those. */
  #waitingBytes = 0;
  readonly #sizes: number[] = [];
  #part = new Uint8Array(0);
  #filled = 0;
  #taker: PromiseWithResolvers<WatchResponse> | null = null;
  #failure: CallFailure | null = null;

  /** @param handler the Watch method */
  constructor(handler: MethodHandler, client: Call) {
    this.#handler = handler;
    this.#client = client;
    handler.onOpen?.(this);
  }

  /** Begins a watch. Its id is the next one: 0, 1, 2 … */
  create(request: MessageInitShape<typeof WatchCreateRequestSchema>): void {
    if (this.#failure !== null) return;
    const message = create(WatchRequestSchema, {
      requestUnion: { case: "createRequest", value: request },
    });
    const bytes = toBinary(WatchRequestSchema, message);
    this.#handler.onMessage(this, bytes, 0, bytes.length);
  }

  /** The next response; one caller at a time. Rejects with {@link CallFailure} when the call has ended, or was closed. */
  next(): Promise<WatchResponse> {
    const response = this.#responses.shift();
    if (response === undefined) {
      if (this.#failure !== null) return Promise.reject(this.#failure);
      this.#taker = Promise.withResolvers();
      return this.#taker.promise;
    }
    this.#waitingBytes -= this.#sizes.shift() ?? 0;
    if (this.#waitingBytes === 0 && this.#failure === null) this.#handler.onDrain?.(this);
    return Promise.resolve(response);
  }

  /** Ends the call from the client's side. */
  close(): void {
    if (this.#failure !== null) return;
    this.cancelled = true;
    this.#fail(failure(ErrorId.callerCanceled));
    this.#handler.onCancel?.(this);
  }

  get remote(): string {
    return this.#client.remote;
  }

  /** It is the client's watch as far as permissions go, but it need not end while there is no leader. */
  metadata(name: string): string | undefined {
    return name === "hasleader" ? undefined : this.#client.metadata(name);
  }

  sendMessage(bytes: Uint8Array, start: number, end: number): void {
    this.#take(bytes.subarray(start, end));
  }

  startMessage(totalBytes: number): void {
    this.#part = new Uint8Array(totalBytes);
    this.#filled = 0;
  }

  sendPart(bytes: Uint8Array, start: number, end: number): number {
    this.#part.set(bytes.subarray(start, end), this.#filled);
    this.#filled += end - start;
    if (this.#filled === this.#part.length) this.#take(this.#part);
    return this.pendingBytes();
  }

  pendingBytes(): number {
    return this.#waitingBytes;
  }

  end(grpcCode: number, message: string): void {
    this.#fail(new CallFailure(grpcCode, message));
  }

  #take(bytes: Uint8Array): void {
    const response = fromBinary(WatchResponseSchema, bytes);
    const taker = this.#taker;
    this.#taker = null;
    if (taker !== null) return taker.resolve(response);
    this.#responses.push(response);
    this.#sizes.push(bytes.length);
    this.#waitingBytes += bytes.length;
  }

  #fail(cause: CallFailure): void {
    this.#failure ??= cause;
    this.#taker?.reject(this.#failure);
    this.#taker = null;
  }
}

/** What a watch was ended for; null while it goes on. */
export function cancelCause(response: WatchResponse): CallFailure | null {
  if (!response.canceled) return null;
  if (response.compactRevision !== 0n) return failure(ErrorId.compacted);
  return new CallFailure(ERRORS[ErrorId.watchCanceled].grpcCode, response.cancelReason);
}
