/**
 * The order of the keys: a B+tree of key ids in typed arrays, with the number of LIVE keys under every child, so that rank and
 * count cost O(log n). Tombstoned keys stay in the tree, with their live bit off, until compaction removes them.
 *
 *     inner  [count, parent, level, -, skip, -, head x 64, child x 64, least key id of each child x 64, live keys of each x 64]
 *     leaf   [count, parent, next, previous, skip, -, head x 64, (key id << 1 | live) x 64]
 *
 * Least ids are exact, so a separator never outlives its key. Skip and heads are node-search.ts's; removal lives in
 * key-tree-remove.ts.
 */
import type { KeyTable } from "./key-table.ts";
import { COUNT, HEADS, noteKey, reheadIfMoreShared, searchNode, SKIP } from "./node-search.ts";
import type { Probe } from "./probe.ts";
import { SlotPool } from "./slot-pool.ts";

export { COUNT };

export const FANOUT = 64;
export const PARENT = 1;
/** Inner: height above the leaves, 1 = its children are leaves. */
export const LEVEL = 2;
/** Leaf: neighbours in key order, 0 = none. */
export const NEXT = 2;
export const PREVIOUS = 3;
export const ENTRIES = HEADS + FANOUT;
export const CHILDREN = HEADS + FANOUT;
export const LEAST = CHILDREN + FANOUT;
export const LIVES = LEAST + FANOUT;
/** Parallel arrays of 64 in an inner node. */
export const INNER_ARRAYS = [HEADS, CHILDREN, LEAST, LIVES];
export const LEAF_WORDS = ENTRIES + FANOUT;
export const INNER_WORDS = LIVES + FANOUT;
/** Chunks of 2^9 leaves (274 kB) and 2^6 inner nodes (67 kB). */
const LEAF_SHIFT = 9;
const INNER_SHIFT = 6;

export class KeyTree {
  readonly table: KeyTable;
  readonly leaves = new SlotPool(LEAF_WORDS, LEAF_SHIFT);
  readonly inners = new SlotPool(INNER_WORDS, INNER_SHIFT);
  /** Root node: a leaf if {@link height} is 0, else an inner node of that level. */
  root: number;
  height = 0;
  lastLeaf: number;
  /** Live keys of the whole tree. */
  live = 0;
  /** Grows when entries move: a position taken at another stamp must be sought again. */
  stamp = 0;
  /** Result of {@link seek}. */
  leaf = 0;
  position = 0;
  /** Where the last insert went, to tell ascending runs from random inserts when a leaf splits. */
  #lastInsertLeaf = 0;
  #lastInsertPosition = 0;

  /** Inner nodes and child positions of the last descent, by level. */
  readonly #pathNodes = new Uint32Array(16);
  readonly #pathIndexes = new Uint32Array(16);

  constructor(table: KeyTable) {
    this.table = table;
    this.root = this.lastLeaf = this.#newLeaf();
  }

  /** Finds the first key >= `probe`: leaves {@link leaf} and {@link position}; past the end: the last leaf's count. */
  seek(probe: Probe): void {
    let leaf = this.#descend(probe);
    let position = this.#lowerBound(leaf, probe);
    const words = this.leafWords(leaf);
    const at = this.leafAt(leaf);
    if (position === words[at + COUNT] && words[at + NEXT] !== 0) {
      leaf = words[at + NEXT];
      position = 0;
    }
    this.leaf = leaf;
    this.position = position;
  }

  /** Number of live keys < `probe`. */
  rank(probe: Probe): number {
    let rank = 0;
    let node = this.root;
    for (let level = this.height; level > 0; level--) {
      const words = this.innerWords(node);
      const at = this.innerAt(node);
      const index = this.#childIndex(words, at, probe);
      for (let before = at + LIVES, end = before + index; before < end; before++) rank += words[before];
      node = words[at + CHILDREN + index];
    }
    const words = this.leafWords(node);
    const first = this.leafAt(node) + ENTRIES;
    for (let at = first, end = first + this.#lowerBound(node, probe); at < end; at++) rank += words[at] & 1;
    return rank;
  }

  /** Adds key `id`, which `probe` holds and the tree does not; `live` is 1 or 0. */
  insert(id: number, live: number, probe: Probe): void {
    const last = this.leafWords(this.lastLeaf);
    const at = this.leafAt(this.lastLeaf);
    const count = last[at + COUNT];
    // Ascending keys skip the descent: one comparison with the greatest key.
    if (count > 0 && this.table.compare(last[at + ENTRIES + count - 1] >>> 1, probe) < 0) {
      this.append(id, live);
      return;
    }
    const leaf = this.#descend(probe);
    this.#insertAt(leaf, this.#lowerBound(leaf, probe), id, live, true);
  }

  /** Adds key `id`, which is greater than all others. */
  append(id: number, live: number): void {
    const leaf = this.lastLeaf;
    this.#insertAt(leaf, this.leafWords(leaf)[this.leafAt(leaf) + COUNT], id, live, false);
  }

  /** @param onPath the last descent led to `leaf` */
  #insertAt(leaf: number, position: number, id: number, live: number, onPath: boolean): void {
    this.stamp++;
    let words = this.leafWords(leaf);
    let at = this.leafAt(leaf);
    if (words[at + COUNT] === FANOUT) {
      const split = this.#splitPoint(leaf, position);
      const right = this.#splitLeaf(leaf, split, id);
      if (position > split || split === FANOUT) {
        leaf = right;
        position -= split;
        words = this.leafWords(leaf);
        at = this.leafAt(leaf);
      }
      onPath = false;
    }
    const count = words[at + COUNT];
    const entry = at + ENTRIES + position;
    words.copyWithin(entry + 1, entry, at + ENTRIES + count);
    words.copyWithin(at + HEADS + position + 1, at + HEADS + position, at + HEADS + count);
    words[entry] = ((id << 1) | live) >>> 0;
    words[at + COUNT] = count + 1;
    noteKey(this.table, words, at, ENTRIES, 1, position);
    if (live !== 0) {
      if (onPath) this.#addLiveOnPath(1);
      else this.addLive(leaf, 1);
    }
    if (position === 0) this.setLeast(words[at + PARENT], leaf, id);
    this.#lastInsertLeaf = leaf;
    this.#lastInsertPosition = position;
  }

  /** Sets the live bit of the key in `probe`, which is in the tree with the other bit. */
  setLive(probe: Probe, live: number): void {
    const leaf = this.#descend(probe);
    this.leafWords(leaf)[this.leafAt(leaf) + ENTRIES + this.#lowerBound(leaf, probe)] ^= 1;
    this.#addLiveOnPath(live === 1 ? 1 : -1);
  }

  /** Adds to the live count of a leaf, after its entries' bits were changed. */
  addLive(leaf: number, delta: number): void {
    this.live += delta;
    let node = leaf;
    let parent = this.leafWords(leaf)[this.leafAt(leaf) + PARENT];
    while (parent !== 0) {
      const words = this.innerWords(parent);
      const at = this.innerAt(parent);
      words[at + LIVES + this.indexOf(parent, node)] += delta;
      node = parent;
      parent = words[at + PARENT];
    }
  }

  /** Tells the ancestors, from `parent` up, that `id` is now the least key under its child `child`. */
  setLeast(parent: number, child: number, id: number): void {
    while (parent !== 0) {
      const words = this.innerWords(parent);
      const at = this.innerAt(parent);
      const index = this.indexOf(parent, child);
      words[at + LEAST + index] = id;
      noteKey(this.table, words, at, LEAST, 0, index);
      if (index > 0) return;
      child = parent;
      parent = words[at + PARENT];
    }
  }

  /** Position of a child in its parent. */
  indexOf(parent: number, child: number): number {
    const words = this.innerWords(parent);
    const first = this.innerAt(parent) + CHILDREN;
    // From the end: ascending inserts find theirs at once.
    let at = first + words[first - CHILDREN + COUNT] - 1;
    while (words[at] !== child) at--;
    return at - first;
  }

  leafWords(leaf: number): Uint32Array {
    return this.leaves.words[leaf >>> LEAF_SHIFT];
  }

  leafAt(leaf: number): number {
    return (leaf & ((1 << LEAF_SHIFT) - 1)) * LEAF_WORDS;
  }

  innerWords(inner: number): Uint32Array {
    return this.inners.words[inner >>> INNER_SHIFT];
  }

  innerAt(inner: number): number {
    return (inner & ((1 << INNER_SHIFT) - 1)) * INNER_WORDS;
  }

  /** Sets the parent of a child of a node of `level`. */
  setParent(level: number, child: number, parent: number): void {
    if (level === 1) this.leafWords(child)[this.leafAt(child) + PARENT] = parent;
    else this.innerWords(child)[this.innerAt(child) + PARENT] = parent;
  }

  /** The leaf where `probe` is or belongs. */
  #descend(probe: Probe): number {
    let node = this.root;
    for (let level = this.height; level > 0; level--) {
      const words = this.innerWords(node);
      const at = this.innerAt(node);
      const index = this.#childIndex(words, at, probe);
      this.#pathNodes[level] = node;
      this.#pathIndexes[level] = index;
      node = words[at + CHILDREN + index];
    }
    return node;
  }

  #addLiveOnPath(delta: number): void {
    this.live += delta;
    for (let level = this.height; level > 0; level--) {
      const node = this.#pathNodes[level];
      this.innerWords(node)[this.innerAt(node) + LIVES + this.#pathIndexes[level]] += delta;
    }
  }

  /** The last child whose least key is <= `probe`, or the first. */
  #childIndex(words: Uint32Array, at: number, probe: Probe): number {
    const index = searchNode(this.table, words, at, LEAST, 0, probe, true);
    return index === 0 ? 0 : index - 1;
  }

  #lowerBound(leaf: number, probe: Probe): number {
    return searchNode(this.table, this.leafWords(leaf), this.leafAt(leaf), ENTRIES, 1, probe, false);
  }

  /** Entries that stay in a full leaf. Ascending runs, at the end of the tree or within it, leave full leaves behind. */
  #splitPoint(leaf: number, position: number): number {
    if (position === FANOUT && leaf === this.lastLeaf) return FANOUT;
    const ascending = leaf === this.#lastInsertLeaf && position === this.#lastInsertPosition + 1;
    return ascending ? Math.max(position, FANOUT / 4) : FANOUT / 2;
  }

  /** Moves the entries from `split` on to a new leaf on the right; `id` is its least key if nothing moves. */
  #splitLeaf(leaf: number, split: number, id: number): number {
    const right = this.#newLeaf();
    const words = this.leafWords(leaf);
    const at = this.leafAt(leaf);
    const target = this.leafWords(right);
    const to = this.leafAt(right);
    let moved = 0;
    for (let position = split; position < FANOUT; position++) {
      const entry = words[at + ENTRIES + position];
      target[to + ENTRIES + position - split] = entry;
      target[to + HEADS + position - split] = words[at + HEADS + position];
      moved += entry & 1;
    }
    target[to + COUNT] = FANOUT - split;
    target[to + SKIP] = words[at + SKIP];
    words[at + COUNT] = split;
    reheadIfMoreShared(this.table, words, at, ENTRIES, 1);
    reheadIfMoreShared(this.table, target, to, ENTRIES, 1);
    const next = words[at + NEXT];
    target[to + NEXT] = next;
    target[to + PREVIOUS] = leaf;
    words[at + NEXT] = right;
    if (next === 0) this.lastLeaf = right;
    else this.leafWords(next)[this.leafAt(next) + PREVIOUS] = right;
    const least = split === FANOUT ? id : target[to + ENTRIES] >>> 1;
    if (words[at + PARENT] === 0) this.#growRoot(words[at + ENTRIES] >>> 1);
    this.#addChild(words[at + PARENT], leaf, right, least, moved);
    return right;
  }

  /** Puts a new inner node above the root, whose least key is `least`. */
  #growRoot(least: number): void {
    const root = this.inners.allocate();
    const words = this.innerWords(root);
    const at = this.innerAt(root);
    words[at + COUNT] = 1;
    words[at + PARENT] = 0;
    words[at + LEVEL] = this.height + 1;
    words[at + CHILDREN] = this.root;
    words[at + LEAST] = least;
    words[at + LIVES] = this.live;
    noteKey(this.table, words, at, LEAST, 0, 0);
    this.height++;
    this.setParent(this.height, this.root, root);
    this.root = root;
  }

  /** Adds `right` behind its sibling `left`; `moved` of the live keys under `left` are now under `right`. */
  #addChild(parent: number, left: number, right: number, least: number, moved: number): void {
    const index = this.indexOf(parent, left) + 1;
    const words = this.innerWords(parent);
    const at = this.innerAt(parent);
    words[at + LIVES + index - 1] -= moved;
    if (words[at + COUNT] < FANOUT) {
      this.#placeChild(parent, index, right, least, moved);
      return;
    }
    const split = index === FANOUT ? FANOUT : FANOUT / 2;
    const sibling = this.#splitInner(parent, split);
    if (index <= split && split !== FANOUT) this.#placeChild(parent, index, right, least, moved);
    else this.#placeChild(sibling, index - split, right, least, moved);
    const siblingWords = this.innerWords(sibling);
    const siblingAt = this.innerAt(sibling);
    let siblingLive = 0;
    for (let child = 0; child < siblingWords[siblingAt + COUNT]; child++) {
      siblingLive += siblingWords[siblingAt + LIVES + child];
    }
    if (words[at + PARENT] === 0) this.#growRoot(words[at + LEAST]);
    this.#addChild(words[at + PARENT], parent, sibling, siblingWords[siblingAt + LEAST], siblingLive);
  }

  #placeChild(parent: number, index: number, child: number, least: number, live: number): void {
    const words = this.innerWords(parent);
    const at = this.innerAt(parent);
    const count = words[at + COUNT];
    for (const array of INNER_ARRAYS) {
      words.copyWithin(at + array + index + 1, at + array + index, at + array + count);
    }
    words[at + CHILDREN + index] = child;
    words[at + LEAST + index] = least;
    words[at + LIVES + index] = live;
    words[at + COUNT] = count + 1;
    noteKey(this.table, words, at, LEAST, 0, index);
    this.setParent(words[at + LEVEL], child, parent);
  }

  /** Moves the children from `split` on to a new inner node, which is not in the tree yet. */
  #splitInner(inner: number, split: number): number {
    const right = this.inners.allocate();
    const words = this.innerWords(inner);
    const at = this.innerAt(inner);
    const target = this.innerWords(right);
    const to = this.innerAt(right);
    const level = words[at + LEVEL];
    target[to + COUNT] = FANOUT - split;
    target[to + PARENT] = 0;
    target[to + LEVEL] = level;
    target[to + SKIP] = words[at + SKIP];
    for (let index = split; index < FANOUT; index++) {
      for (const array of INNER_ARRAYS) target[to + array + index - split] = words[at + array + index];
      this.setParent(level, words[at + CHILDREN + index], right);
    }
    words[at + COUNT] = split;
    reheadIfMoreShared(this.table, words, at, LEAST, 0);
    reheadIfMoreShared(this.table, target, to, LEAST, 0);
    return right;
  }

  #newLeaf(): number {
    const leaf = this.leaves.allocate();
    this.leafWords(leaf).fill(0, this.leafAt(leaf), this.leafAt(leaf) + ENTRIES);
    return leaf;
  }
}
