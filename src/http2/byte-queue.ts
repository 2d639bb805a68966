/** Bytes that wait in order: appended at the end, consumed at the front. Its owner bounds how many. */
import { copyBytes } from "../base/copy-bytes.ts";

export class ByteQueue {
  /** What waits is `bytes[start, end)`. */
  bytes: Uint8Array;
  start = 0;
  end = 0;

  constructor(initialBytes: number) {
    this.bytes = new Uint8Array(initialBytes);
  }

  get length(): number {
    return this.end - this.start;
  }

  /** Copies `source[start, end)` behind what waits. */
  append(source: Uint8Array, start: number, end: number): void {
    const more = end - start;
    if (this.end + more > this.bytes.length) this.#makeRoom(more);
    copyBytes(source, start, end, this.bytes, this.end);
    this.end += more;
  }

  /** Drops `count` bytes at the front. */
  consume(count: number): void {
    this.start += count;
    if (this.start === this.end) this.start = this.end = 0;
  }

  #makeRoom(more: number): void {
    const length = this.length;
    const capacity = this.bytes.length;
    // A quarter must have been consumed, so that a byte is moved three times at most, and not with each append.
    if (length + more <= capacity && this.start * 4 >= capacity) {
      this.bytes.copyWithin(0, this.start, this.end);
    } else {
      const grown = new Uint8Array(Math.max(capacity * 2, length + more));
      grown.set(this.bytes.subarray(this.start, this.end));
      this.bytes = grown;
    }
    this.start = 0;
    this.end = length;
  }
}
