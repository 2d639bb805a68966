/**
 * Bucket `key` in memory: records in ascending order in flat arrays, values in slabs, nothing that the garbage collector
 * has to visit a record. Appending is cheap; removing marks, and the log rewrites itself when half of it is removed.
 */
const RECORDS_MIN = 1024;
const SLAB_BYTES = 1024 * 1024;
/** In `lengths`: the record was removed. */
const REMOVED = 0xffff_ffff;

export class RevisionLog {
  /** Records, removed ones included. */
  count = 0;
  #removed = 0;
  #mains = new Float64Array(RECORDS_MIN);
  /** sub * 2 + 1 for a tombstone: bucket keys sort a put before the tombstone of the same revision. */
  #subs = new Float64Array(RECORDS_MIN);
  #slabNumbers = new Uint32Array(RECORDS_MIN);
  #offsets = new Uint32Array(RECORDS_MIN);
  #lengths = new Uint32Array(RECORDS_MIN);
  #slabs: Uint8Array[] = [];
  #slabUsed = 0;
  #valueBytes = 0;

  /** Bytes allocated for records and values, and bytes of them in use. */
  size(): { allocatedBytes: number; inUseBytes: number } {
    const perRecord = 2 * 8 + 3 * 4;
    const slabs = this.#slabs.reduce((sum, slab) => sum + slab.length, 0);
    return {
      allocatedBytes: this.#mains.length * perRecord + slabs,
      inUseBytes: (this.count - this.#removed) * perRecord + this.#valueBytes,
    };
  }

  /** Index of the first record at or above this revision. */
  lowerBound(main: number, sub: number, tombstone: boolean): number {
    const suffix = sub * 2 + (tombstone ? 1 : 0);
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = this.#mains[middle] - main || this.#subs[middle] - suffix;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Index of the record with exactly this revision, removed or not; -1 if there is none. */
  find(main: number, sub: number, tombstone: boolean): number {
    const index = this.lowerBound(main, sub, tombstone);
    const suffix = sub * 2 + (tombstone ? 1 : 0);
    return index < this.count && this.#mains[index] === main && this.#subs[index] === suffix ? index : -1;
  }

  isRemoved(index: number): boolean {
    return this.#lengths[index] === REMOVED;
  }

  /** The value's bytes: a view of the log's memory. Not for removed records. */
  value(index: number): Uint8Array {
    const offset = this.#offsets[index];
    return this.#slabs[this.#slabNumbers[index]].subarray(offset, offset + this.#lengths[index]);
  }

  mainAt(index: number): number {
    return this.#mains[index];
  }

  subAt(index: number): number {
    return Math.floor(this.#subs[index] / 2);
  }

  isTombstone(index: number): boolean {
    return this.#subs[index] % 2 === 1;
  }

  /** Adds a record, or replaces the one with this revision. Copies the value. Returns whether it went to the end. */
  put(main: number, sub: number, tombstone: boolean, value: Uint8Array): boolean {
    const suffix = sub * 2 + (tombstone ? 1 : 0);
    const last = this.count - 1;
    const ascends = last < 0 || (this.#mains[last] - main || this.#subs[last] - suffix) < 0;
    const index = ascends ? this.count : this.lowerBound(main, sub, tombstone);
    if (!ascends && this.#mains[index] === main && this.#subs[index] === suffix) this.#forget(index);
    else this.#insert(index);
    this.#mains[index] = main;
    this.#subs[index] = suffix;
    this.#store(index, value);
    return ascends;
  }

  /** Removes a record if it is there. */
  remove(main: number, sub: number, tombstone: boolean): void {
    const index = this.find(main, sub, tombstone);
    if (index === -1 || this.isRemoved(index)) return;
    this.#forget(index);
    this.#removed++;
    this.#lengths[index] = REMOVED;
  }

  /** Gives the room of removed records back once they are half of all. Indexes change. */
  compact(): void {
    if (this.#removed < RECORDS_MIN || this.#removed * 2 < this.count) return;
    const old = this.#slabs;
    const count = this.count;
    this.#slabs = [];
    this.#slabUsed = 0;
    this.#valueBytes = 0;
    let kept = 0;
    for (let index = 0; index < count; index++) {
      const length = this.#lengths[index];
      if (length === REMOVED) continue;
      const offset = this.#offsets[index];
      const value = old[this.#slabNumbers[index]].subarray(offset, offset + length);
      this.#mains[kept] = this.#mains[index];
      this.#subs[kept] = this.#subs[index];
      this.#store(kept++, value);
    }
    this.count = kept;
    this.#removed = 0;
    this.#resize(Math.max(RECORDS_MIN, kept + (kept >>> 1)));
  }

  /** Copies the value into the newest slab; values never span two. */
  #store(index: number, value: Uint8Array): void {
    let slab = this.#slabs.at(-1);
    if (slab === undefined || this.#slabUsed + value.length > slab.length) {
      slab = new Uint8Array(Math.max(SLAB_BYTES, value.length));
      this.#slabs.push(slab);
      this.#slabUsed = 0;
    }
    slab.set(value, this.#slabUsed);
    this.#slabNumbers[index] = this.#slabs.length - 1;
    this.#offsets[index] = this.#slabUsed;
    this.#lengths[index] = value.length;
    this.#slabUsed += value.length;
    this.#valueBytes += value.length;
  }

  /** The value of a record is about to be replaced or dropped. */
  #forget(index: number): void {
    if (this.isRemoved(index)) this.#removed--;
    else this.#valueBytes -= this.#lengths[index];
  }

  /** Opens a gap at `index`; at the end that is all it takes. */
  #insert(index: number): void {
    if (this.count === this.#mains.length) this.#resize(this.count * 2);
    if (index < this.count) {
      const columns = [this.#mains, this.#subs, this.#slabNumbers, this.#offsets, this.#lengths];
      for (const column of columns) column.copyWithin(index + 1, index, this.count);
    }
    this.count++;
  }

  #resize(records: number): void {
    const grow = <T extends Float64Array | Uint32Array>(from: T, to: T): T => {
      to.set(from.length > to.length ? from.subarray(0, to.length) : from);
      return to;
    };
    this.#mains = grow(this.#mains, new Float64Array(records));
    this.#subs = grow(this.#subs, new Float64Array(records));
    this.#slabNumbers = grow(this.#slabNumbers, new Uint32Array(records));
    this.#offsets = grow(this.#offsets, new Uint32Array(records));
    this.#lengths = grow(this.#lengths, new Uint32Array(records));
  }
}
