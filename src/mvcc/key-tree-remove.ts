/**
 * Removing keys from the B+tree, which only compaction does: the keys are tombstoned, so no live count changes. A leaf or inner
 * node that falls under a quarter merges with a neighbour under the same parent, so that churn leaves no sparse tree behind.
 */
import { assert } from "../base/assert.ts";
import {
  CHILDREN,
  COUNT,
  ENTRIES,
  FANOUT,
  INNER_ARRAYS,
  LEAST,
  LIVES,
  NEXT,
  PARENT,
  PREVIOUS,
  type KeyTree,
} from "./key-tree.ts";
import { HEADS, rehead } from "./node-search.ts";
import type { Probe } from "./probe.ts";

const SPARSE = FANOUT / 4;
/** A merged node keeps room, or the next inserts would split it at once. */
const MERGED_MAX = (FANOUT / 4) * 3;

/** Removes the tombstoned key in `probe`. */
export function removeKey(tree: KeyTree, id: number, probe: Probe): void {
  tree.seek(probe);
  const leaf = tree.leaf;
  const position = tree.position;
  const words = tree.leafWords(leaf);
  const at = tree.leafAt(leaf);
  assert(
    words[at + ENTRIES + position] === (id << 1) >>> 0,
    "a key to remove is not where it belongs",
    id,
    leaf,
    position,
  );
  tree.stamp++;
  const count = words[at + COUNT] - 1;
  words.copyWithin(at + ENTRIES + position, at + ENTRIES + position + 1, at + ENTRIES + count + 1);
  words.copyWithin(at + HEADS + position, at + HEADS + position + 1, at + HEADS + count + 1);
  words[at + COUNT] = count;
  if (count === 0) {
    if (words[at + PARENT] !== 0) {
      unlinkLeaf(tree, leaf);
      removeChild(tree, 1, words[at + PARENT], leaf);
    }
    return;
  }
  if (position === 0) tree.setLeast(words[at + PARENT], leaf, words[at + ENTRIES] >>> 1);
  if (count < SPARSE && words[at + PARENT] !== 0) mergeLeaf(tree, leaf);
}

function mergeLeaf(tree: KeyTree, leaf: number): void {
  const parent = tree.leafWords(leaf)[tree.leafAt(leaf) + PARENT];
  const words = tree.innerWords(parent);
  const at = tree.innerAt(parent);
  const index = tree.indexOf(parent, leaf);
  const countOf = (child: number): number => tree.leafWords(child)[tree.leafAt(child) + COUNT];
  const left = pickPair(words, at, index, countOf);
  if (left < 0) return;
  const target = words[at + CHILDREN + left];
  const source = words[at + CHILDREN + left + 1];
  const to = tree.leafAt(target);
  const from = tree.leafAt(source);
  const count = countOf(target);
  const added = countOf(source);
  const entries = tree.leafWords(source).subarray(from + ENTRIES, from + ENTRIES + added);
  tree.leafWords(target).set(entries, to + ENTRIES + count);
  tree.leafWords(target)[to + COUNT] = count + added;
  rehead(tree.table, tree.leafWords(target), to, ENTRIES, 1);
  words[at + LIVES + left] += words[at + LIVES + left + 1];
  unlinkLeaf(tree, source);
  removeChild(tree, 1, parent, source);
}

/** Position of the left one of two neighbours, one of them `index`, that fit into one node; -1 if none do. */
function pickPair(words: Uint32Array, at: number, index: number, countOf: (child: number) => number): number {
  const own = countOf(words[at + CHILDREN + index]);
  if (index + 1 < words[at + COUNT] && own + countOf(words[at + CHILDREN + index + 1]) <= MERGED_MAX)
    return index;
  if (index > 0 && own + countOf(words[at + CHILDREN + index - 1]) <= MERGED_MAX) return index - 1;
  return -1;
}

function unlinkLeaf(tree: KeyTree, leaf: number): void {
  const words = tree.leafWords(leaf);
  const at = tree.leafAt(leaf);
  const next = words[at + NEXT];
  const previous = words[at + PREVIOUS];
  if (next === 0) tree.lastLeaf = previous;
  else tree.leafWords(next)[tree.leafAt(next) + PREVIOUS] = previous;
  if (previous !== 0) tree.leafWords(previous)[tree.leafAt(previous) + NEXT] = next;
}

/** Takes `child` out of `parent`, a node of `level`, and frees it; its live keys were counted elsewhere already. */
function removeChild(tree: KeyTree, level: number, parent: number, child: number): void {
  const words = tree.innerWords(parent);
  const at = tree.innerAt(parent);
  const index = tree.indexOf(parent, child);
  const count = words[at + COUNT] - 1;
  for (const array of INNER_ARRAYS) {
    words.copyWithin(at + array + index, at + array + index + 1, at + array + count + 1);
  }
  words[at + COUNT] = count;
  (level === 1 ? tree.leaves : tree.inners).free(child);
  if (count === 0) {
    // Only a root may not go empty: its last child would have become the root instead.
    removeChild(tree, level + 1, words[at + PARENT], parent);
    return;
  }
  if (parent === tree.root) {
    if (count === 1) shrinkRoot(tree, words[at + CHILDREN]);
    return;
  }
  if (index === 0) tree.setLeast(words[at + PARENT], parent, words[at + LEAST]);
  if (count < SPARSE) mergeInner(tree, level + 1, parent);
}

/** The only child of the root becomes the root, and so on down. */
function shrinkRoot(tree: KeyTree, onlyChild: number): void {
  const old = tree.root;
  tree.setParent(tree.height, onlyChild, 0);
  tree.root = onlyChild;
  tree.height--;
  tree.inners.free(old);
  if (tree.height === 0) return;
  const at = tree.innerAt(onlyChild);
  const words = tree.innerWords(onlyChild);
  if (words[at + COUNT] === 1) shrinkRoot(tree, words[at + CHILDREN]);
}

/** Merges a sparse inner node, whose parent is of `level`, with a neighbour. */
function mergeInner(tree: KeyTree, level: number, inner: number): void {
  const parent = tree.innerWords(inner)[tree.innerAt(inner) + PARENT];
  const words = tree.innerWords(parent);
  const at = tree.innerAt(parent);
  const countOf = (child: number): number => tree.innerWords(child)[tree.innerAt(child) + COUNT];
  const left = pickPair(words, at, tree.indexOf(parent, inner), countOf);
  if (left < 0) return;
  const target = words[at + CHILDREN + left];
  const source = words[at + CHILDREN + left + 1];
  const to = tree.innerAt(target);
  const from = tree.innerAt(source);
  const count = countOf(target);
  const added = countOf(source);
  const targetWords = tree.innerWords(target);
  const sourceWords = tree.innerWords(source);
  for (const array of INNER_ARRAYS) {
    targetWords.set(sourceWords.subarray(from + array, from + array + added), to + array + count);
  }
  for (let index = 0; index < added; index++)
    tree.setParent(level - 1, sourceWords[from + CHILDREN + index], target);
  targetWords[to + COUNT] = count + added;
  rehead(tree.table, targetWords, to, LEAST, 0);
  words[at + LIVES + left] += words[at + LIVES + left + 1];
  removeChild(tree, level, parent, source);
}
