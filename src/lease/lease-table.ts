/**
 * A row a lease, in columns of typed arrays that the garbage collector does not see, and the way from a lease's id to its row:
 * open addressing with linear probing, over a hash of the id that is mixed with a seed (clients choose ids).
 *
 * Row 0 is never given out, so that 0 can mean "none". A row keeps its number until the lease is removed.
 */
import { assert } from "../base/assert.ts";
import { LEASES_MAX } from "./lease-limits.ts";

const ROWS_FIRST = 1024;

export class LeaseTable {
  /** The id, int64, in two unsigned halves; both 0 in a free row. */
  idLow = new Uint32Array(ROWS_FIRST);
  idHigh = new Uint32Array(ROWS_FIRST);
  /** As granted, at least the member's minimum. */
  ttlSeconds = new Float64Array(ROWS_FIRST);
  /** As of the last checkpoint; 0 = none, the whole TTL counts. */
  remainingSeconds = new Float64Array(ROWS_FIRST);
  /** On the primary: 1 while a checkpoint that was handed out has not come back through the log. */
  isCheckpointing = new Uint8Array(ROWS_FIRST);
  /** When the lease expires, by the primary's clock; Infinity on every other member. */
  expiryMs = new Float64Array(ROWS_FIRST);
  /** Number of leases. */
  size = 0;
  /** Rows ever given out, row 0 included: all rows are below this. */
  used = 1;
  readonly #seed: number;
  /** Rows by hash; 0 = empty. At most half full. */
  #index = new Uint32Array(ROWS_FIRST * 2);
  #freeRows: number[] = [];

  /** @param seed secret of the process, against ids made to collide */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Length of the columns. */
  get capacity(): number {
    return this.idLow.length;
  }

  /** Row of a lease, 0 if it is not known. */
  find(low: number, high: number): number {
    const index = this.#index;
    const mask = index.length - 1;
    for (let at = this.#hash(low, high) & mask; ; at = (at + 1) & mask) {
      const row = index[at];
      if (row === 0 || (this.idLow[row] === low && this.idHigh[row] === high)) return row;
    }
  }

  /** A row for a lease that is not there yet; its other columns are those of a lease that never expires. */
  add(low: number, high: number, ttlSeconds: number): number {
    assert((low | high) !== 0, "a lease has an id");
    const row = this.#freeRows.pop() ?? this.#newRow();
    this.idLow[row] = low;
    this.idHigh[row] = high;
    this.ttlSeconds[row] = ttlSeconds;
    this.remainingSeconds[row] = 0;
    this.isCheckpointing[row] = 0;
    this.expiryMs[row] = Infinity;
    this.size++;
    this.#enter(row);
    return row;
  }

  remove(row: number): void {
    this.#leave(row);
    this.idLow[row] = this.idHigh[row] = 0;
    this.expiryMs[row] = Infinity;
    this.size--;
    this.#freeRows.push(row);
  }

  /** Whether `row` holds a lease; for walks over all rows below {@link used}. */
  isUsed(row: number): boolean {
    return (this.idLow[row] | this.idHigh[row]) !== 0;
  }

  #newRow(): number {
    if (this.used === this.capacity) this.#grow();
    return this.used++;
  }

  #grow(): void {
    const capacity = this.capacity * 2;
    assert(capacity <= LEASES_MAX, "more leases than a member can hold", this.size);
    this.idLow = copyInto(new Uint32Array(capacity), this.idLow);
    this.idHigh = copyInto(new Uint32Array(capacity), this.idHigh);
    this.ttlSeconds = copyInto(new Float64Array(capacity), this.ttlSeconds);
    this.remainingSeconds = copyInto(new Float64Array(capacity), this.remainingSeconds);
    this.isCheckpointing = copyInto(new Uint8Array(capacity), this.isCheckpointing);
    this.expiryMs = copyInto(new Float64Array(capacity), this.expiryMs);
    this.#index = new Uint32Array(capacity * 2);
    for (let row = 1; row < this.used; row++) if (this.isUsed(row)) this.#enter(row);
  }

  #enter(row: number): void {
    const index = this.#index;
    const mask = index.length - 1;
    let at = this.#hash(this.idLow[row], this.idHigh[row]) & mask;
    while (index[at] !== 0) at = (at + 1) & mask;
    index[at] = row;
  }

  /** Takes the row out of the index, and moves up what had been pushed behind it. */
  #leave(row: number): void {
    const index = this.#index;
    const mask = index.length - 1;
    let hole = this.#hash(this.idLow[row], this.idHigh[row]) & mask;
    while (index[hole] !== row) hole = (hole + 1) & mask;
    for (let at = (hole + 1) & mask; index[at] !== 0; at = (at + 1) & mask) {
      const home = this.#hash(this.idLow[index[at]], this.idHigh[index[at]]) & mask;
      // It may move only if its home is not between the hole and where it is.
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      index[hole] = index[at];
      hole = at;
    }
    index[hole] = 0;
  }

  #hash(low: number, high: number): number {
    let hash = Math.imul(low ^ this.#seed, 0x85eb_ca6b) ^ Math.imul(high + this.#seed, 0xc2b2_ae35);
    hash = Math.imul(hash ^ (hash >>> 16), 0x9e37_79b1);
    hash = Math.imul(hash ^ (hash >>> 15), 0x85eb_ca6b);
    return (hash ^ (hash >>> 13)) >>> 0;
  }
}

function copyInto<T extends Uint8Array | Uint32Array | Float64Array>(target: T, source: T): T {
  target.set(source);
  return target;
}
