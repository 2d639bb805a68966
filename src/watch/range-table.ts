/**
 * What is watched: keys and ranges, each once however many watch it, and the two ways from a changed key to them. A single key
 * is found by its hash; ranges lie in a treap by their start, of which every node knows the farthest end below it, so that the
 * ranges around a key are found in O(log n + found).
 */
import { assert } from "../base/assert.ts";
import { compareBytes } from "../base/compare-bytes.ts";
import { release } from "../base/grow-array.ts";
import { RangeKeys } from "./range-keys.ts";
import { SlotTable } from "./slot-table.ts";

const ADDRESS = 0;
const KEY_LENGTH = 1;
/** {@link SINGLE}, {@link UNBOUNDED}, or the length of the end, which lies behind the key. */
const END_LENGTH = 2;
const HASH = 3;
const HASH_NEXT = 4;
/** The caller's: first of its own records about this range. */
const OWNER = 5;
/** The treap's node of a range; none of a single key. */
const NODE = 6;
const STRIDE = 7;

// A node of the treap.
const RANGE = 0;
const LEFT = 1;
const RIGHT = 2;
const PRIORITY = 3;
/** The range that ends last of those of the subtree. */
const FARTHEST = 4;
const NODE_STRIDE = 5;

const SINGLE = -1;
const UNBOUNDED = 0;
const EMPTY = new Uint8Array(0);

/** Where a range ends: `null` = it is the single key; empty = nowhere, everything from the key on. */
export type RangeEnd = Uint8Array | null;

export class RangeTable {
  readonly #slots = new SlotTable(STRIDE);
  readonly #nodes = new SlotTable(NODE_STRIDE);
  readonly #keys = new RangeKeys();
  #buckets = new Int32Array(64);
  #root = 0;
  readonly #seed: number;
  // The key that is looked for.
  #bytes: Uint8Array = EMPTY;
  #start = 0;
  #end = 0;
  #found: number[] = [];

  /** @param seed secret of the process, against keys made to collide */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Keys and ranges in it. */
  get size(): number {
    return this.#slots.live;
  }

  /** As of {@link SlotTable}. */
  get isSparse(): boolean {
    return this.#slots.isSparse || this.#nodes.isSparse;
  }

  /** Gives the memory back: the table is not used any more. */
  release(): void {
    this.#slots.release();
    this.#nodes.release();
    release(this.#buckets);
    this.#keys.release();
  }

  /** The key at which the range starts, borrowed until the next change. */
  key(range: number): Uint8Array {
    const words = this.#slots.words;
    this.#lookFor(range, 0, words[range * STRIDE + KEY_LENGTH]);
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** Where the range ends, borrowed likewise. */
  rangeEnd(range: number): RangeEnd {
    const words = this.#slots.words;
    const length = words[range * STRIDE + END_LENGTH];
    if (length === SINGLE) return null;
    this.#lookFor(range, words[range * STRIDE + KEY_LENGTH], length);
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** The caller's word of a range. */
  owner(range: number): number {
    return this.#slots.words[range * STRIDE + OWNER];
  }

  setOwner(range: number, owner: number): void {
    this.#slots.words[range * STRIDE + OWNER] = owner;
  }

  /** The range from `key` to `end`, made if it is not there; its number until {@link remove}. The bytes are copied. */
  obtain(key: Uint8Array, end: RangeEnd): number {
    const hash = this.#hashRange(key, end);
    for (let range = this.#bucketOf(hash); range !== 0; range = this.#slots.words[range * STRIDE + HASH_NEXT])
      if (this.#slots.words[range * STRIDE + HASH] === hash && this.#equals(range, key, end)) return range;
    return this.#add(key, end, hash);
  }

  remove(range: number): void {
    const words = this.#slots.words;
    const at = range * STRIDE;
    this.#unlinkHash(range);
    const endLength = words[at + END_LENGTH];
    if (endLength !== SINGLE) {
      this.#root = this.#removeNode(this.#root, words[at + NODE]);
      this.#nodes.free(words[at + NODE]);
    }
    this.#keys.free(words[at + ADDRESS] >>> 0, words[at + KEY_LENGTH] + Math.max(0, endLength));
    this.#slots.free(range);
  }

  /** Appends every range that holds the key `bytes[start, end)` to `found`. */
  match(bytes: Uint8Array, start: number, end: number, found: number[]): void {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    const words = this.#slots.words;
    if (this.#slots.live > this.#nodes.live) {
      const hash = this.#hash(bytes, start, end, this.#seed);
      for (let range = this.#bucketOf(hash); range !== 0; range = words[range * STRIDE + HASH_NEXT]) {
        const at = range * STRIDE;
        if (words[at + HASH] !== hash || words[at + END_LENGTH] !== SINGLE) continue;
        if (this.#compareStart(range) === 0) found.push(range);
      }
    }
    if (this.#root === 0) return;
    this.#found = found;
    this.#stab(this.#root);
  }

  #stab(node: number): void {
    const words = this.#nodes.words;
    while (node !== 0) {
      const at = node * NODE_STRIDE;
      const range = words[at + RANGE];
      if (!this.#endsBehind(words[at + FARTHEST])) return;
      const left = words[at + LEFT];
      if (left !== 0) this.#stab(left);
      // Everything to the right starts behind this one.
      if (this.#compareStart(range) < 0) return;
      if (this.#endsBehind(range)) this.#found.push(range);
      node = words[at + RIGHT];
    }
  }

  /** The key that is looked for against the start of `range`: below 0 if it sorts before. */
  #compareStart(range: number): number {
    const at = range * STRIDE;
    const words = this.#slots.words;
    this.#keys.locate(words[at + ADDRESS] >>> 0);
    const from = this.#keys.at;
    return compareBytes(
      this.#bytes,
      this.#start,
      this.#end,
      this.#keys.bytes,
      from,
      from + words[at + KEY_LENGTH],
    );
  }

  /** Whether `range` ends behind the key that is looked for. */
  #endsBehind(range: number): boolean {
    const at = range * STRIDE;
    const words = this.#slots.words;
    const endLength = words[at + END_LENGTH];
    if (endLength === UNBOUNDED) return true;
    this.#keys.locate(words[at + ADDRESS] >>> 0);
    const from = this.#keys.at + words[at + KEY_LENGTH];
    return compareBytes(this.#bytes, this.#start, this.#end, this.#keys.bytes, from, from + endLength) < 0;
  }

  #add(key: Uint8Array, end: RangeEnd, hash: number): number {
    if (this.#slots.live >= this.#buckets.length) this.#growBuckets();
    const range = this.#slots.allocate();
    const address = this.#keys.store(key, end ?? EMPTY);
    const words = this.#slots.words;
    const at = range * STRIDE;
    words[at + ADDRESS] = address;
    words[at + KEY_LENGTH] = key.length;
    words[at + END_LENGTH] = end === null ? SINGLE : end.length;
    words[at + HASH] = hash;
    this.#linkHash(range);
    if (end === null) return range;
    const node = this.#nodes.allocate();
    words[at + NODE] = node;
    const nodes = this.#nodes.words;
    nodes[node * NODE_STRIDE + RANGE] = range;
    nodes[node * NODE_STRIDE + PRIORITY] = mix(node ^ this.#seed);
    nodes[node * NODE_STRIDE + FARTHEST] = range;
    this.#root = this.#insertNode(this.#root, node);
    return range;
  }

  #equals(range: number, key: Uint8Array, end: RangeEnd): boolean {
    const words = this.#slots.words;
    const at = range * STRIDE;
    const keyLength = words[at + KEY_LENGTH];
    if (keyLength !== key.length || words[at + END_LENGTH] !== (end === null ? SINGLE : end.length))
      return false;
    this.#keys.locate(words[at + ADDRESS] >>> 0);
    const { bytes, at: from } = this.#keys;
    if (compareBytes(key, 0, key.length, bytes, from, from + keyLength) !== 0) return false;
    if (end === null) return true;
    const endFrom = from + keyLength;
    return compareBytes(end, 0, end.length, bytes, endFrom, endFrom + end.length) === 0;
  }

  // The hash

  #hashRange(key: Uint8Array, end: RangeEnd): number {
    const hash = this.#hash(key, 0, key.length, this.#seed);
    return end === null ? hash : this.#hash(end, 0, end.length, hash ^ 0x5bd1_e995);
  }

  #hash(bytes: Uint8Array, start: number, end: number, seed: number): number {
    let hash = seed ^ (end - start);
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i], 0x0100_0193);
    return mix(hash);
  }

  #bucketOf(hash: number): number {
    return this.#buckets[hash & (this.#buckets.length - 1)];
  }

  #linkHash(range: number): void {
    const words = this.#slots.words;
    const bucket = words[range * STRIDE + HASH] & (this.#buckets.length - 1);
    words[range * STRIDE + HASH_NEXT] = this.#buckets[bucket];
    this.#buckets[bucket] = range;
  }

  #unlinkHash(range: number): void {
    const words = this.#slots.words;
    const bucket = words[range * STRIDE + HASH] & (this.#buckets.length - 1);
    const next = words[range * STRIDE + HASH_NEXT];
    let before = this.#buckets[bucket];
    if (before === range) {
      this.#buckets[bucket] = next;
      return;
    }
    while (words[before * STRIDE + HASH_NEXT] !== range) {
      before = words[before * STRIDE + HASH_NEXT];
      assert(before !== 0, "a watched range is not in its bucket", range);
    }
    words[before * STRIDE + HASH_NEXT] = next;
  }

  #growBuckets(): void {
    const old = this.#buckets;
    this.#buckets = new Int32Array(old.length * 2);
    const words = this.#slots.words;
    for (const head of old) {
      for (let range = head; range !== 0;) {
        const next = words[range * STRIDE + HASH_NEXT];
        this.#linkHash(range);
        range = next;
      }
    }
    release(old);
  }

  // The treap

  #insertNode(node: number, added: number): number {
    if (node === 0) return added;
    const words = this.#nodes.words;
    const side = this.#before(added, node) ? LEFT : RIGHT;
    const child = this.#insertNode(words[node * NODE_STRIDE + side], added);
    words[node * NODE_STRIDE + side] = child;
    if (words[child * NODE_STRIDE + PRIORITY] > words[node * NODE_STRIDE + PRIORITY])
      return this.#rotateUp(node, child, side);
    this.#update(node);
    return node;
  }

  /** `child` of `node` on `side` takes its place. */
  #rotateUp(node: number, child: number, side: number): number {
    const words = this.#nodes.words;
    const other = side === LEFT ? RIGHT : LEFT;
    words[node * NODE_STRIDE + side] = words[child * NODE_STRIDE + other];
    words[child * NODE_STRIDE + other] = node;
    this.#update(node);
    this.#update(child);
    return child;
  }

  #removeNode(node: number, removed: number): number {
    const words = this.#nodes.words;
    assert(node !== 0, "a watched range is not in the tree", removed);
    const at = node * NODE_STRIDE;
    if (node === removed) return this.#merge(words[at + LEFT], words[at + RIGHT]);
    const side = this.#before(removed, node) ? LEFT : RIGHT;
    words[at + side] = this.#removeNode(words[at + side], removed);
    this.#update(node);
    return node;
  }

  #merge(left: number, right: number): number {
    if (left === 0) return right;
    if (right === 0) return left;
    const words = this.#nodes.words;
    if (words[left * NODE_STRIDE + PRIORITY] > words[right * NODE_STRIDE + PRIORITY]) {
      words[left * NODE_STRIDE + RIGHT] = this.#merge(words[left * NODE_STRIDE + RIGHT], right);
      this.#update(left);
      return left;
    }
    words[right * NODE_STRIDE + LEFT] = this.#merge(left, words[right * NODE_STRIDE + LEFT]);
    this.#update(right);
    return right;
  }

  #update(node: number): void {
    const words = this.#nodes.words;
    const at = node * NODE_STRIDE;
    let farthest = words[node * NODE_STRIDE + RANGE];
    const left = words[at + LEFT];
    if (left !== 0) farthest = this.#later(farthest, words[left * NODE_STRIDE + FARTHEST]);
    const right = words[at + RIGHT];
    if (right !== 0) farthest = this.#later(farthest, words[right * NODE_STRIDE + FARTHEST]);
    words[at + FARTHEST] = farthest;
  }

  /** Whichever of the two ends later. */
  #later(a: number, b: number): number {
    const words = this.#slots.words;
    if (words[a * STRIDE + END_LENGTH] === UNBOUNDED) return a;
    if (words[b * STRIDE + END_LENGTH] === UNBOUNDED) return b;
    this.#lookFor(a, words[a * STRIDE + KEY_LENGTH], words[a * STRIDE + END_LENGTH]);
    return this.#endsBehind(b) ? b : a;
  }

  /** Order of the nodes: by their ranges' starts, then by number. */
  #before(a: number, b: number): boolean {
    const range = this.#nodes.words[a * NODE_STRIDE + RANGE];
    this.#lookFor(range, 0, this.#slots.words[range * STRIDE + KEY_LENGTH]);
    const order = this.#compareStart(this.#nodes.words[b * NODE_STRIDE + RANGE]);
    return order === 0 ? a < b : order < 0;
  }

  /** Looks for the `length` bytes of `range` that lie `offset` behind its address. */
  #lookFor(range: number, offset: number, length: number): void {
    this.#keys.locate(this.#slots.words[range * STRIDE + ADDRESS] >>> 0);
    this.#bytes = this.#keys.bytes;
    this.#start = this.#keys.at + offset;
    this.#end = this.#start + length;
  }
}

function mix(hash: number): number {
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85eb_ca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2_ae35);
  return hash ^ (hash >>> 16);
}
