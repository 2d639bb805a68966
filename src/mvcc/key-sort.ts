/**
 * Sorts key ids by their keys' bytes: multikey quicksort a word at a time, for building the tree at once when a million keys are
 * restored (inserting them one by one in random order takes several times as long).
 */
import type { KeyTable } from "./key-table.ts";

/** Groups up to this size are sorted by insertion, within one word. */
const SMALL_GROUP = 12;

/** Sorts `ids` in place. The keys are different. */
export function sortKeyIds(table: KeyTable, ids: Uint32Array): void {
  new KeySort(table, ids).sort();
}

class KeySort {
  readonly #table: KeyTable;
  readonly #ids: Uint32Array;
  /** Of each id, the word of its key at the depth of its group, as a big-endian number; 0 behind the key's end. */
  readonly #words: Uint32Array;
  /** Groups left to sort by words at their depth: low, high, depth, in threes. */
  readonly #groups: number[] = [];

  constructor(table: KeyTable, ids: Uint32Array) {
    this.#table = table;
    this.#ids = ids;
    this.#words = new Uint32Array(ids.length);
  }

  sort(): void {
    this.#enter(0, this.#ids.length, 0);
    while (this.#groups.length > 0) {
      const depth = this.#groups.pop() as number;
      const high = this.#groups.pop() as number;
      const low = this.#groups.pop() as number;
      if (high - low <= SMALL_GROUP) this.#sortSmall(low, high, depth);
      else this.#partition(low, high, depth);
    }
  }

  /** Begins a group whose keys are equal before word `depth`. */
  #enter(low: number, high: number, depth: number): void {
    if (high - low < 2) return;
    let longest = 0;
    for (let index = low; index < high; index++) longest = Math.max(longest, this.#load(index, depth));
    if (longest > depth * 4) this.#groups.push(low, high, depth);
    // Padded with zeros they are equal, so the shorter one is a prefix of the longer one.
    else this.#ids.subarray(low, high).sort((a, b) => this.#table.lengthOf(a) - this.#table.lengthOf(b));
  }

  /** Splits a group by a pivot into less, equal and greater; the equal ones go on with their next word. */
  #partition(low: number, high: number, depth: number): void {
    const words = this.#words;
    const pivot = median(words[low], words[(low + high) >>> 1], words[high - 1]);
    let less = low;
    let greater = high;
    for (let index = low; index < greater;) {
      const word = words[index];
      if (word < pivot) this.#swap(index++, less++);
      else if (word > pivot) this.#swap(index, --greater);
      else index++;
    }
    if (less - low > 1) this.#groups.push(low, less, depth);
    if (high - greater > 1) this.#groups.push(greater, high, depth);
    this.#enter(less, greater, depth + 1);
  }

  #sortSmall(low: number, high: number, depth: number): void {
    const words = this.#words;
    for (let index = low + 1; index < high; index++) {
      for (let at = index; at > low && words[at] < words[at - 1]; at--) this.#swap(at, at - 1);
    }
    for (let start = low; start < high;) {
      let end = start + 1;
      while (end < high && words[end] === words[start]) end++;
      this.#enter(start, end, depth + 1);
      start = end;
    }
  }

  #swap(a: number, b: number): void {
    const id = this.#ids[a];
    this.#ids[a] = this.#ids[b];
    this.#ids[b] = id;
    const word = this.#words[a];
    this.#words[a] = this.#words[b];
    this.#words[b] = word;
  }

  /** Loads the word of one id; returns the length of its key. */
  #load(index: number, depth: number): number {
    const id = this.#ids[index];
    this.#words[index] = this.#table.bigEndianWord(id, depth);
    return this.#table.lengthOf(id);
  }
}

function median(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}
