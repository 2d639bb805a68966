/** A request message that comes in pieces. Made only when a message is not whole in one piece of DATA. */
import { copyBytes } from "../base/copy-bytes.ts";
import { readUint32 } from "../http2/bytes.ts";
import { MESSAGE_PREFIX_BYTES } from "./grpc.ts";

/** First buffer of a message: announcing a long message and sending nothing must not pin its length. */
const INITIAL_BYTES_MAX = 16_384;

export class MessageAssembly {
  /** The message so far: `bytes[0, received)`, without its prefix. */
  bytes: Uint8Array = new Uint8Array(0);
  received = 0;
  /** Announced length, or -1 until the prefix is whole. */
  length = -1;
  flag = 0;
  readonly #prefix = new Uint8Array(MESSAGE_PREFIX_BYTES);
  #prefixBytes = 0;

  /** True once the whole message is there. */
  get whole(): boolean {
    return this.received === this.length;
  }

  /** Takes what belongs to the prefix from `source[start, end)`; returns the offset behind it. */
  takePrefix(source: Uint8Array, start: number, end: number): number {
    while (this.#prefixBytes < MESSAGE_PREFIX_BYTES && start < end)
      this.#prefix[this.#prefixBytes++] = source[start++];
    if (this.#prefixBytes === MESSAGE_PREFIX_BYTES && this.length < 0) {
      this.flag = this.#prefix[0];
      this.length = readUint32(this.#prefix, 1);
    }
    return start;
  }

  /** Takes what belongs to the message from `source[start, end)`; returns the offset behind it. The length is known. */
  takeBytes(source: Uint8Array, start: number, end: number): number {
    const stop = Math.min(end, start + this.length - this.received);
    const needed = this.received + stop - start;
    if (needed > this.bytes.length) this.#grow(needed);
    copyBytes(source, start, stop, this.bytes, this.received);
    this.received = needed;
    return stop;
  }

  #grow(needed: number): void {
    const room = Math.max(needed, this.bytes.length * 2, INITIAL_BYTES_MAX);
    const grown = new Uint8Array(Math.min(this.length, room));
    grown.set(this.bytes.subarray(0, this.received));
    this.bytes = grown;
  }
}
