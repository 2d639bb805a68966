/** Capacity at the first entry; doubles as needed. */
const INITIAL_ENTRIES = 64;

/**
 * Bytes of data in a leader's entries that are not yet applied, against a limit. Entries of earlier leaders do not count.
 * A ring of one number an entry; nothing is kept when there is no limit.
 */
export class UncommittedBytes {
  readonly #max: number;
  /** Entry `i` of `#count` stands at `(#start + i) % length`; its index is `#firstIndex + i`. */
  #sizes = new Float64Array(0);
  #start = 0;
  #count = 0;
  #firstIndex = 0;
  #bytes = 0;

  /** @param max 0 = no limit */
  constructor(max: number) {
    this.#max = max;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * True if `bytes` more may be appended. Whatever its size, one proposal always may; so may empty ones, with which a term begins
   * and a joint configuration is left.
   */
  hasRoom(bytes: number): boolean {
    return this.#max === 0 || this.#bytes === 0 || bytes === 0 || this.#bytes + bytes <= this.#max;
  }

  /** The entry at `index`, the next one, has `bytes`. */
  add(index: number, bytes: number): void {
    if (this.#max === 0) return;
    if (this.#count === this.#sizes.length) this.#grow();
    if (this.#count === 0) this.#firstIndex = index;
    this.#sizes[(this.#start + this.#count) % this.#sizes.length] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  appliedTo(index: number): void {
    while (this.#count > 0 && this.#firstIndex <= index) {
      this.#bytes -= this.#sizes[this.#start];
      this.#start = (this.#start + 1) % this.#sizes.length;
      this.#firstIndex++;
      this.#count--;
    }
  }

  clear(): void {
    this.#start = this.#count = this.#bytes = 0;
  }

  #grow(): void {
    const larger = new Float64Array(Math.max(this.#sizes.length * 2, INITIAL_ENTRIES));
    for (let i = 0; i < this.#count; i++) larger[i] = this.#sizes[(this.#start + i) % this.#sizes.length];
    this.#sizes = larger;
    this.#start = 0;
  }
}
