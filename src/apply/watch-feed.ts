/**
 * What the watch thread learns from apply: every change of every revision, marks between batches, and the requests of watches in
 * their place among them. Nothing is sent while nobody watches.
 *
 * Apply never waits for the watch thread with events: when the ring is full they are left out, and the next mark says so; who
 * misses them reads them from history. Marks and requests do wait: the watch thread always drains its ring.
 */
import { viewOf } from "../base/bytes.ts";
import { copyBytes } from "../base/copy-bytes.ts";
import { createKeyMeta, type Mvcc } from "../mvcc/mvcc.ts";
import type { KeyMeta, RevisionSink } from "../mvcc/store.ts";
import { varintBytes } from "../proto/wire.ts";
import { FLAG_TRACED, RecordType, WatchEventFlag } from "../ring/record-types.ts";
import { TRACE_PREFIX_BYTES, writePrefix } from "../ring/trace.ts";
import type { RingReader, RingWriter } from "../ring/ring.ts";
import type { WatchAnswers } from "./watch-answers.ts";

const EVENT_HEAD_BYTES = 16;
const MARK_BYTES = 20;
const QUERIES_PER_TURN_MAX = 4;
/** Words that the watch thread writes (`WatchStateWord` in src/watch/watch-state.ts). */
const IDLE_AFTER = 0;
const WANTS_PREVIOUS = 1;

export interface WatchFeedOptions {
  readonly toWatch: RingWriter;
  /** Questions of the watch thread. */
  readonly fromWatch: RingReader;
  readonly state: Int32Array;
}

/** The state that is fed from. */
export interface FedState {
  readonly store: Mvcc;
  readonly answers: WatchAnswers;
  /** Makes storage commit soon: watches that begin in the past read from there. */
  readonly requestCommit: () => void;
}

export class WatchFeed {
  readonly #options: WatchFeedOptions;
  #fed: FedState | null = null;
  /** Somebody watches, or may. */
  #on = false;
  /** Events since the last mark are missing in the ring. */
  #missing = false;
  /** Requests to create that were handed on, modulo 2^32. */
  #creates = 0;
  #wantsPrevious = false;
  #markedRevision = 0;
  #markedCompactRevision = -1;
  #unpublished = false;
  readonly #meta: KeyMeta = createKeyMeta();
  #long = new Uint8Array(0);

  constructor(options: WatchFeedOptions) {
    this.#options = options;
  }

  /** Feeds from this state from now on: events between the last one and this one are missing. */
  attach(fed: FedState): void {
    this.#fed = fed;
    this.#missing = true;
  }

  /** True when the watch thread has asked something that was not looked at. */
  get hasQuestions(): boolean {
    return !this.#options.fromWatch.isEmpty();
  }

  /** Answers questions, and sees whether anybody watches still. Returns the number of questions. */
  beginTurn(): number {
    const { state, fromWatch } = this.#options;
    if (this.#on) {
      this.#wantsPrevious = Atomics.load(state, WANTS_PREVIOUS) === 1;
      if (Atomics.load(state, IDLE_AFTER) === this.#creates) this.#on = false;
    }
    return fromWatch.drain(this.#onQuestion, QUERIES_PER_TURN_MAX);
  }

  readonly #onQuestion = (
    _type: number,
    _flags: number,
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void => {
    this.#fed?.answers.answer(id, bytes, start, end);
    this.#unpublished = true;
  };

  /** Hands a request on, behind everything done so far. */
  forward(type: number, streamNumber: number, bytes: Uint8Array, start: number, end: number): void {
    if (type === RecordType.watchCreate) {
      this.#creates = (this.#creates + 1) | 0;
      if (!this.#on) this.#switchOn();
    }
    if (this.#on) this.#mark();
    const { toWatch } = this.#options;
    while (!toWatch.write(type, 0, streamNumber, bytes, start, end)) {
      toWatch.publish(); // or the consumer would never see what fills the ring
      toWatch.waitForRoom(end - start);
    }
    this.#unpublished = true;
  }

  #switchOn(): void {
    this.#on = true;
    if (this.#fed === null || this.#fed.store.revision === this.#markedRevision) return;
    this.#missing = true;
    this.#fed.requestCommit();
  }

  /** A KeyValue of revision `main` was handed to storage; of a tombstone it holds the key alone. */
  event(main: number, tombstone: boolean, bytes: Uint8Array, start: number, end: number): void {
    if (!this.#on || this.#missing) return;
    let prevBytes = 0;
    let flags = tombstone ? WatchEventFlag.tombstone : 0;
    if (this.#wantsPrevious) {
      flags |= WatchEventFlag.prevKnown;
      prevBytes = this.#previous(main, bytes, start);
    }
    const kvBytes = end - start;
    const length = EVENT_HEAD_BYTES + kvBytes + prevBytes;
    const { toWatch } = this.#options;
    const long = length > toWatch.inlineBytesMax;
    const offset = long ? 0 : toWatch.reserve(length);
    if (offset < 0 || length > toWatch.payloadBytesMax) {
      this.#missing = true;
      return;
    }
    if (long) this.#long = new Uint8Array(length);
    const target = long ? this.#long : toWatch.bytes;
    const view = long ? viewOf(target) : toWatch.view;
    view.setFloat64(offset, main, true);
    view.setUint32(offset + 8, flags, true);
    view.setUint32(offset + 12, kvBytes, true);
    copyBytes(bytes, start, end, target, offset + EVENT_HEAD_BYTES);
    if (prevBytes > 0) this.#fed?.store.copyKeyValue(this.#meta, target, offset + EVENT_HEAD_BYTES + kvBytes);
    if (long) this.#missing = !toWatch.write(RecordType.watchEvent, 0, 0, target, 0, length);
    else toWatch.commit(RecordType.watchEvent, 0, 0, length);
    this.#unpublished = true;
  }

  /** Looks up what the key was before revision `main`; its length, 0 if it was not. */
  #previous(main: number, bytes: Uint8Array, start: number): number {
    const store = this.#fed?.store;
    if (store === undefined) return 0;
    // Field 1 of both forms is the key.
    let length = bytes[start + 1];
    if (length >= 0x80) length = longLength(bytes, start + 1);
    const keyStart = start + 1 + varintBytes(length);
    const found = store.lookup(bytes, keyStart, keyStart + length, main - 1, this.#meta);
    return found ? this.#meta.encodedBytes : 0;
  }

  /** The events since the last mark end with those of a sampled request, the entry `index`: the watch thread is to say what became of them. */
  traced(index: number, context: Uint8Array, sentMs: number): void {
    if (!this.#on || this.#missing) return;
    const { toWatch } = this.#options;
    const offset = toWatch.reserve(TRACE_PREFIX_BYTES);
    if (offset < 0) return;
    writePrefix(toWatch.bytes, offset, context, sentMs);
    toWatch.commit(RecordType.traced, FLAG_TRACED, index, TRACE_PREFIX_BYTES);
    this.#unpublished = true;
  }

  /** The end of a batch: everything up to the store's revision was sent, or is marked as missing. */
  endBatch(): void {
    if (this.#on) this.#mark();
    if (!this.#unpublished) return;
    this.#unpublished = false;
    this.#options.toWatch.publish();
  }

  /** Says how far the store is, unless the watch thread knows. */
  #mark(): void {
    if (this.#fed === null) return;
    const { store } = this.#fed;
    const { revision, compactRevision } = store;
    const known = revision === this.#markedRevision && compactRevision === this.#markedCompactRevision;
    if (known && !this.#missing) return;
    const { toWatch } = this.#options;
    let offset = toWatch.reserve(MARK_BYTES);
    while (offset < 0) {
      toWatch.publish();
      toWatch.waitForRoom(MARK_BYTES);
      offset = toWatch.reserve(MARK_BYTES);
    }
    toWatch.view.setFloat64(offset, revision, true);
    toWatch.view.setFloat64(offset + 8, compactRevision, true);
    toWatch.view.setUint32(offset + 16, this.#missing ? 0 : 1, true);
    toWatch.commit(RecordType.watchMark, 0, 0, MARK_BYTES);
    this.#markedRevision = revision;
    this.#markedCompactRevision = compactRevision;
    this.#missing = false;
    this.#unpublished = true;
  }
}

function longLength(bytes: Uint8Array, at: number): number {
  let length = 0;
  for (let scale = 1; ; scale *= 0x80) {
    const byte = bytes[at++];
    length += (byte & 0x7f) * scale;
    if (byte < 0x80) return length;
  }
}

/** Hands revisions on to storage, and to those who watch. */
export class WatchedSink implements RevisionSink {
  readonly #storage: RevisionSink;
  readonly #feed: WatchFeed;

  constructor(storage: RevisionSink, feed: WatchFeed) {
    this.#storage = storage;
    this.#feed = feed;
  }

  putRevision(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void {
    this.#storage.putRevision(main, sub, bytes, start, end);
    this.#feed.event(main, false, bytes, start, end);
  }

  putTombstone(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void {
    this.#storage.putTombstone(main, sub, bytes, start, end);
    this.#feed.event(main, true, bytes, start, end);
  }

  deleteRevision(main: number, sub: number, tombstone: boolean): void {
    this.#storage.deleteRevision(main, sub, tombstone);
  }
}
