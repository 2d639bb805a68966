/**
 * One long answer, produced in slices that interleave with applies:
 *
 * ```
 *   measure ──▶ head ──▶ produce ──▶ tail        in key order: two walks, nothing is held
 *   gather ──▶ sort ──▶ head ──▶ produce ──▶ tail     sorted: metadata is held, see sorted-keys.ts
 * ```
 * gRPC wants the length of a message before its first byte, hence the first walk. Both walks read one pinned revision.
 */
import { assert } from "../base/assert.ts";
import { ErrorId } from "../base/errors.ts";
import type { KeyMeta, MvccStore, RangeCursor } from "../mvcc/store.ts";
import { rangeTailBytes, writeRangeTail } from "../proto/kv-encode.ts";
import type { ResponseSink } from "./apply-interfaces.ts";
import { MESSAGE_BYTES_MAX, SLICE_BYTES, SLICE_KEYS } from "./apply-limits.ts";
import type { ByteBuffer } from "./byte-buffer.ts";
import { appendKeyValue, fieldBytes, keyValueBytes } from "./key-value-writer.ts";
import { newKeyMeta, type RangeQuery } from "./range-query.ts";
import { SORTED_KEY_BYTES, SortedKeys } from "./sorted-keys.ts";

/** What a slice of work says about the next: it can follow, waits for room in the ring, waits for credit; there is none. */
export const JobState = { runnable: 0, waiting: 1, stalled: 2, done: 3 } as const;

/** A long answer on its way out. */
export interface StreamJob {
  readonly requestId: number;
  /** Memory it holds for sorting while it is active. */
  readonly sortBytes: number;
  /** Slices it has had; the scheduler counts. */
  slices: number;
  /** Called once, when the job becomes active. */
  start(): void;
  /** Does one slice; returns a {@link JobState}. `out` is scratch, the job's only during the call. */
  runSlice(sink: ResponseSink, out: ByteBuffer): number;
  /** The client took bytes. */
  addCredit(bytes: number): void;
  /** Lets go of what it holds; also after it is done. */
  close(): void;
}

/** Moves of a sort in one slice. */
const SLICE_SORT_MOVES = 10 * SLICE_KEYS;

const PHASE_WALK = 0;
const PHASE_SORT = 1;
const PHASE_MEASURE = 2;
const PHASE_PRODUCE = 3;

/** A Range, or the prev_kvs of a DeleteRange, as a job. */
export class RangeJob implements StreamJob {
  readonly requestId: number;
  readonly sortBytes: number;
  slices = 0;
  readonly #store: MvccStore;
  /** Holds its own bytes and an explicit revision. */
  readonly #query: RangeQuery;
  readonly #total: number;
  readonly #tag: number;
  /** Encoded fields before the KeyValues: the header, and `deleted`. */
  readonly #head: Uint8Array;
  /** Whether `more` and `count` follow the KeyValues. */
  readonly #hasTail: boolean;
  readonly #meta: KeyMeta = newKeyMeta();
  #phase = PHASE_WALK;
  readonly #cursor: RangeCursor;
  /** For the second walk. Open from the start: a compaction may pass the revision before the first walk ends. */
  readonly #second: RangeCursor | null;
  #keys: SortedKeys | null = null;
  /** Keys walked and not filtered out; with a limit and no sort it stops at limit + 1. */
  #matched = 0;
  #walked = 0;
  /** KeyValues of the answer, and how many of them have been measured or written in the current phase. */
  #kept = 0;
  #place = 0;
  /** Bytes of the whole message. */
  #bytes: number;
  #sent = 0;
  #credit = 0;
  #more = false;

  /** `total`: live keys of the range. Opens its cursors at once: from now on its revision is pinned. */
  constructor(
    store: MvccStore,
    query: RangeQuery,
    answer: { requestId: number; total: number; tag: number; head: Uint8Array; hasTail: boolean },
  ) {
    assert(query.revision > 0, "a job reads at an explicit revision");
    this.requestId = answer.requestId;
    this.#store = store;
    this.#query = query;
    this.#total = answer.total;
    this.#tag = answer.tag;
    this.#head = answer.head;
    this.#hasTail = answer.hasTail;
    this.#bytes = answer.head.length;
    this.sortBytes = query.sorted ? this.#fetchedMax() * SORTED_KEY_BYTES : 0;
    this.#cursor = store.openCursor(query.range, query.revision);
    this.#second = query.sorted ? null : store.openCursor(query.range, query.revision);
  }

  start(): void {
    if (this.#query.sorted) this.#keys = new SortedKeys(this.#store, this.#query, this.#fetchedMax());
  }

  addCredit(bytes: number): void {
    this.#credit += bytes;
  }

  close(): void {
    this.#cursor.close();
    this.#second?.close();
    this.#keys = null;
  }

  runSlice(sink: ResponseSink, out: ByteBuffer): number {
    switch (this.#phase) {
      case PHASE_WALK:
        return this.#walkSlice(sink);
      case PHASE_SORT:
        if (this.#keys!.sortStep(SLICE_SORT_MOVES)) this.#phase = PHASE_MEASURE;
        return JobState.runnable;
      case PHASE_MEASURE:
        return this.#measureSortedSlice(sink);
      default:
        return this.#produceSlice(sink, out);
    }
  }

  /** Most keys that take part: all of the range, or the first limit + 1. */
  #fetchedMax(): number {
    return this.#query.sortKeysMax > 0 ? Math.min(this.#query.sortKeysMax, this.#total) : this.#total;
  }

  /** Measures the answer in key order, or gathers the keys to sort. */
  #walkSlice(sink: ResponseSink): number {
    const query = this.#query;
    const meta = this.#meta;
    for (let i = 0; i < SLICE_KEYS; i++) {
      if (this.#isWalkOver() || !this.#cursor.next(meta)) return this.#endWalk(sink);
      this.#walked++;
      if (!query.accepts(meta)) continue;
      this.#matched++;
      if (this.#keys !== null) this.#keys.add(meta);
      else if (query.limit === 0 || this.#matched <= query.limit) {
        this.#bytes += fieldBytes(keyValueBytes(this.#store, meta, query.keysOnly));
      }
    }
    return JobState.runnable;
  }

  #isWalkOver(): boolean {
    if (this.#keys !== null) return this.#walked >= this.#fetchedMax();
    return this.#query.limit > 0 && this.#matched > this.#query.limit;
  }

  #endWalk(sink: ResponseSink): number {
    const limit = this.#query.limit;
    this.#more = limit > 0 && this.#matched > limit;
    this.#kept = this.#more ? limit : this.#matched;
    if (this.#keys !== null) {
      this.#phase = PHASE_SORT;
      return JobState.runnable;
    }
    return this.#sendHead(sink);
  }

  #measureSortedSlice(sink: ResponseSink): number {
    const end = Math.min(this.#place + SLICE_KEYS * 4, this.#kept);
    for (; this.#place < end; this.#place++) this.#bytes += fieldBytes(this.#keys!.sizeAt(this.#place));
    if (this.#place < this.#kept) return JobState.runnable;
    this.#place = 0;
    return this.#sendHead(sink);
  }

  #sendHead(sink: ResponseSink): number {
    if (this.#hasTail) this.#bytes += rangeTailBytes(this.#more, this.#total);
    if (this.#bytes > MESSAGE_BYTES_MAX) {
      sink.fail(this.requestId, ErrorId.responseTooLarge);
      return JobState.done;
    }
    sink.streamHead(this.requestId, this.#bytes);
    this.#phase = PHASE_PRODUCE;
    return JobState.runnable;
  }

  #produceSlice(sink: ResponseSink, out: ByteBuffer): number {
    // One KeyValue may be longer than the credit: it goes below zero then, by one KeyValue at most.
    if (this.#credit <= 0) return JobState.stalled;
    if (!sink.hasRoom(SLICE_BYTES)) return JobState.waiting;
    out.clear();
    if (this.#sent === 0) {
      out.ensure(this.#head.length);
      out.bytes.set(this.#head, 0);
      out.length = this.#head.length;
    }
    const bytesMax = Math.min(SLICE_BYTES, this.#credit);
    for (let i = 0; i < SLICE_KEYS && this.#place < this.#kept && out.length < bytesMax; i++) {
      this.#nextKept();
      appendKeyValue(this.#store, this.#meta, this.#query.keysOnly, this.#tag, out);
    }
    const isLast = this.#place === this.#kept;
    if (isLast && this.#hasTail) {
      out.ensure(32);
      out.length = writeRangeTail(out.bytes, out.length, this.#more, this.#total);
    }
    this.#send(sink, out);
    if (!isLast) return JobState.runnable;
    assert(
      this.#sent === this.#bytes,
      "a streamed answer is as long as was announced",
      this.#sent,
      this.#bytes,
    );
    return JobState.done;
  }

  #nextKept(): void {
    const meta = this.#meta;
    if (this.#keys !== null) this.#keys.metaAt(this.#place, meta);
    else {
      let found: boolean;
      do found = this.#second!.next(meta);
      while (found && !this.#query.accepts(meta));
      assert(found, "the second walk finds what the first one found", this.#place, this.#kept);
    }
    this.#place++;
  }

  #send(sink: ResponseSink, out: ByteBuffer): void {
    for (let from = 0; from < out.length; from += SLICE_BYTES) {
      sink.streamData(this.requestId, out.bytes, from, Math.min(from + SLICE_BYTES, out.length));
    }
    this.#sent += out.length;
    this.#credit -= out.length;
  }
}
