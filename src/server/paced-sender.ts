/** How a method that sends many messages goes at the pace of its client: it sends, and waits until most of it was taken. */

import { GrpcCode } from "../base/errors.ts";
import type { Call } from "../grpc/service.ts";
import { CallFailure } from "./internal-call.ts";

/** Bytes that may wait for the client; above, the sender waits. */
export const PENDING_BYTES_MAX = 128 * 1024;
/** A client that has taken nothing for so long is given up. */
const STALL_MS_MAX = 60_000;

/** The pace of one call. Its method tells it of the client: {@link drained} and {@link cancel}. */
export class Pace {
  readonly #call: Call;
  readonly #abort = new AbortController();
  #onDrain: () => void = () => {};

  constructor(call: Call) {
    this.#call = call;
  }

  /** Aborted when the client has gone. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** The client has taken what waited. */
  drained(): void {
    this.#onDrain();
  }

  /** The client has gone. */
  cancel(): void {
    this.#abort.abort(new Error("the client has gone"));
    this.#onDrain();
  }

  /** Resolves when little enough waits for the client. Rejects when it has gone, or takes nothing. */
  async untilTaken(): Promise<void> {
    while (!this.signal.aborted && this.#call.pendingBytes() > PENDING_BYTES_MAX) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const late = setTimeout(
        () =>
          reject(new CallFailure(GrpcCode.unavailable, "etcdserver: the client does not read its answer")),
        STALL_MS_MAX,
      );
      this.#onDrain = resolve;
      await promise.finally(() => clearTimeout(late));
    }
    this.signal.throwIfAborted();
  }
}
