/**
 * Rows in the order in which they fall due: a heap of four children a node that knows where each row stands, so that a row is
 * moved or removed without a search. O(log n) a change, O(1) to see what is due first. Moving a due time out, which is what a
 * keep-alive does, hardly ever takes more than a few steps.
 */
const ROWS_FIRST = 1024;
const ARITY_SHIFT = 2;

export class DueHeap {
  /** Rows in heap order. */
  #rows = new Uint32Array(ROWS_FIRST);
  /** Due time of the row at the same place. */
  #due = new Float64Array(ROWS_FIRST);
  /** By row: its place plus one; 0 = not in the heap. */
  #places = new Uint32Array(ROWS_FIRST);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The earliest due time; Infinity when the heap is empty. */
  get firstDueMs(): number {
    return this.#size === 0 ? Infinity : this.#due[0];
  }

  /** The row that falls due first; 0 when the heap is empty. */
  get first(): number {
    return this.#size === 0 ? 0 : this.#rows[0];
  }

  /** When a row falls due; Infinity if it is not in the heap. */
  dueMs(row: number): number {
    const place = this.#places[row] ?? 0;
    return place === 0 ? Infinity : this.#due[place - 1];
  }

  /** Puts a row in, or moves it. */
  set(row: number, dueMs: number): void {
    if (row >= this.#places.length) this.#places = grown(this.#places, row);
    const place = this.#places[row];
    if (place === 0) {
      if (this.#size === this.#rows.length) this.#growHeap();
      this.#rise(this.#size++, row, dueMs);
      return;
    }
    if (dueMs < this.#due[place - 1]) this.#rise(place - 1, row, dueMs);
    else this.#sink(place - 1, row, dueMs);
  }

  /** Takes a row out, if it is in. */
  remove(row: number): void {
    const place = this.#places[row] ?? 0;
    if (place === 0) return;
    this.#places[row] = 0;
    const last = --this.#size;
    if (place - 1 === last) return;
    const moved = this.#rows[last];
    const dueMs = this.#due[last];
    if (dueMs < this.#due[place - 1]) this.#rise(place - 1, moved, dueMs);
    else this.#sink(place - 1, moved, dueMs);
  }

  clear(): void {
    this.#size = 0;
    this.#places.fill(0);
  }

  #rise(at: number, row: number, dueMs: number): void {
    while (at > 0) {
      const parent = (at - 1) >>> ARITY_SHIFT;
      if (this.#due[parent] <= dueMs) break;
      this.#place(at, this.#rows[parent], this.#due[parent]);
      at = parent;
    }
    this.#place(at, row, dueMs);
  }

  #sink(at: number, row: number, dueMs: number): void {
    const due = this.#due;
    for (;;) {
      const first = (at << ARITY_SHIFT) + 1;
      if (first >= this.#size) break;
      const end = Math.min(first + (1 << ARITY_SHIFT), this.#size);
      let least = first;
      for (let child = first + 1; child < end; child++) if (due[child] < due[least]) least = child;
      if (due[least] >= dueMs) break;
      this.#place(at, this.#rows[least], due[least]);
      at = least;
    }
    this.#place(at, row, dueMs);
  }

  #place(at: number, row: number, dueMs: number): void {
    this.#rows[at] = row;
    this.#due[at] = dueMs;
    this.#places[row] = at + 1;
  }

  #growHeap(): void {
    this.#rows = grown(this.#rows, this.#size);
    const due = new Float64Array(this.#rows.length);
    due.set(this.#due);
    this.#due = due;
  }
}

/** A copy long enough for `index`. */
function grown(array: Uint32Array, index: number): Uint32Array<ArrayBuffer> {
  const copy = new Uint32Array(Math.max(array.length * 2, index + 1));
  copy.set(array);
  return copy;
}
