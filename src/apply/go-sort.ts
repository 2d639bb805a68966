/**
 * Sorts as Go's `sort.Sort` does, down to where equal elements end up: it is a pattern-defeating quicksort
 * (https://arxiv.org/abs/2106.05123) with fixed choices, so its result is a function of the input. etcd sorts ranges with
 * it; clients that page through keys of one version or one value see that order.
 */

type IsLess = (a: number, b: number) => boolean;

const INSERTION_MAX = 12;
const NINTHER_MIN = 50;
const SHIFT_MIN = 50;
const SHIFTS_MAX = 5;
/** Swaps of the three medians and their median, when every comparison swapped: the input descends. */
const SWAPS_MAX = 12;

/** Returns the elements 0..count-1 in sorted order; `isLess` compares two elements. */
export function goSort(count: number, isLess: IsLess): Uint32Array {
  const sorter = new GoSort(count, isLess);
  sorter.sort(0, count, 32 - Math.clz32(count));
  return sorter.order;
}

class GoSort {
  readonly order: Uint32Array;
  readonly #isLess: IsLess;
  #swaps = 0;

  constructor(count: number, isLess: IsLess) {
    this.order = Uint32Array.from({ length: count }, (_, i) => i);
    this.#isLess = isLess;
  }

  /** Sorts places [a, b); after `badPivotsMax` bad pivots the rest is heap-sorted. */
  sort(a: number, b: number, badPivotsMax: number): void {
    let wasBalanced = true;
    let wasPartitioned = true;
    for (;;) {
      const length = b - a;
      if (length <= INSERTION_MAX) return this.#insertionSort(a, b);
      if (badPivotsMax === 0) return this.#heapSort(a, b);
      if (!wasBalanced) {
        this.#breakPatterns(a, b);
        badPivotsMax--;
      }
      let pivot = this.#choosePivot(a, b);
      let ascending = this.#swaps === 0;
      if (this.#swaps === SWAPS_MAX) {
        this.#reverse(a, b);
        pivot = b - 1 - (pivot - a);
        ascending = true;
      }
      if (wasBalanced && wasPartitioned && ascending && this.#partialInsertionSort(a, b)) return;
      // Everything in [a, b) is at least the element before it: when the pivot equals that one, split off its equals.
      if (a > 0 && !this.#less(a - 1, pivot)) {
        a = this.#partitionEqual(a, b, pivot);
        continue;
      }
      const moved = this.#partition(a, b, pivot);
      wasPartitioned = moved < 0;
      const middle = moved < 0 ? -moved - 1 : moved;
      const left = middle - a;
      const right = b - middle;
      wasBalanced = Math.min(left, right) >= Math.floor(length / 8);
      if (left < right) {
        this.sort(a, middle, badPivotsMax);
        a = middle + 1;
      } else {
        this.sort(middle + 1, b, badPivotsMax);
        b = middle;
      }
    }
  }

  #less(i: number, j: number): boolean {
    return this.#isLess(this.order[i], this.order[j]);
  }

  #swap(i: number, j: number): void {
    const order = this.order;
    const element = order[i];
    order[i] = order[j];
    order[j] = element;
  }

  #insertionSort(a: number, b: number): void {
    for (let i = a + 1; i < b; i++) {
      for (let j = i; j > a && this.#less(j, j - 1); j--) this.#swap(j, j - 1);
    }
  }

  #heapSort(a: number, b: number): void {
    const count = b - a;
    for (let i = (count - 1) >> 1; i >= 0; i--) this.#siftDown(i, count, a);
    for (let i = count - 1; i >= 0; i--) {
      this.#swap(a, a + i);
      this.#siftDown(0, i, a);
    }
  }

  #siftDown(root: number, count: number, a: number): void {
    for (;;) {
      let child = 2 * root + 1;
      if (child >= count) return;
      if (child + 1 < count && this.#less(a + child, a + child + 1)) child++;
      if (!this.#less(a + root, a + child)) return;
      this.#swap(a + root, a + child);
      root = child;
    }
  }

  /** Scatters three elements in the middle, by a 64-bit xorshift seeded with the length. */
  #breakPatterns(a: number, b: number): void {
    const length = b - a;
    const mask = BigInt(2 ** (32 - Math.clz32(length)) - 1);
    let random = BigInt(length);
    const middle = a + (length >> 2) * 2;
    for (let i = middle - 1; i <= middle + 1; i++) {
      random ^= BigInt.asUintN(64, random << 13n);
      random ^= random >> 7n;
      random ^= BigInt.asUintN(64, random << 17n);
      let other = Number(random & mask);
      if (other >= length) other -= length;
      this.#swap(i, a + other);
    }
  }

  /** Returns the place of the pivot and leaves in #swaps how many comparisons found their operands in descending order. */
  #choosePivot(a: number, b: number): number {
    const length = b - a;
    const quarter = length >> 2;
    let i = a + quarter;
    let j = a + quarter * 2;
    let k = a + quarter * 3;
    this.#swaps = 0;
    if (length >= NINTHER_MIN) {
      i = this.#median(i - 1, i, i + 1);
      j = this.#median(j - 1, j, j + 1);
      k = this.#median(k - 1, k, k + 1);
    }
    return this.#median(i, j, k);
  }

  #median(a: number, b: number, c: number): number {
    let low = a;
    let middle = b;
    if (this.#less(middle, low)) {
      this.#swaps++;
      low = b;
      middle = a;
    }
    if (this.#less(c, middle)) {
      this.#swaps++;
      middle = c;
    }
    if (this.#less(middle, low)) {
      this.#swaps++;
      middle = low;
    }
    return middle;
  }

  #reverse(a: number, b: number): void {
    for (let i = a, j = b - 1; i < j; i++, j--) this.#swap(i, j);
  }

  /** Repairs up to five places that are out of order. True: sorted. */
  #partialInsertionSort(a: number, b: number): boolean {
    let i = a + 1;
    for (let shifts = 0; shifts < SHIFTS_MAX; shifts++) {
      while (i < b && !this.#less(i, i - 1)) i++;
      if (i === b) return true;
      if (b - a < SHIFT_MIN) return false;
      this.#swap(i, i - 1);
      if (i - a >= 2) {
        for (let j = i - 1; j >= 1 && this.#less(j, j - 1); j--) this.#swap(j, j - 1);
      }
      if (b - i >= 2) {
        for (let j = i + 1; j < b && this.#less(j, j - 1); j++) this.#swap(j, j - 1);
      }
    }
    return false;
  }

  /** Splits [a, b) by its pivot; returns the pivot's new place, as -place - 1 when nothing had to move. */
  #partition(a: number, b: number, pivot: number): number {
    this.#swap(a, pivot);
    let i = a + 1;
    let j = b - 1;
    let moved = false;
    for (;;) {
      while (i <= j && this.#less(i, a)) i++;
      while (i <= j && !this.#less(j, a)) j--;
      if (i > j) break;
      this.#swap(i++, j--);
      moved = true;
    }
    this.#swap(j, a);
    return moved ? j : -j - 1;
  }

  /** Moves what equals the pivot (nothing is less) to the front; returns the place behind it. */
  #partitionEqual(a: number, b: number, pivot: number): number {
    this.#swap(a, pivot);
    let i = a + 1;
    let j = b - 1;
    for (;;) {
      while (i <= j && !this.#less(a, i)) i++;
      while (i <= j && this.#less(a, j)) j--;
      if (i > j) return i;
      this.#swap(i++, j--);
    }
  }
}
