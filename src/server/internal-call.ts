import { copyBytes } from "../base/copy-bytes.ts";
import type { Call } from "../grpc/service.ts";

/** The status with which an internal request failed. */
export class CallFailure extends Error {
  override readonly name = "CallFailure";
  readonly grpcCode: number;

  constructor(grpcCode: number, message: string) {
    super(message);
    this.grpcCode = grpcCode;
  }
}

/** The fault is the client's own request's: told with its code by services that tell all other failures without. */
export class RequestFailure extends CallFailure {}

/** A request that the member makes of itself (health checks, publishing its name): takes the place of a client's call. */
export class InternalCall implements Call {
  state: unknown = null;
  readonly path = "internal";
  readonly deadlineMs = Infinity;
  readonly remote = "internal";
  readonly cancelled = false;
  /** Resolves with the response message; rejects with {@link CallFailure}. */
  readonly response: Promise<Uint8Array>;
  readonly #resolvers: PromiseWithResolvers<Uint8Array>;
  #message = new Uint8Array(0);
  #filled = 0;

  constructor() {
    this.#resolvers = Promise.withResolvers<Uint8Array>();
    this.response = this.#resolvers.promise;
  }

  metadata(_name: string): string | undefined {
    return undefined;
  }

  sendMessage(bytes: Uint8Array, start: number, end: number): void {
    this.#message = bytes.slice(start, end);
  }

  startMessage(totalBytes: number): void {
    this.#message = new Uint8Array(totalBytes);
    this.#filled = 0;
  }

  sendPart(bytes: Uint8Array, start: number, end: number): number {
    copyBytes(bytes, start, end, this.#message, this.#filled);
    this.#filled += end - start;
    return 0;
  }

  pendingBytes(): number {
    return 0;
  }

  end(grpcCode: number, message: string): void {
    if (grpcCode === 0) this.#resolvers.resolve(this.#message);
    else this.#resolvers.reject(new CallFailure(grpcCode, message));
  }
}
