import { moveInto, release } from "../base/grow-array.ts";
import { SPARSE_SLOTS_MIN } from "./watch-limits.ts";

/** A table is sparse when so many times its records were there at its busiest. */
const SPARSE_FACTOR = 4;

/**
 * Records of a fixed number of 32-bit words in one typed array that doubles. Slot 0 is never given out: 0 means none. Free slots are
 * used again, so that creating and cancelling for days takes the memory of the busiest moment; whoever owns a table that has become
 * {@link isSparse} moves what is left into a new one.
 */
export class SlotTable {
  words: Int32Array<ArrayBuffer>;
  readonly stride: number;
  /** Slots ever given out are below this. */
  #used = 1;
  #freeHead = 0;
  #live = 0;

  constructor(stride: number, capacity = 64) {
    this.stride = stride;
    this.words = new Int32Array(capacity * stride);
  }

  /** Slots in use. */
  get live(): number {
    return this.#live;
  }

  /** Slots there is memory for. */
  get capacity(): number {
    return this.words.length / this.stride;
  }

  /** Most of its memory is for records that are gone, and worth to be given back. */
  get isSparse(): boolean {
    return this.#used >= SPARSE_SLOTS_MIN && this.#live * SPARSE_FACTOR <= this.#used;
  }

  /** Gives the memory back: the table is not used any more. */
  release(): void {
    release(this.words);
  }

  /** A slot, all zero. */
  allocate(): number {
    this.#live++;
    const slot = this.#freeHead;
    if (slot !== 0) {
      const at = slot * this.stride;
      this.#freeHead = this.words[at];
      this.words[at] = 0;
      return slot;
    }
    if (this.#used === this.capacity) {
      this.words = moveInto(new Int32Array(this.words.length * 2), this.words);
    }
    return this.#used++;
  }

  free(slot: number): void {
    this.#live--;
    const at = slot * this.stride;
    this.words.fill(0, at, at + this.stride);
    this.words[at] = this.#freeHead;
    this.#freeHead = slot;
  }
}
