/**
 * Numbers that one thread counts and others read: slots in one block of memory, shared or not.
 *
 * A slot has one writer. Writing is a plain store: no atomics, no allocation, a nanosecond or two. A reader may see a histogram
 * between two stores of an observation, which is one observation off, and gone at the next look. Nothing here resets: counts grow for
 * the life of the process.
 */
import { assert } from "./assert.ts";

/** What a slot holds: one number, or a histogram with these upper bounds (ascending; values beyond go into one more bucket). */
export type Slot = "number" | readonly number[];

/** The slots of a block by name, in the order in which they lie in memory. */
export type Layout = Readonly<Record<string, Slot | readonly (readonly number[])[]>>;

/** The objects over the slots of a layout. */
export type Meters<L extends Layout> = {
  readonly [Name in keyof L]: L[Name] extends "number"
    ? NumberMeter
    : L[Name] extends readonly number[]
      ? Histogram
      : readonly Histogram[];
};

const CELL_BYTES = 8;

/** Upper bounds: `first`, then each `factor` times the one before, `count` in all. */
export function exponentialBounds(first: number, factor: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => first * factor ** i);
}

/** `count` histograms with the same bounds: one a label value. */
export function histograms(bounds: readonly number[], count: number): readonly (readonly number[])[] {
  return Array.from({ length: count }, () => bounds);
}

/** One number: a count that grows, or a size that is set. */
export class NumberMeter {
  readonly #cells: Float64Array;
  readonly #at: number;

  constructor(cells: Float64Array, at: number) {
    this.#cells = cells;
    this.#at = at;
  }

  get value(): number {
    return this.#cells[this.#at];
  }

  /** The owner only. */
  add(amount: number): void {
    this.#cells[this.#at] += amount;
  }

  /** The owner only. */
  set(value: number): void {
    this.#cells[this.#at] = value;
  }
}

/** What a histogram held at one moment; may be structured-cloned. */
export interface HistogramCopy {
  readonly bounds: readonly number[];
  /** Values of each bucket alone; one more than bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** Counts of values by bucket, and their sum. Cells: the sum, then one a bucket. */
export class Histogram {
  /** Upper bounds, ascending; the bucket behind the last has none. Shared by all that have the same list. */
  readonly bounds: Float64Array;
  readonly #cells: Float64Array;
  readonly #at: number;

  constructor(cells: Float64Array, at: number, bounds: readonly number[]) {
    this.bounds = sharedBounds(bounds);
    this.#cells = cells;
    this.#at = at;
  }

  /** Notes one value. The owner only. */
  observe(value: number): void {
    const { bounds } = this;
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]) bucket++;
    const cells = this.#cells;
    cells[this.#at] += value;
    cells[this.#at + 1 + bucket]++;
  }

  get sum(): number {
    return this.#cells[this.#at];
  }

  /** Values in bucket `index` alone; `bounds.length` is the last one. */
  countIn(index: number): number {
    return this.#cells[this.#at + 1 + index];
  }

  copy(): HistogramCopy {
    const counts = Array.from({ length: this.bounds.length + 1 }, (_, index) => this.countIn(index));
    return { bounds: [...this.bounds], counts, sum: this.sum };
  }

  get count(): number {
    let count = 0;
    for (let index = 0; index <= this.bounds.length; index++) count += this.countIn(index);
    return count;
  }
}

/** A member has dozens of histograms and few lists of bounds. */
const boundsByList = new WeakMap<readonly number[], Float64Array>();

function sharedBounds(list: readonly number[]): Float64Array {
  let bounds = boundsByList.get(list);
  if (bounds === undefined) boundsByList.set(list, (bounds = new Float64Array(list)));
  return bounds;
}

function isList(slot: Layout[string]): slot is readonly (readonly number[])[] {
  return Array.isArray(slot) && Array.isArray(slot[0]);
}

function cellsOf(slot: Layout[string]): number {
  if (slot === "number") return 1;
  if (isList(slot)) return slot.reduce((sum, bounds) => sum + cellsOf(bounds), 0);
  return slot.length + 2;
}

/** Bytes that the slots of a layout take. */
export function meterBytes(layout: Layout): number {
  return Object.values(layout).reduce((sum, slot) => sum + cellsOf(slot), 0) * CELL_BYTES;
}

/** The objects over `memory`, which is at least {@link meterBytes} long; without, over memory of their own. */
export function openMeters<L extends Layout>(
  layout: L,
  memory: ArrayBufferLike = new ArrayBuffer(meterBytes(layout)),
): Meters<L> {
  assert(memory.byteLength >= meterBytes(layout), "memory too short for its meters", memory.byteLength);
  const cells = new Float64Array(memory);
  const meters: Record<string, NumberMeter | Histogram | Histogram[]> = {};
  let at = 0;
  for (const [name, slot] of Object.entries(layout)) {
    if (slot === "number") meters[name] = new NumberMeter(cells, at);
    else if (isList(slot)) {
      let next = at;
      meters[name] = slot.map((bounds) => {
        const histogram = new Histogram(cells, next, bounds);
        next += cellsOf(bounds);
        return histogram;
      });
    } else meters[name] = new Histogram(cells, at, slot);
    at += cellsOf(slot);
  }
  return meters as Meters<L>;
}
