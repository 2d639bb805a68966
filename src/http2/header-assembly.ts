/** A header block that spans HEADERS and CONTINUATION frames, gathered within its limits. */
import { CONTINUATION_FRAMES_MAX, HEADER_BLOCK_BYTES_MAX } from "./limits.ts";

export class HeaderAssembly {
  /** The stream whose block is open, or 0. While it is not 0, only its CONTINUATION may come (RFC 9113 section 6.10). */
  streamId = 0;
  endStream = false;
  /** When the block began, in ms of the connection's clock. */
  sinceMs = 0;
  /** The block so far: `bytes[0, length)`. */
  bytes: Uint8Array = new Uint8Array(0);
  length = 0;
  #continuations = 0;

  begin(streamId: number, endStream: boolean, nowMs: number): void {
    this.streamId = streamId;
    this.endStream = endStream;
    this.sinceMs = nowMs;
    this.length = 0;
    this.#continuations = -1;
  }

  /** Adds a fragment. False when the block is longer, or in more pieces, than any honest one. */
  append(source: Uint8Array, start: number, end: number): boolean {
    const length = this.length + end - start;
    if (++this.#continuations > CONTINUATION_FRAMES_MAX || length > HEADER_BLOCK_BYTES_MAX) return false;
    if (length > this.bytes.length) {
      const grown = new Uint8Array(Math.min(HEADER_BLOCK_BYTES_MAX, Math.max(length, this.bytes.length * 2)));
      grown.set(this.bytes.subarray(0, this.length));
      this.bytes = grown;
    }
    this.bytes.set(source.subarray(start, end), this.length);
    this.length = length;
    return true;
  }

  end(): void {
    this.streamId = 0;
  }
}
