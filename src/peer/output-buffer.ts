/** Bytes that are being encoded for a socket: grows as needed, and is used again once the socket has taken them. */

import { assert } from "../base/assert.ts";

/** Size of a new buffer: a batch of small messages, or a chunk of a large one. */
export const OUTPUT_BYTES_INITIAL = 64 * 1024;
/** Longer than anything a peer takes (its limit is 512 MiB a message); Buffers of 2 GiB fail. */
const OUTPUT_BYTES_LIMIT = 1024 * 1024 * 1024;

export class OutputBuffer {
  bytes: Buffer = Buffer.allocUnsafeSlow(OUTPUT_BYTES_INITIAL);
  /** Bytes filled. */
  length = 0;

  /** Makes room for `more` bytes behind {@link length}. */
  ensure(more: number): void {
    const needed = this.length + more;
    if (needed > this.bytes.length) this.#grow(needed);
  }

  /** Gives the memory away: what follows goes into a new one. */
  detach(): void {
    this.bytes = Buffer.allocUnsafeSlow(OUTPUT_BYTES_INITIAL);
    this.length = 0;
  }

  /** Writes a big-endian u64 at `at`, for which there must be room. */
  setUint64(at: number, value: number): void {
    this.bytes.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
    this.bytes.writeUInt32BE(value >>> 0, at + 4);
  }

  #grow(needed: number): void {
    assert(needed <= OUTPUT_BYTES_LIMIT, "peer output too large", needed, OUTPUT_BYTES_LIMIT);
    const grown = Buffer.allocUnsafeSlow(
      Math.min(Math.max(needed, this.bytes.length * 2), OUTPUT_BYTES_LIMIT),
    );
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }
}
