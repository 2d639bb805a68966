/**
 * Who watches what. An interest is a watched range with filters and prev_kv: all its watchers get the same bytes, so that matching
 * costs by interest and not by watcher.
 *
 * ```
 *   range ──▶ interest (filters, prev_kv) ──▶ watchers in sync
 *         └─▶ interest                    └─▶ watchers behind
 *   stream ─▶ its watchers behind, and the others
 * ```
 */
import { RangeTable, type RangeEnd } from "./range-table.ts";
import { SlotTable } from "./slot-table.ts";
import type { WatchStream } from "./watch-stream.ts";
import {
  FLAGS,
  ID_HIGH,
  ID_LOW,
  INTEREST,
  INTEREST_FLAGS,
  LIST_NEXT,
  STREAM,
  STREAM_NEXT,
  WATCHER_WORDS,
  WatcherTable,
} from "./watcher-table.ts";
import { WatcherFlag } from "./watcher-flag.ts";

const RANGE = 0;
const KIND = 1;
/** Next interest in the same range. */
const VARIANT_NEXT = 2;
/** First watcher that is in sync. */
const SYNCED = 3;
/** First watcher that is behind. */
const BEHIND = 4;
/** The event batches': position of this interest's list + 1, in that of those in sync and that of those behind. */
const BATCH = 5;
/** Watchers of it, in whatever state. */
const USERS = 7;
const STRIDE = 8;

/** Event batches in being at a time: 0 of the watchers in sync, 1 of those behind. */
export type BatchNumber = 0 | 1;

/** What a new watcher asks for. */
export interface WatcherRequest {
  readonly idLow: number;
  readonly idHigh: number;
  readonly key: Uint8Array;
  readonly end: RangeEnd;
  /** {@link WatcherFlag}s that the client chooses. */
  readonly flags: number;
  /** First revision it wants. */
  readonly next: number;
}

export class WatchRegistry {
  watchers = new WatcherTable();
  #ranges: RangeTable;
  #interests = new SlotTable(STRIDE);
  readonly #seed: number;
  /** By main's number. */
  readonly #streams: Array<WatchStream | null> = [];
  #streamCount = 0;
  readonly #matched: number[] = [];
  /** Streams with watchers behind that may send. */
  readonly ready = new Set<WatchStream>();
  #behind = 0;
  #previousWanted = 0;

  /** @param seed secret of the process, against keys made to collide */
  constructor(seed: number) {
    this.#seed = seed;
    this.#ranges = new RangeTable(seed);
  }

  /** Most of the memory is for watchers that are gone: {@link rebuild} gives it back. */
  get isSparse(): boolean {
    return this.watchers.slots.isSparse || this.#interests.isSparse || this.#ranges.isSparse;
  }

  /** Watchers that are behind, those without credit too. */
  get behind(): number {
    return this.#behind;
  }

  /** Watchers that want previous values. */
  get previousWanted(): number {
    return this.#previousWanted;
  }

  /** Different key ranges watched. */
  get ranges(): number {
    return this.#ranges.size;
  }

  get streamCount(): number {
    return this.#streamCount;
  }

  stream(number: number): WatchStream | null {
    return this.#streams[number] ?? null;
  }

  addStream(stream: WatchStream): void {
    while (this.#streams.length <= stream.number) this.#streams.push(null);
    this.#streams[stream.number] = stream;
    this.#streamCount++;
  }

  /** The stream of a watcher. */
  streamOf(watcher: number): WatchStream {
    return this.#streams[this.watchers.slots.words[watcher * WATCHER_WORDS + STREAM]] as WatchStream;
  }

  /** Adds a watcher in sync; its id must be free. */
  create(stream: WatchStream, request: WatcherRequest): number {
    const interest = this.#obtain(request.key, request.end, request.flags & INTEREST_FLAGS);
    const { watchers } = this;
    const watcher = watchers.add(stream.number, request.idLow, request.idHigh);
    const words = watchers.slots.words;
    words[watcher * WATCHER_WORDS + INTEREST] = interest;
    words[watcher * WATCHER_WORDS + FLAGS] = request.flags;
    watchers.next[watcher] = request.next;
    this.#linkSynced(watcher);
    stream.head = watchers.prepend(watcher, stream.head, STREAM_NEXT);
    stream.watchers++;
    if ((request.flags & WatcherFlag.prevKv) !== 0) this.#previousWanted++;
    if ((request.flags & WatcherFlag.progress) !== 0) stream.progressWatchers++;
    return watcher;
  }

  /** Forgets a watcher. */
  remove(watcher: number): void {
    const { watchers } = this;
    const stream = this.streamOf(watcher);
    const flags = watchers.flags(watcher);
    const interest = watchers.slots.words[watcher * WATCHER_WORDS + INTEREST];
    this.#unlink(watcher);
    stream.head = watchers.unlink(watcher, stream.head, STREAM_NEXT);
    stream.watchers--;
    if ((flags & WatcherFlag.prevKv) !== 0) this.#previousWanted--;
    if ((flags & WatcherFlag.progress) !== 0) stream.progressWatchers--;
    watchers.remove(watcher);
    this.#dropIfUnused(interest);
  }

  /** Forgets a stream and all its watchers. */
  removeStream(stream: WatchStream): void {
    while (stream.behindHead !== 0) this.remove(stream.behindHead);
    while (stream.head !== 0) this.remove(stream.head);
    this.ready.delete(stream);
    this.#streams[stream.number] = null;
    this.#streamCount--;
  }

  /**
   * Moves everybody into tables of the right size: numbers of watchers and interests change, and lists turn round. Less than a microsecond a
   * watcher that is left, for each of which at least three have gone. Nothing may hold a number meanwhile: no slice of catching up, no
   * batch with lists.
   */
  rebuild(): void {
    const { watchers } = this;
    const [interests, ranges] = [this.#interests, this.#ranges];
    this.watchers = new WatcherTable();
    this.#interests = new SlotTable(STRIDE);
    this.#ranges = new RangeTable(this.#seed);
    for (const stream of this.#streams) {
      if (stream === null) continue;
      const heads = [stream.head, stream.behindHead];
      stream.head = stream.behindHead = 0;
      for (const head of heads) {
        let watcher = head;
        for (; watcher !== 0; watcher = watchers.slots.words[watcher * WATCHER_WORDS + STREAM_NEXT]) {
          const at = watchers.slots.words[watcher * WATCHER_WORDS + INTEREST] * STRIDE;
          const range = interests.words[at + RANGE];
          const interest = this.#obtain(
            ranges.key(range),
            ranges.rangeEnd(range),
            interests.words[at + KIND],
          );
          this.#move(watchers, watcher, stream, interest);
        }
      }
    }
    watchers.release();
    interests.release();
    ranges.release();
  }

  /** Takes over a watcher of another table, in the state in which it is. */
  #move(from: WatcherTable, old: number, stream: WatchStream, interest: number): void {
    const { watchers } = this;
    const at = old * WATCHER_WORDS;
    const words = from.slots.words;
    const watcher = watchers.add(stream.number, words[at + ID_LOW], words[at + ID_HIGH]);
    watchers.next[watcher] = from.next[old];
    watchers.slots.words[watcher * WATCHER_WORDS + INTEREST] = interest;
    watchers.setFlags(watcher, words[at + FLAGS], 0);
    stream.head = watchers.prepend(watcher, stream.head, STREAM_NEXT);
    if ((words[at + FLAGS] & WatcherFlag.compacted) !== 0) return;
    if ((words[at + FLAGS] & WatcherFlag.behind) === 0) this.#linkSynced(watcher);
    else this.#linkBehind(watcher, stream);
  }

  /** A watcher in sync has missed `revision`: it catches up from there, or from the later one that it waits for. */
  fallBehind(watcher: number, revision: number): void {
    const { watchers } = this;
    this.#unlink(watcher);
    if (watchers.next[watcher] < revision) watchers.next[watcher] = revision;
    watchers.setFlags(watcher, WatcherFlag.behind, 0);
    this.#behind++;
    const stream = this.streamOf(watcher);
    this.#linkBehind(watcher, stream);
    if (stream.credit > 0) this.ready.add(stream);
  }

  /** It has caught up. */
  catchUp(watcher: number): void {
    this.#unlink(watcher);
    this.#linkSynced(watcher);
  }

  /** It gets nothing any more, and keeps its id. */
  setCompacted(watcher: number): void {
    this.#unlink(watcher);
    this.watchers.setFlags(watcher, WatcherFlag.compacted, 0);
  }

  /** The stream may send again. */
  credited(stream: WatchStream): void {
    if (stream.behindHead !== 0) this.ready.add(stream);
  }

  /** Every watcher in sync is behind from `revision` on: events were missed. */
  allFallBehind(revision: number): void {
    const { watchers } = this;
    for (const stream of this.#streams) {
      if (stream === null) continue;
      for (let watcher = stream.head; watcher !== 0;) {
        const at = watcher * WATCHER_WORDS;
        const following = watchers.slots.words[at + STREAM_NEXT];
        if ((watchers.slots.words[at + FLAGS] & WatcherFlag.compacted) === 0)
          this.fallBehind(watcher, revision);
        watcher = following;
      }
    }
  }

  /**
   * The interests in the key `bytes[start, end)` that want a change of this kind; borrowed until the next call.
   * @param tombstone it was deleted
   */
  match(bytes: Uint8Array, start: number, end: number, tombstone: boolean, found: number[]): void {
    const matched = this.#matched;
    matched.length = 0;
    this.#ranges.match(bytes, start, end, matched);
    const filtered = tombstone ? WatcherFlag.noDelete : WatcherFlag.noPut;
    const words = this.#interests.words;
    for (let i = 0; i < matched.length; i++) {
      let interest = this.#ranges.owner(matched[i]);
      for (; interest !== 0; interest = words[interest * STRIDE + VARIANT_NEXT])
        if ((words[interest * STRIDE + KIND] & filtered) === 0) found.push(interest);
    }
  }

  wantsPrevious(interest: number): boolean {
    return (this.#interests.words[interest * STRIDE + KIND] & WatcherFlag.prevKv) !== 0;
  }

  firstSynced(interest: number): number {
    return this.#interests.words[interest * STRIDE + SYNCED];
  }

  firstBehind(interest: number): number {
    return this.#interests.words[interest * STRIDE + BEHIND];
  }

  /** An event batch's word of an interest; 0 at first. */
  batch(interest: number, batch: BatchNumber): number {
    return this.#interests.words[interest * STRIDE + BATCH + batch];
  }

  setBatch(interest: number, batch: BatchNumber, value: number): void {
    this.#interests.words[interest * STRIDE + BATCH + batch] = value;
  }

  #interestAt(watcher: number): number {
    return this.watchers.slots.words[watcher * WATCHER_WORDS + INTEREST] * STRIDE;
  }

  #linkSynced(watcher: number): void {
    const at = this.#interestAt(watcher) + SYNCED;
    this.#interests.words[at] = this.watchers.prepend(watcher, this.#interests.words[at], LIST_NEXT);
  }

  #linkBehind(watcher: number, stream: WatchStream): void {
    const { watchers } = this;
    const at = this.#interestAt(watcher) + BEHIND;
    this.#interests.words[at] = watchers.prepend(watcher, this.#interests.words[at], LIST_NEXT);
    stream.head = watchers.unlink(watcher, stream.head, STREAM_NEXT);
    stream.behindHead = watchers.prepend(watcher, stream.behindHead, STREAM_NEXT);
  }

  /** Out of the lists of its state; in its stream it is none of those behind afterwards. */
  #unlink(watcher: number): void {
    const { watchers } = this;
    const flags = watchers.flags(watcher);
    if ((flags & WatcherFlag.compacted) !== 0) return;
    const isBehind = (flags & WatcherFlag.behind) !== 0;
    const at = this.#interestAt(watcher) + (isBehind ? BEHIND : SYNCED);
    this.#interests.words[at] = watchers.unlink(watcher, this.#interests.words[at], LIST_NEXT);
    if (!isBehind) return;
    watchers.setFlags(watcher, 0, WatcherFlag.behind | WatcherFlag.inSlice);
    this.#behind--;
    const stream = this.streamOf(watcher);
    stream.behindHead = watchers.unlink(watcher, stream.behindHead, STREAM_NEXT);
    stream.head = watchers.prepend(watcher, stream.head, STREAM_NEXT);
    if (stream.behindHead === 0) this.ready.delete(stream);
  }

  #obtain(key: Uint8Array, end: RangeEnd, kind: number): number {
    const range = this.#ranges.obtain(key, end);
    const first = this.#ranges.owner(range);
    for (let each = first; each !== 0; each = this.#interests.words[each * STRIDE + VARIANT_NEXT])
      if (this.#interests.words[each * STRIDE + KIND] === kind) return this.#use(each);
    const interest = this.#interests.allocate();
    const words = this.#interests.words;
    words[interest * STRIDE + RANGE] = range;
    words[interest * STRIDE + KIND] = kind;
    words[interest * STRIDE + VARIANT_NEXT] = first;
    this.#ranges.setOwner(range, interest);
    return this.#use(interest);
  }

  #use(interest: number): number {
    this.#interests.words[interest * STRIDE + USERS]++;
    return interest;
  }

  #dropIfUnused(interest: number): void {
    const words = this.#interests.words;
    const at = interest * STRIDE;
    if (--words[at + USERS] > 0) return;
    const range = words[at + RANGE];
    const following = words[at + VARIANT_NEXT];
    const first = this.#ranges.owner(range);
    if (first !== interest) {
      let before = first;
      while (words[before * STRIDE + VARIANT_NEXT] !== interest)
        before = words[before * STRIDE + VARIANT_NEXT];
      words[before * STRIDE + VARIANT_NEXT] = following;
    } else if (following !== 0) this.#ranges.setOwner(range, following);
    else this.#ranges.remove(range);
    this.#interests.free(interest);
  }
}
