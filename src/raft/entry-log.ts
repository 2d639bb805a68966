/**
 * The log as the core and the apply feed see it: every entry that may still be needed, each in the buffer it was written from.
 *
 * ```
 *   compacted │ retained for followers │ stored, not yet handed to apply │ in flight │ open batch
 *             ▲ firstIndex             ▲ handed index                                ▲ appendEntry
 * ```
 *
 * A new leader's entries replace old ones wherever they are: older batches are clipped, never changed. What `slices` has lent is
 * valid until {@link EntryLog.endLoan}: batches are given back, and entries of the open batch overwritten, only with that in mind.
 * Alone in its group, a member retains nothing. Otherwise entries stay until {@link EntryLog.compact} says that nobody needs them or
 * {@link RETAINED_BYTES_MAX} is reached; small batches are merged then, so that a slow trickle of entries holds no empty buffers.
 */

import { assert } from "../base/assert.ts";
import type { LogStorage, StoredBatch } from "./log-storage.ts";
import type { EntryBatch, EntrySlice, EntryStore, SnapshotMeta } from "./raft.ts";
import { MERGED_BYTES, MergedBatch } from "./merged-batch.ts";
import { TermTable } from "./term-table.ts";

/** Most memory of entries kept for followers behind what apply has. One that needs older ones gets a snapshot. */
export const RETAINED_BYTES_MAX = 64 * 1024 * 1024;
/** The same while a snapshot is on its way: its receiver needs what comes behind it, or it would need another snapshot. */
export const RETAINED_BYTES_SNAPSHOT_MAX = 256 * 1024 * 1024;
/** Merged batches that lie idle for their next use: memory that came and went with each would keep the garbage collector busy. */
const FREE_MERGED_MAX = 16;
/** One that a long entry made longer than this is not kept. */
const FREE_MERGED_BYTES_MAX = 2 * MERGED_BYTES;
/** A batch that fills less than this part of its buffer is merged with others when it is retained. */
const FULL_RATIO = 0.5;
/** Most bytes of type, term, index and length fields around an entry's data, with its own field header in a message. */
const ENTRY_OVERHEAD_BYTES_MAX = 40;

/** What is valid of a batch: entries first to last. Never empty. */
interface Held {
  readonly batch: EntryBatch;
  readonly first: number;
  last: number;
  isStored: boolean;
  /** Bytes counted as not yet handed to apply. */
  waitingBytes: number;
}

/** A slice that can be pointed at a copy when its batch is about to change. */
interface LentSlice extends EntrySlice {
  batch: EntryBatch;
  from: number;
}

export interface EntryLogStart {
  readonly storage: LogStorage;
  /** Entries that the log held at start, consecutive; those up to `appliedIndex` serve followers only. */
  readonly recovered: readonly EntryBatch[];
  readonly lastIndex: number;
  /** What the state machine's storage holds, and the term of that entry. */
  readonly appliedIndex: number;
  readonly appliedTerm: number;
}

export class EntryLog implements EntryStore {
  readonly #storage: LogStorage;
  /** Ascending and without gap; those in flight at the end. */
  readonly #held: Held[] = [];
  readonly #terms: TermTable;
  #firstIndex: number;
  #handedIndex: number;
  #storedIndex: number;
  /** The batch in flight, even if nothing of it is valid any more. */
  #inFlight: Held | null = null;
  #waitingBytes = 0;
  #retainedBytes = 0;
  /** Slices of the open batch that are lent, and batches that wait for the end of the loan. */
  #lentOpen: LentSlice[] = [];
  #isLent = false;
  #returned: EntryBatch[] = [];
  readonly #freeMerged: MergedBatch[] = [];

  constructor(start: EntryLogStart) {
    const { recovered, appliedIndex, lastIndex } = start;
    this.#storage = start.storage;
    this.#handedIndex = appliedIndex;
    const base = baseOf(start);
    this.#terms = new TermTable(base.index, base.term);
    this.#firstIndex = base.index + 1;
    for (const batch of recovered) this.#takeRecovered(batch);
    this.#storedIndex = this.lastIndex;
    assert(this.lastIndex === lastIndex, "the log's entries end elsewhere", this.lastIndex, lastIndex);
  }

  /** {@inheritDoc EntryStore.firstIndex} */
  get firstIndex(): number {
    return this.#firstIndex;
  }

  get lastIndex(): number {
    return this.#terms.lastIndex;
  }

  /** Everything up to here is durable: only that may be applied, or storage could get ahead of the log. */
  get storedIndex(): number {
    return this.#storedIndex;
  }

  /** {@inheritDoc LogStorage.durableCommit} */
  get durableCommit(): number {
    return this.#storage.durableCommit;
  }

  /** Terms of all entries from the one before {@link firstIndex} on. */
  get terms(): TermTable {
    return this.#terms;
  }

  /** Bytes of stored entries that apply has not got yet. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Memory held for followers. */
  get retainedBytes(): number {
    return this.#retainedBytes;
  }

  /** {@inheritDoc EntrySink.appendEntry} */
  appendEntry(
    type: number,
    term: number,
    index: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (index <= this.#terms.lastIndex) this.#clip(index);
    this.#terms.append(index, term);
    this.#storage.appendEntry(type, term, index, bytes, start, end);
  }

  /** {@inheritDoc EntryStore.startAfter} */
  startAfter(snapshot: SnapshotMeta): void {
    this.#detachLoans();
    for (const held of this.#held.splice(0)) {
      this.#uncount(held);
      if (held.isStored) this.#giveBack(held.batch);
    }
    this.#retainedBytes = 0;
    this.#terms.reset(snapshot.index, snapshot.term);
    this.#firstIndex = snapshot.index + 1;
    this.#handedIndex = snapshot.index;
    this.#storedIndex = snapshot.index;
    this.#storage.startAfter(snapshot);
  }

  /** {@inheritDoc EntryStore.slices} */
  slices(first: number, last: number, bytesMax: number): readonly EntrySlice[] {
    assert(first >= this.#firstIndex, "entries are compacted", first, this.#firstIndex);
    const slices: EntrySlice[] = [];
    this.#isLent = true;
    let left = bytesMax;
    let at = this.#position(first);
    let index = first;
    while (index <= last && (left > 0 || index === first)) {
      const held = this.#held[at++];
      const batch = held?.batch ?? this.#storage.openBatch;
      const end = Math.min(last, held?.last ?? this.lastIndex);
      const from = index - batch.firstIndex;
      const count = countFitting(batch, from, end - index + 1, left, index === first);
      if (count === 0) break;
      const slice: LentSlice = { batch, from, count };
      slices.push(slice);
      if (held === undefined) this.#lentOpen.push(slice);
      left -= encodedBytesMax(batch, from, count);
      index += count;
      if (index <= end || held === undefined) break;
    }
    return slices;
  }

  /** The messages that carry lent slices have been sent. */
  endLoan(): void {
    if (!this.#isLent) return;
    this.#isLent = false;
    this.#lentOpen = [];
    for (const batch of this.#returned.splice(0)) this.#recycle(batch);
  }

  /** Begins a flush of everything appended so far. The batch it resolves with is taken care of. `mayBlock`: as storage's. */
  flush(mayBlock = false): Promise<StoredBatch> {
    const { openBatch } = this.#storage;
    const { count, firstIndex } = openBatch;
    if (count > 0) {
      const held = hold(openBatch, firstIndex, firstIndex + count - 1, false);
      this.#held.push(held);
      this.#inFlight = held;
    }
    // Its slices stay as they are from now on: nothing is appended to it any more.
    this.#lentOpen = [];
    return this.#storage.flush(mayBlock);
  }

  /** The flush has ended well. */
  flushed(batch: StoredBatch): void {
    const held = this.#inFlight;
    this.#inFlight = null;
    if (held === null) {
      this.#giveBack(batch);
      return;
    }
    held.isStored = true;
    if (!this.#held.includes(held)) {
      this.#giveBack(batch);
      return;
    }
    this.#storedIndex = held.last;
    this.#waitingBytes += held.waitingBytes;
  }

  /** The batch that holds the entry at `index`, which is stored or in flight, and up to where its entries are valid. */
  find(index: number): { readonly batch: EntryBatch; readonly last: number } {
    const held = this.#held[this.#position(index)];
    assert(held !== undefined && held.first <= index, "entry is not in memory", index, this.#firstIndex);
    return held;
  }

  /** Apply has got everything up to `index`. */
  handed(index: number): void {
    this.#handedIndex = index;
  }

  /**
   * Lets go of what apply has got, up to `index` at most; beyond the byte limit also of what lies behind, up to `durableIndex`, which the
   * state machine's storage holds. Returns true if {@link firstIndex} moved.
   */
  compact(index: number, durableIndex: number, bytesMax = RETAINED_BYTES_MAX): boolean {
    const first = this.#firstIndex;
    for (let held = this.#held[0]; held !== undefined && this.#isDone(held); held = this.#held[0]) {
      const isOver = this.#retainedBytes > bytesMax && held.last <= durableIndex;
      if (held.last > index && !isOver) break;
      this.#held.shift();
      this.#release(held);
      this.#firstIndex = held.last + 1;
    }
    // Of a batch that is not let go as a whole, the first entries are gone as far as anybody can see.
    this.#firstIndex = Math.max(this.#firstIndex, Math.min(index, this.#handedIndex) + 1);
    this.#terms.release(Math.min(this.#firstIndex - 1, durableIndex));
    this.#retain();
    return this.#firstIndex !== first;
  }

  #isDone(held: Held): boolean {
    return held.isStored && held.last <= this.#handedIndex;
  }

  #release(held: Held): void {
    if (held.waitingBytes === 0) this.#retainedBytes -= held.batch.bytes.length;
    this.#uncount(held);
    this.#giveBack(held.batch);
  }

  /** Whatever apply has got and is kept is merged if it is small, and counted as retained. */
  #retain(): void {
    for (let at = this.#firstWaiting(); at < this.#held.length; at++) {
      const held = this.#held[at];
      if (!this.#isDone(held)) return;
      this.#uncount(held);
      if (held.batch.bytes.length * FULL_RATIO > held.batch.dataEnd(held.batch.count - 1)) {
        if (this.#merge(at)) at--;
      } else this.#retainedBytes += held.batch.bytes.length;
    }
  }

  #firstWaiting(): number {
    let at = this.#held.length;
    while (at > 0 && this.#held[at - 1].waitingBytes > 0) at--;
    return at;
  }

  /** Copies the entries of the batch at `at` into the merged one before it, or into a new one. True if the batch is gone. */
  #merge(at: number): boolean {
    const held = this.#held[at];
    const before = this.#held[at - 1];
    const target = before?.batch instanceof MergedBatch && before.batch.hasRoom ? before.batch : null;
    const merged = target ?? this.#takeMerged(held.first);
    if (target !== null) this.#retainedBytes -= target.bytes.length;
    merged.truncate(held.first);
    merged.append(held.batch, held.first - held.batch.firstIndex, held.last - held.first + 1);
    this.#retainedBytes += merged.bytes.length;
    this.#giveBack(held.batch);
    if (target === null) {
      this.#held[at] = { batch: merged, first: held.first, last: held.last, isStored: true, waitingBytes: 0 };
      return false;
    }
    before.last = held.last;
    this.#held.splice(at, 1);
    return true;
  }

  #uncount(held: Held): void {
    if (held.isStored) this.#waitingBytes -= held.waitingBytes;
    held.waitingBytes = 0;
  }

  #takeMerged(firstIndex: number): MergedBatch {
    const free = this.#freeMerged.pop();
    if (free === undefined) return new MergedBatch(firstIndex, MERGED_BYTES);
    free.clear(firstIndex);
    return free;
  }

  #giveBack(batch: EntryBatch): void {
    if (this.#isLent) this.#returned.push(batch);
    else this.#recycle(batch);
  }

  #recycle(batch: EntryBatch): void {
    if (!(batch instanceof MergedBatch)) this.#storage.recycle(batch);
    else if (batch.bytes.length <= FREE_MERGED_BYTES_MAX && this.#freeMerged.length < FREE_MERGED_MAX)
      this.#freeMerged.push(batch);
  }

  /** Entries from `index` on are replaced. */
  #clip(index: number): void {
    assert(index > this.#handedIndex, "a committed entry is replaced", index, this.#handedIndex);
    this.#detachLoans();
    this.#storedIndex = Math.min(this.#storedIndex, index - 1);
    for (let held = this.#held.at(-1); held !== undefined && held.last >= index; held = this.#held.at(-1)) {
      if (held.first < index) {
        held.last = index - 1;
        return;
      }
      this.#held.pop();
      this.#uncount(held);
      if (held.isStored) this.#giveBack(held.batch);
    }
  }

  /** The open batch is about to be overwritten: what is lent of it becomes a copy. */
  #detachLoans(): void {
    for (const slice of this.#lentOpen) {
      const copy = new MergedBatch(slice.batch.firstIndex + slice.from);
      copy.append(slice.batch, slice.from, slice.count);
      slice.batch = copy;
      slice.from = 0;
    }
    this.#lentOpen = [];
  }

  /** Where the batch with the entry at `index` is in {@link #held}; behind the last one if the open batch holds it. */
  #position(index: number): number {
    let low = 0;
    let high = this.#held.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#held[middle].last < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #takeRecovered(batch: EntryBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const index = batch.firstIndex + i;
      if (index > this.#terms.lastIndex) this.#terms.append(index, batch.term(i));
    }
    const first = Math.max(batch.firstIndex, this.#firstIndex);
    const last = batch.firstIndex + batch.count - 1;
    if (first > last) return;
    const held = hold(batch, first, last, true);
    this.#held.push(held);
    this.#waitingBytes += held.waitingBytes;
  }
}

/** A batch that apply has not got yet; its waiting bytes are never 0, so that this can be told from them. */
function hold(batch: EntryBatch, first: number, last: number, isStored: boolean): Held {
  return { batch, first, last, isStored, waitingBytes: Math.max(1, batch.dataEnd(batch.count - 1)) };
}

/** The entry before the first that can be given out, of which the term must be known. */
function baseOf(start: EntryLogStart): { index: number; term: number } {
  const first = start.recovered.find(({ count }) => count > 0);
  if (first === undefined || first.firstIndex === start.appliedIndex + 1)
    return { index: start.appliedIndex, term: start.appliedTerm };
  // Entries from before the applied index: the first one says no more than its term.
  return first.firstIndex === 1 ? { index: 0, term: 0 } : { index: first.firstIndex, term: first.term(0) };
}

/** At least as many bytes as the entries' raftpb.Entry encodings have. */
function encodedBytesMax(batch: EntryBatch, from: number, count: number): number {
  return batch.dataEnd(from + count - 1) - batch.dataStart(from) + count * ENTRY_OVERHEAD_BYTES_MAX;
}

/** How many of the entries fit. Entries are counted one by one only if all together may be too long. */
function countFitting(
  batch: EntryBatch,
  from: number,
  count: number,
  bytesMax: number,
  atLeastOne: boolean,
): number {
  if (encodedBytesMax(batch, from, count) <= bytesMax) return count;
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    bytes += batch.dataEnd(from + i) - batch.dataStart(from + i) + ENTRY_OVERHEAD_BYTES_MAX;
    if (bytes > bytesMax) return i === 0 && atLeastOne ? 1 : i;
  }
  return count;
}
