/** A byte array that grows, for answers of which the size is not known before they are written. */
import { SCRATCH_KEPT_BYTES_MAX } from "./apply-limits.ts";

const FIRST_BYTES = 64 * 1024;

export class ByteBuffer {
  bytes = new Uint8Array(FIRST_BYTES);
  /** Bytes written so far; writers advance it. */
  length = 0;

  /** Empties the buffer; gives memory back that one giant answer took. */
  clear(): void {
    this.length = 0;
    if (this.bytes.length > SCRATCH_KEPT_BYTES_MAX) this.bytes = new Uint8Array(FIRST_BYTES);
  }

  /** Makes room for `more` bytes behind {@link length}. Replaces {@link bytes}, so read it again. */
  ensure(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  /** Opens a gap of `count` bytes at `at`: everything behind moves up. */
  insert(at: number, count: number): void {
    this.ensure(count);
    this.bytes.copyWithin(at + count, at, this.length);
    this.length += count;
  }

  /** Gives the memory away: the buffer starts anew. */
  detach(): Uint8Array {
    const bytes = this.bytes;
    this.bytes = new Uint8Array(FIRST_BYTES);
    this.length = 0;
    return bytes;
  }
}
