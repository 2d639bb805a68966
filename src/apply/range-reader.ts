/**
 * Answers ranges at once, into a buffer. Answers that would be too long for that are left to `range-job.ts`.
 */
import type { KeyMeta, MvccStore, RangeCursor } from "../mvcc/store.ts";
import {
  rangeTailBytes,
  revisionHeaderBytes,
  TAG_FIELD_2_BYTES,
  writePrefix,
  writeRangeTail,
  writeRevisionHeader,
} from "../proto/kv-encode.ts";
import type { ByteBuffer } from "./byte-buffer.ts";
import { appendKeyValue } from "./key-value-writer.ts";
import { newKeyMeta, type RangeQuery } from "./range-query.ts";
import { SortedKeys } from "./sorted-keys.ts";

/** Room for `more` and `count`. */
const TAIL_BYTES_MAX = 16;
/** Room for a field's tag and length. */
const FIELD_OVERHEAD_BYTES_MAX = 8;

export class RangeReader {
  readonly #store: MvccStore;
  readonly #meta: KeyMeta = newKeyMeta();

  constructor(store: MvccStore) {
    this.#store = store;
  }

  /**
   * Appends kvs, more and count of a query to `out`. `total` is the number of live keys of its range. Returns false as soon
   * as `out` is longer than `bytesMax`; what it holds then is worthless.
   */
  appendRange(query: RangeQuery, total: number, out: ByteBuffer, bytesMax: number): boolean {
    if (query.countOnly || total === 0) {
      this.#appendTail(false, total, out);
      return true;
    }
    const kept = query.sorted
      ? this.#appendSorted(query, total, out, bytesMax)
      : this.#appendInOrder(query, total, out, bytesMax);
    if (kept < 0) return false;
    const matched = query.filtered || query.sorted ? this.#matched : total;
    this.#appendTail(query.limit > 0 && matched > query.limit, total, out);
    return true;
  }

  /**
   * Writes kvs, more and count of a plain query (in key order, whole KeyValues, no filters) to `target[offset, end)`. Returns
   * the offset behind them, or -1 if they do not fit; what was written then is worthless.
   */
  writePlain(query: RangeQuery, total: number, target: Uint8Array, offset: number, end: number): number {
    const meta = this.#meta;
    const limit = query.limit > 0 ? query.limit : total;
    const cursor = this.#store.openCursor(query.range, query.revision);
    for (let kept = 0; kept < limit && cursor.next(meta); kept++) {
      if (offset + meta.encodedBytes + FIELD_OVERHEAD_BYTES_MAX + TAIL_BYTES_MAX > end) {
        cursor.close();
        return -1;
      }
      offset = writePrefix(target, offset, TAG_FIELD_2_BYTES, meta.encodedBytes);
      offset = this.#store.copyKeyValue(meta, target, offset);
    }
    cursor.close();
    return writeRangeTail(target, offset, total > limit, total);
  }

  /** Appends a whole RangeResponse with a header that holds the revision alone, as inside a txn. */
  appendRangeResponse(query: RangeQuery, headerRevision: number, out: ByteBuffer): void {
    out.ensure(revisionHeaderBytes(headerRevision));
    out.length = writeRevisionHeader(out.bytes, out.length, headerRevision);
    if (query.range.end === null) this.#appendKey(query, out);
    else this.appendRange(query, this.#store.count(query.range, query.revision), out, Infinity);
  }

  /** Keys that passed the filters in the last walk, as far as it went: at most limit + 1 in key order. */
  #matched = 0;

  #appendTail(more: boolean, count: number, out: ByteBuffer): void {
    out.ensure(rangeTailBytes(more, count) + TAIL_BYTES_MAX);
    out.length = writeRangeTail(out.bytes, out.length, more, count);
  }

  /** A range of one key needs neither cursor nor count. */
  #appendKey(query: RangeQuery, out: ByteBuffer): void {
    const { key } = query.range;
    const meta = this.#meta;
    const live = this.#store.lookup(key, 0, key.length, query.revision, meta);
    if (live && !query.countOnly && query.accepts(meta)) {
      appendKeyValue(this.#store, meta, query.keysOnly, TAG_FIELD_2_BYTES, out);
    }
    this.#appendTail(false, live ? 1 : 0, out);
  }

  /** Returns the number of keys written, or -1 when the answer became too long. */
  #appendInOrder(query: RangeQuery, total: number, out: ByteBuffer, bytesMax: number): number {
    const meta = this.#meta;
    const limit = query.limit > 0 ? query.limit : total;
    const cursor = this.#store.openCursor(query.range, query.revision);
    let kept = 0;
    this.#matched = 0;
    // Without filters the total tells whether there is more; with them the walk must find one more.
    while ((kept < limit || query.filtered) && cursor.next(meta)) {
      if (!query.accepts(meta)) continue;
      this.#matched++;
      if (kept === limit) break;
      appendKeyValue(this.#store, meta, query.keysOnly, TAG_FIELD_2_BYTES, out);
      kept++;
      if (out.length > bytesMax) return closeAnd(cursor, -1);
    }
    return closeAnd(cursor, kept);
  }

  #appendSorted(query: RangeQuery, total: number, out: ByteBuffer, bytesMax: number): number {
    const meta = this.#meta;
    const fetched = query.sortKeysMax > 0 ? Math.min(query.sortKeysMax, total) : total;
    const keys = new SortedKeys(this.#store, query, fetched);
    const cursor = this.#store.openCursor(query.range, query.revision);
    for (let walked = 0; walked < fetched && cursor.next(meta); walked++) {
      if (query.accepts(meta)) keys.add(meta);
    }
    cursor.close();
    while (!keys.sortStep(Infinity));
    this.#matched = keys.count;
    const kept = query.limit > 0 ? Math.min(query.limit, keys.count) : keys.count;
    for (let place = 0; place < kept; place++) {
      keys.metaAt(place, meta);
      appendKeyValue(this.#store, meta, query.keysOnly, TAG_FIELD_2_BYTES, out);
      if (out.length > bytesMax) return -1;
    }
    return kept;
  }
}

function closeAnd(cursor: RangeCursor, result: number): number {
  cursor.close();
  return result;
}
