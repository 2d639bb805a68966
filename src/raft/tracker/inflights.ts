import { assert } from "../../base/assert.ts";

/** Capacity of the ring when its first message is sent; it doubles as needed. */
const INITIAL_CAPACITY = 8;

/**
 * The appends under way to one follower: a window bounded by their number and by their bytes. A message is freed when the follower
 * acknowledges its last entry.
 */
export class Inflights {
  readonly countMax: number;
  /** 0 = not limited. The message that crosses the limit is still sent. */
  readonly bytesMax: number;
  /** Ring: message `i` of `#count` stands at `(#start + i) % capacity`. Indexes ascend. */
  #indexes = new Float64Array(0);
  #sizes = new Float64Array(0);
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(countMax: number, bytesMax: number) {
    this.countMax = countMax;
    this.bytesMax = bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isFull(): boolean {
    return this.#count >= this.countMax || (this.bytesMax !== 0 && this.#bytes >= this.bytesMax);
  }

  /** A message whose last entry is `index` and whose entries have `bytes` was sent. There must be room. */
  add(index: number, bytes: number): void {
    assert(!this.isFull, "inflights are full", this.#count, this.#bytes);
    if (this.#count === this.#indexes.length) this.#grow();
    const at = (this.#start + this.#count) % this.#indexes.length;
    this.#indexes[at] = index;
    this.#sizes[at] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  /** Frees the messages whose last entry is at most `index`. */
  freeUpTo(index: number): void {
    while (this.#count > 0 && this.#indexes[this.#start] <= index) {
      this.#bytes -= this.#sizes[this.#start];
      this.#start = (this.#start + 1) % this.#indexes.length;
      this.#count--;
    }
  }

  clear(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  #grow(): void {
    const capacity = Math.min(Math.max(this.#indexes.length * 2, INITIAL_CAPACITY), this.countMax);
    this.#indexes = this.#unrolled(this.#indexes, capacity);
    this.#sizes = this.#unrolled(this.#sizes, capacity);
    this.#start = 0;
  }

  #unrolled(ring: Float64Array, capacity: number): Float64Array<ArrayBuffer> {
    const larger = new Float64Array(capacity);
    larger.set(ring.subarray(this.#start));
    larger.set(ring.subarray(0, this.#start), ring.length - this.#start);
    return larger;
  }
}
