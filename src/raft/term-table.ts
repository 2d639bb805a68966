import { assert } from "../base/assert.ts";

/**
 * Terms of log entries, as the few points where the term changes: a log of millions of entries has a handful.
 * Invariant: indexes and terms both ascend.
 */
export class TermTable {
  #firstIndexes: number[] = [];
  #terms: number[] = [];
  #lastIndex: number;

  /** The log begins behind `index`, an entry of `term` (0 and 0 for an empty log). */
  constructor(index: number, term: number) {
    this.#firstIndexes.push(index);
    this.#terms.push(term);
    this.#lastIndex = index;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get lastTerm(): number {
    return this.#terms[this.#terms.length - 1];
  }

  /** Appends one entry; an index that exists already replaces it and drops what follows. */
  append(index: number, term: number): void {
    if (index <= this.#lastIndex) this.#truncate(index);
    assert(index === this.#lastIndex + 1, "entry indexes must be consecutive", index, this.#lastIndex);
    assert(term >= this.lastTerm, "terms never go back", term, this.lastTerm);
    if (term !== this.lastTerm) {
      this.#firstIndexes.push(index);
      this.#terms.push(term);
    }
    this.#lastIndex = index;
  }

  /** Term of the entry at `index`, 0 outside the table. */
  termAt(index: number): number {
    if (index > this.#lastIndex) return 0;
    for (let at = this.#terms.length - 1; at >= 0; at--) {
      if (this.#firstIndexes[at] <= index) return this.#terms[at];
    }
    return 0;
  }

  /** Begins anew behind `index`, an entry of `term`. */
  reset(index: number, term: number): void {
    this.#firstIndexes = [index];
    this.#terms = [term];
    this.#lastIndex = index;
  }

  /** Forgets terms of entries below `index`. */
  release(index: number): void {
    while (this.#firstIndexes.length > 1 && this.#firstIndexes[1] <= index) {
      this.#firstIndexes.shift();
      this.#terms.shift();
    }
    if (this.#firstIndexes[0] < index) this.#firstIndexes[0] = Math.min(index, this.#lastIndex);
  }

  #truncate(index: number): void {
    assert(
      index > this.#firstIndexes[0],
      "cannot truncate below the start of the log",
      index,
      this.#firstIndexes[0],
    );
    while (this.#firstIndexes[this.#firstIndexes.length - 1] >= index) {
      this.#firstIndexes.pop();
      this.#terms.pop();
    }
    this.#lastIndex = index - 1;
  }
}
