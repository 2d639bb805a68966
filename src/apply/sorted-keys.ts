/**
 * The keys of an answer that is not in key order. Only metadata is held, in typed arrays: per key its number in the index,
 * what it is sorted by, and its size, 28 bytes in all. Values are never held; sorting by value keeps the first 6 bytes of
 * each and fetches values where these are equal.
 */
import { compareBytes } from "../base/compare-bytes.ts";
import type { KeyMeta, MvccStore } from "../mvcc/store.ts";
import { SortTarget } from "../proto/kv-decode.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import { GO_SORT_KEYS_MAX } from "./apply-limits.ts";
import { goSort } from "./go-sort.ts";
import { fetchValue, foundValueStart } from "./key-value-bytes.ts";
import { fetchedKey, fetchKey, keyValueBytes } from "./key-value-writer.ts";
import { MergeSort } from "./merge-sort.ts";
import { newKeyMeta, type RangeQuery } from "./range-query.ts";

/** Bytes of metadata a key. */
export const SORTED_KEY_BYTES = 4 + 8 + 4 + 4 + 4 + 4;

/** Leading bytes of a value that fit a number exactly. */
const VALUE_PREFIX_BYTES = 6;
/** A fetch of two values from the store counts as so many moves of a sort. */
const FETCH_MOVES = 40;

/** Gathers keys, sorts them, gives them back in order. Usage: add..., sortStep until true, then metaAt in order. */
export class SortedKeys {
  /** Keys added. */
  count = 0;
  readonly #store: MvccStore;
  readonly #query: RangeQuery;
  readonly #keyIds: Uint32Array;
  readonly #sortBy: Float64Array;
  readonly #sizes: Uint32Array;
  readonly #scratch = new ByteBuffer();
  readonly #other = new ByteBuffer();
  readonly #meta = newKeyMeta();
  #order: Uint32Array | null = null;
  #mergeSort: MergeSort | null = null;
  #fetches = 0;
  /** Longest KeyValue added: no key is longer. */
  #longest = 0;

  constructor(store: MvccStore, query: RangeQuery, keysMax: number) {
    this.#store = store;
    this.#query = query;
    this.#keyIds = new Uint32Array(keysMax);
    this.#sortBy = new Float64Array(query.sortTarget === SortTarget.key ? 0 : keysMax);
    this.#sizes = new Uint32Array(keysMax);
  }

  /** Adds the next key in key order. */
  add(meta: KeyMeta): void {
    const at = this.count++;
    this.#keyIds[at] = meta.keyId;
    if (meta.encodedBytes > this.#longest) this.#longest = meta.encodedBytes;
    this.#sizes[at] = keyValueBytes(this.#store, meta, this.#query.keysOnly);
    if (this.#query.sortTarget !== SortTarget.key) this.#sortBy[at] = this.#numberOf(meta);
  }

  /** Sorts on. True: sorted. */
  sortStep(moves: number): boolean {
    if (this.#order !== null || this.#query.sortTarget === SortTarget.key) return true;
    if (this.count <= GO_SORT_KEYS_MAX) {
      this.#order = goSort(this.count, this.#isLess);
      return true;
    }
    this.#mergeSort ??= new MergeSort(this.count, this.#isLess);
    // Few moves at a time, so that fetched values count.
    for (let left = moves; left > 0; left -= FETCH_MOVES * (1 + this.#fetches)) {
      this.#fetches = 0;
      if (this.#mergeSort.step(FETCH_MOVES)) {
        this.#order = this.#mergeSort.order;
        this.#mergeSort = null;
        return true;
      }
    }
    return false;
  }

  /** Bytes of the KeyValue (whole or without value) at a place of the sorted order. */
  sizeAt(place: number): number {
    return this.#sizes[this.#indexAt(place)];
  }

  /** Fills `meta` for the key at a place of the sorted order; at the revision that `query` names. */
  metaAt(place: number, meta: KeyMeta): void {
    this.#fill(this.#indexAt(place), meta);
  }

  #indexAt(place: number): number {
    if (this.#order !== null) return this.#order[place];
    // Sorted by key: natural order, or backwards.
    return this.#query.descending ? this.count - 1 - place : place;
  }

  /** Finds the key anew: where values lie may have changed since it was added. */
  #fill(index: number, meta: KeyMeta): void {
    meta.keyId = this.#keyIds[index];
    meta.encodedBytes = this.#longest;
    const keyBytes = fetchKey(this.#store, meta);
    this.#store.lookup(fetchedKey(), 0, keyBytes, this.#query.revision, meta);
  }

  #numberOf(meta: KeyMeta): number {
    switch (this.#query.sortTarget) {
      case SortTarget.version:
        return meta.version;
      case SortTarget.create:
        return meta.createRevision;
      case SortTarget.mod:
        return meta.modRevision;
      default:
        return this.#valuePrefix(meta);
    }
  }

  #valuePrefix(meta: KeyMeta): number {
    const length = fetchValue(this.#store, meta, this.#scratch);
    const bytes = this.#scratch.bytes;
    const start = foundValueStart();
    let prefix = 0;
    for (let i = 0; i < VALUE_PREFIX_BYTES; i++) {
      prefix = prefix * 256 + (i < length ? bytes[start + i] : 0);
    }
    return prefix;
  }

  /** Order of the answer, as Go's sort.Interface sees it: descending is the same order with its sides exchanged. */
  readonly #isLess = (a: number, b: number): boolean =>
    this.#query.descending ? this.#compare(b, a) < 0 : this.#compare(a, b) < 0;

  #compare(a: number, b: number): number {
    const difference = this.#sortBy[a] - this.#sortBy[b];
    if (difference !== 0 || this.#query.sortTarget !== SortTarget.value) return difference;
    this.#fetches++;
    this.#fill(a, this.#meta);
    const aLength = fetchValue(this.#store, this.#meta, this.#scratch);
    const aStart = foundValueStart();
    this.#fill(b, this.#meta);
    const bLength = fetchValue(this.#store, this.#meta, this.#other);
    const bStart = foundValueStart();
    return compareBytes(
      this.#scratch.bytes,
      aStart,
      aStart + aLength,
      this.#other.bytes,
      bStart,
      bStart + bLength,
    );
  }
}
