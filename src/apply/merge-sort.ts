/** A merge sort that can stop anywhere and go on later, for sorts too long for one slice. Stable. */
export class MergeSort {
  /** The order after {@link step} returned true: positions 0..count-1, sorted. */
  order: Uint32Array;
  #spare: Uint32Array;
  readonly #count: number;
  readonly #isBefore: (a: number, b: number) => boolean;
  /** Length of the runs that are sorted already. */
  #width = 1;
  /** Start of the pair of runs being merged, the positions in both, and where the next one goes. */
  #start = 0;
  #left = 0;
  #right = 1;
  #to = 0;

  /** `isBefore(a, b)`: element a must stand before element b (strictly). */
  constructor(count: number, isBefore: (a: number, b: number) => boolean) {
    this.#count = count;
    this.#isBefore = isBefore;
    this.order = new Uint32Array(count);
    this.#spare = new Uint32Array(count);
    for (let i = 0; i < count; i++) this.order[i] = i;
  }

  /** Moves up to `moves` elements. True: sorted. */
  step(moves: number): boolean {
    while (this.#width < this.#count) {
      while (this.#to < this.#count) {
        if (moves <= 0) return false;
        moves -= this.#mergePair(moves);
      }
      const merged = this.#spare;
      this.#spare = this.order;
      this.order = merged;
      this.#width *= 2;
      this.#startPair(0);
    }
    return true;
  }

  #startPair(start: number): void {
    this.#start = start;
    this.#left = start;
    this.#right = Math.min(start + this.#width, this.#count);
    this.#to = start;
  }

  /** Goes on with the pair of runs at #start for up to `moves` elements; returns how many it moved. */
  #mergePair(moves: number): number {
    const leftEnd = Math.min(this.#start + this.#width, this.#count);
    const rightEnd = Math.min(this.#start + 2 * this.#width, this.#count);
    const source = this.order;
    const target = this.#spare;
    const stop = Math.min(this.#to + moves, rightEnd);
    const first = this.#to;
    let left = this.#left;
    let right = this.#right;
    for (let to = first; to < stop; to++) {
      const takeRight = left >= leftEnd || (right < rightEnd && this.#isBefore(source[right], source[left]));
      target[to] = source[takeRight ? right++ : left++];
    }
    this.#left = left;
    this.#right = right;
    this.#to = stop;
    if (stop === rightEnd) this.#startPair(rightEnd);
    return stop - first;
  }
}
