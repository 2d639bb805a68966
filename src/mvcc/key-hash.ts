/**
 * Key bytes -> key id: open addressing with linear probing, in 256 segments that grow one by one, so that no single insert
 * rehashes a large table. The top byte of the hash picks the segment, its low bits the place; five bits between them are
 * kept beside the id, so that a collision rarely costs a look at the other key's record (a cache miss).
 */
import { assert } from "../base/assert.ts";
import type { KeyTable } from "./key-table.ts";
import type { Probe } from "./probe.ts";

const SEGMENTS = 256;
const SEGMENT_SLOTS_MIN = 8;
/** Bits of an entry that hold the id: 134 million keys, whose index alone takes 16 GB. */
const ID_BITS = 27;
export const KEY_IDS_MAX = 2 ** ID_BITS;
const ID_MASK = KEY_IDS_MAX - 1;
/** An entry: the id, and above it the tag. */
const entryOf = (id: number, hash: number): number => (id | ((hash >>> 19) << ID_BITS)) >>> 0;
/** A segment doubles when more than 3/4 full. */
const fullAt = (slots: number): number => (slots >>> 2) * 3;

export class KeyHash {
  readonly #table: KeyTable;
  #segments: Uint32Array[] = [];
  readonly #counts = new Uint32Array(SEGMENTS);

  constructor(table: KeyTable) {
    this.#table = table;
    for (let segment = 0; segment < SEGMENTS; segment++)
      this.#segments.push(new Uint32Array(SEGMENT_SLOTS_MIN));
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
    const tag = entryOf(0, hash);
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const entry = segment[at];
      if (entry === 0) return 0;
      if ((entry & ~ID_MASK) >>> 0 === tag && table.equals(entry & ID_MASK, probe)) return entry & ID_MASK;
    }
  }

  /** Adds a key that is not there. */
  add(id: number, hash: number): void {
    assert(id < KEY_IDS_MAX, "more keys than the index can hold", id);
    const index = hash >>> 24;
    if (this.#counts[index] >= fullAt(this.#segments[index].length)) this.#grow(index);
    this.#place(this.#segments[index], entryOf(id, hash), hash);
    this.#counts[index]++;
  }

  /** Removes a key that is there, closing the gap so that no markers are left behind. */
  remove(id: number): void {
    const hash = this.#table.hashOf(id);
    const segment = this.#segments[hash >>> 24];
    const mask = segment.length - 1;
    let gap = hash & mask;
    while ((segment[gap] & ID_MASK) !== id) gap = (gap + 1) & mask;
    for (let at = (gap + 1) & mask; segment[at] !== 0; at = (at + 1) & mask) {
      const home = this.#table.hashOf(segment[at] & ID_MASK) & mask;
      // The entry may fill the gap unless its home lies behind the gap, cyclically.
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      segment[gap] = segment[at];
      gap = at;
    }
    segment[gap] = 0;
    this.#counts[hash >>> 24]--;
  }

  #place(segment: Uint32Array, entry: number, hash: number): void {
    const mask = segment.length - 1;
    let at = hash & mask;
    while (segment[at] !== 0) at = (at + 1) & mask;
    segment[at] = entry;
  }

  #grow(index: number): void {
    const old = this.#segments[index];
    const segment = new Uint32Array(old.length * 2);
    for (const entry of old)
      if (entry !== 0) this.#place(segment, entry, this.#table.hashOf(entry & ID_MASK));
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
      this.#counts[index] = segment.reduce((count, entry) => count + (entry === 0 ? 0 : 1), 0);
      if (this.#counts[index] > fullAt(slots)) return false;
      segments.push(segment);
    }
    this.#segments = segments;
    return true;
  }
}
