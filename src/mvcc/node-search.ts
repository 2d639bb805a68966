/**
 * Searching a node without touching its keys: comparing with a key costs two cache misses, so a binary search over the keys
 * themselves costs twelve a node. Every node therefore keeps SKIP, a number of leading words that all its keys share, and in HEADS
 * the word of each key behind those, as a big-endian number (0 behind the key's end). The search runs over the heads, blindly;
 * one comparison with a key then tells whether the probe shares the skipped words too, and only keys with the same head need more.
 *
 * Invariant: head(i) = word SKIP of key i, so that heads ascend as the keys do.
 */
import type { KeyTable } from "./key-table.ts";
import { bigEndian, type Probe } from "./probe.ts";

/** Words at the same place in leaves and inner nodes. */
export const COUNT = 0;
export const SKIP = 4;
export const HEADS = 6;

/**
 * How many keys of the node at `words[at]` are < `probe`, or <= if `orEqual`.
 * @param keys offset of the node's ids, which are shifted left by `shift`
 */
export function searchNode(
  table: KeyTable,
  words: Uint32Array,
  at: number,
  keys: number,
  shift: number,
  probe: Probe,
  orEqual: boolean,
): number {
  const count = words[at + COUNT];
  if (count === 0) return 0;
  const skip = words[at + SKIP];
  const head = skip * 4 < probe.length ? bigEndian(probe.words[skip]) : 0;
  const heads = at + HEADS;
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (words[heads + middle] < head) low = middle + 1;
    else high = middle;
  }
  while (high < count && words[heads + high] === head) high++;
  // [low, high) are the keys with the same head.
  let middle = low < high ? (low + high) >>> 1 : Math.min(low, count - 1);
  let order = table.compare(words[at + keys + middle] >>> shift, probe);
  if (table.differsAt < skip) return order > 0 ? 0 : count;
  while (low < high) {
    if (order < 0 || (orEqual && order === 0)) low = middle + 1;
    else high = middle;
    if (low === high) break;
    middle = (low + high) >>> 1;
    order = table.compare(words[at + keys + middle] >>> shift, probe);
  }
  return low;
}

/** Sets the head of the key that was put at `index` of a node; its neighbours are in place. */
export function noteKey(
  table: KeyTable,
  words: Uint32Array,
  at: number,
  keys: number,
  shift: number,
  index: number,
): void {
  const count = words[at + COUNT];
  const id = words[at + keys + index] >>> shift;
  // A key between two others shares what they share.
  if (index === 0 || index === count - 1) {
    const neighbour = words[at + keys + (index === 0 ? 1 : index - 1)] >>> shift;
    if (count === 1 || table.commonWords(id, neighbour) < words[at + SKIP]) {
      rehead(table, words, at, keys, shift);
      return;
    }
  }
  words[at + HEADS + index] = table.bigEndianWord(id, words[at + SKIP]);
}

/** Computes SKIP and all heads of a node. */
export function rehead(table: KeyTable, words: Uint32Array, at: number, keys: number, shift: number): void {
  const count = words[at + COUNT];
  const skip = sharedWords(table, words, at, keys, shift);
  words[at + SKIP] = skip;
  for (let index = 0; index < count; index++) {
    words[at + HEADS + index] = table.bigEndianWord(words[at + keys + index] >>> shift, skip);
  }
}

/** Computes them anew if the node's keys share more words than they did, as after a split. */
export function reheadIfMoreShared(
  table: KeyTable,
  words: Uint32Array,
  at: number,
  keys: number,
  shift: number,
): void {
  if (words[at + COUNT] > 0 && sharedWords(table, words, at, keys, shift) > words[at + SKIP])
    rehead(table, words, at, keys, shift);
}

/** What the first and the last key share, all between them share. */
function sharedWords(table: KeyTable, words: Uint32Array, at: number, keys: number, shift: number): number {
  const first = words[at + keys] >>> shift;
  return table.commonWords(first, words[at + keys + words[at + COUNT] - 1] >>> shift);
}
