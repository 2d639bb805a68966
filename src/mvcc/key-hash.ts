/**
 * Key bytes -> key id: open addressing with linear probing, in 256 segments that grow one by one, so that no single insert
 * rehashes a large table. The top byte of the hash picks the segment, its low bits the place.
 */
import type { KeyTable } from "./key-table.ts";
import type { Probe } from "./probe.ts";

const SEGMENTS = 256;
const SEGMENT_SLOTS_MIN = 8;
/** A segment doubles when more than 3/4 full. */
const fullAt = (slots: number): number => (slots >>> 2) * 3;

export class KeyHash {
  readonly #table: KeyTable;
  #segments: Uint32Array[] = [];
  readonly #counts = new Uint32Array(SEGMENTS);

  constructor(table: KeyTable) {
    this.#table = table;
    for (let segment = 0; segment < SEGMENTS; segment++) this.#segments.push(new Uint32Array(SEGMENT_SLOTS_MIN));
  }

  /** Keys in it. */
  get count(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  get allocatedBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.byteLength, 0);
  }

  /** Id of the key in `probe`, or 0. */
  find(probe: Probe): number {
    const hash = probe.hash;
    const segment = this.#segments[hash >>> 24];
    const mask = segment.length - 1;
    const table = this.#table;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const id = segment[at];
      if (id === 0 || table.equals(id, probe)) return id;
    }
  }

  /** Adds a key that is not there. */
  add(id: number, hash: number): void {
    const index = hash >>> 24;
    if (this.#counts[index] >= fullAt(this.#segments[index].length)) this.#grow(index);
    this.#place(this.#segments[index], id, hash);
    this.#counts[index]++;
  }

  /** Removes a key that is there, closing the gap so that no markers are left behind. */
  remove(id: number): void {
    const hash = this.#table.hashOf(id);
    const segment = this.#segments[hash >>> 24];
    const mask = segment.length - 1;
    let gap = hash & mask;
    while (segment[gap] !== id) gap = (gap + 1) & mask;
    for (let at = (gap + 1) & mask; segment[at] !== 0; at = (at + 1) & mask) {
      const home = this.#table.hashOf(segment[at]) & mask;
      // The entry may fill the gap unless its home lies behind the gap, cyclically.
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      segment[gap] = segment[at];
      gap = at;
    }
    segment[gap] = 0;
    this.#counts[hash >>> 24]--;
  }

  #place(segment: Uint32Array, id: number, hash: number): void {
    const mask = segment.length - 1;
    let at = hash & mask;
    while (segment[at] !== 0) at = (at + 1) & mask;
    segment[at] = id;
  }

  #grow(index: number): void {
    const old = this.#segments[index];
    const segment = new Uint32Array(old.length * 2);
    for (const id of old) if (id !== 0) this.#place(segment, id, this.#table.hashOf(id));
    this.#segments[index] = segment;
  }

  /** The segments' memory; borrowed until the next write. */
  views(): Uint8Array[] {
    return this.#segments.map((segment) => new Uint8Array(segment.buffer));
  }

  /** Takes over what {@link views} gave; false if it does not fit. */
  load(views: readonly Uint8Array[]): boolean {
    if (views.length !== SEGMENTS) return false;
    const segments: Uint32Array[] = [];
    for (const [index, view] of views.entries()) {
      const slots = view.length / 4;
      if (slots < SEGMENT_SLOTS_MIN || (slots & (slots - 1)) !== 0) return false;
      const segment = new Uint32Array(slots);
      new Uint8Array(segment.buffer).set(view);
      this.#counts[index] = segment.reduce((count, id) => count + (id === 0 ? 0 : 1), 0);
      if (this.#counts[index] > fullAt(slots)) return false;
      segments.push(segment);
    }
    this.#segments = segments;
    return true;
  }
}
