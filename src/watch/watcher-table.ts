/**
 * The watchers: 48 bytes each in typed arrays, nothing of them on the heap. Every watcher is in two lists at most, linked
 * through its own record: one of its interest (who wants the same events) and one of its stream. Of both there are two: those
 * behind, and the others.
 */
import { assert } from "../base/assert.ts";
import { moveInto, release } from "../base/grow-array.ts";
import { SlotTable } from "./slot-table.ts";
import { WatcherFlag } from "./watcher-flag.ts";

export const INTEREST = 0;
export const STREAM = 1;
export const ID_LOW = 2;
export const ID_HIGH = 3;
export const FLAGS = 4;
/**
 * Neighbours among the watchers of the interest, and of the stream, that are in the same state. The word after each is the neighbour
 * before.
 */
export const LIST_NEXT = 5;
export const STREAM_NEXT = 7;
const HASH_NEXT = 9;
export const WATCHER_WORDS = 10;

/** The flags that decide which events a watcher gets, and in which form. */
export const INTEREST_FLAGS = WatcherFlag.noPut | WatcherFlag.noDelete | WatcherFlag.prevKv;

export class WatcherTable {
  readonly slots = new SlotTable(WATCHER_WORDS);
  /** By watcher: the next revision it wants. Of one that is in sync it only says from which on. */
  next = new Float64Array(64);
  #buckets = new Int32Array(64);

  /** Watchers. */
  get size(): number {
    return this.slots.live;
  }

  /** A watcher without lists. The id must be free on its stream. */
  add(stream: number, idLow: number, idHigh: number): number {
    if (this.slots.live >= this.#buckets.length) this.#growBuckets();
    const watcher = this.slots.allocate();
    if (this.next.length < this.slots.capacity)
      this.next = moveInto(new Float64Array(this.slots.capacity), this.next);
    const words = this.slots.words;
    const at = watcher * WATCHER_WORDS;
    words[at + STREAM] = stream;
    words[at + ID_LOW] = idLow;
    words[at + ID_HIGH] = idHigh;
    this.#link(watcher);
    return watcher;
  }

  /** Frees a watcher that is in no list any more. */
  remove(watcher: number): void {
    const words = this.slots.words;
    const bucket = this.#bucket(watcher);
    const following = words[watcher * WATCHER_WORDS + HASH_NEXT];
    if (this.#buckets[bucket] === watcher) this.#buckets[bucket] = following;
    else {
      let before = this.#buckets[bucket];
      while (words[before * WATCHER_WORDS + HASH_NEXT] !== watcher) {
        before = words[before * WATCHER_WORDS + HASH_NEXT];
        assert(before !== 0, "a watcher is not in its bucket", watcher);
      }
      words[before * WATCHER_WORDS + HASH_NEXT] = following;
    }
    this.slots.free(watcher);
  }

  /** Gives the memory back: the table is not used any more. */
  release(): void {
    this.slots.release();
    release(this.next);
    release(this.#buckets);
  }

  /** The watcher of this id on this stream, or 0. */
  find(stream: number, idLow: number, idHigh: number): number {
    const words = this.slots.words;
    let watcher = this.#buckets[hashOf(stream, idLow, idHigh) & (this.#buckets.length - 1)];
    for (; watcher !== 0; watcher = words[watcher * WATCHER_WORDS + HASH_NEXT]) {
      const at = watcher * WATCHER_WORDS;
      if (words[at + STREAM] === stream && words[at + ID_LOW] === idLow && words[at + ID_HIGH] === idHigh)
        return watcher;
    }
    return 0;
  }

  flags(watcher: number): number {
    return this.slots.words[watcher * WATCHER_WORDS + FLAGS];
  }

  setFlags(watcher: number, set: number, clear: number): void {
    const at = watcher * WATCHER_WORDS + FLAGS;
    this.slots.words[at] = (this.slots.words[at] | set) & ~clear;
  }

  /** Puts `watcher` in front of the list that begins at `head`, linked through `next` and the word behind it. Returns the new head. */
  prepend(watcher: number, head: number, next: number): number {
    const words = this.slots.words;
    words[watcher * WATCHER_WORDS + next] = head;
    words[watcher * WATCHER_WORDS + next + 1] = 0;
    if (head !== 0) words[head * WATCHER_WORDS + next + 1] = watcher;
    return watcher;
  }

  /** Takes it out; returns the new head. */
  unlink(watcher: number, head: number, next: number): number {
    const words = this.slots.words;
    const at = watcher * WATCHER_WORDS + next;
    const following = words[at];
    const before = words[at + 1];
    if (following !== 0) words[following * WATCHER_WORDS + next + 1] = before;
    if (before !== 0) words[before * WATCHER_WORDS + next] = following;
    words[at] = words[at + 1] = 0;
    return before === 0 ? following : head;
  }

  #bucket(watcher: number): number {
    const words = this.slots.words;
    const at = watcher * WATCHER_WORDS;
    return hashOf(words[at + STREAM], words[at + ID_LOW], words[at + ID_HIGH]) & (this.#buckets.length - 1);
  }

  #link(watcher: number): void {
    const bucket = this.#bucket(watcher);
    this.slots.words[watcher * WATCHER_WORDS + HASH_NEXT] = this.#buckets[bucket];
    this.#buckets[bucket] = watcher;
  }

  #growBuckets(): void {
    const old = this.#buckets;
    this.#buckets = new Int32Array(old.length * 2);
    for (const head of old) {
      for (let watcher = head; watcher !== 0;) {
        const next = this.slots.words[watcher * WATCHER_WORDS + HASH_NEXT];
        this.#link(watcher);
        watcher = next;
      }
    }
    release(old);
  }
}

function hashOf(stream: number, idLow: number, idHigh: number): number {
  let hash = Math.imul(stream, 0x9e37_79b1) ^ Math.imul(idLow, 0x85eb_ca6b) ^ Math.imul(idHigh, 0xc2b2_ae35);
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x2c1b_3c6d) >>> 8;
}
