/**
 * Catching up: the watchers behind read history together, a slice at a time, so that those in sync get their turn in between. A
 * slice begins at the lowest revision that one of them wants (and its stream can pay for), and ends where a revision ends.
 *
 * ```
 *   idle ──begin──▶ reading (done at once, or records come from apply) ──▶ asking for previous values ──▶ sent ──▶ idle
 * ```
 * Who takes part is flagged: a watcher that is cancelled meanwhile loses the flag with its record, and one that is new has none.
 */
import { assert } from "../base/assert.ts";
import type { RingWriter } from "../ring/ring.ts";
import type { Delivery } from "./deliver.ts";
import { EventBatch } from "./event-batch.ts";
import type { EventHistory, HistoryResult } from "./event-history.ts";
import { KeyValueView, modRevisionBytes, writeModRevision } from "./event-view.ts";
import type { EventWindow, WindowEvent } from "./event-window.ts";
import type { ResponseWriter } from "./response-writer.ts";
import {
  CATCH_UP_BYTES_MAX,
  CATCH_UP_RECORDS_MAX,
  CATCH_UP_REVISIONS_MAX,
  RESPONSE_OVERHEAD_BYTES,
  SCRATCH_KEPT_BYTES_MAX,
} from "./watch-limits.ts";
import { PreviousQuery } from "./watch-query.ts";
import type { WatchRegistry } from "./watch-registry.ts";
import { ID_HIGH, ID_LOW, STREAM_NEXT, WATCHER_WORDS } from "./watcher-table.ts";
import { WatcherFlag } from "./watcher-flag.ts";

export interface CatchUpOptions {
  readonly registry: WatchRegistry;
  readonly window: EventWindow;
  readonly delivery: Delivery;
  readonly writer: ResponseWriter;
  /** Questions to apply. */
  readonly toApply: RingWriter;
}

/** What the loop knows of the store. */
export interface StoreProgress {
  /** Every event up to here has come, or is in the history. */
  readonly revision: number;
  readonly compactRevision: number;
  /** Revisions that the history holds. */
  readonly committed: number;
}

type State = "idle" | "reading" | "asking";

export class CatchUp {
  readonly #options: CatchUpOptions;
  readonly #batch: EventBatch;
  #history: EventHistory | null = null;
  #state: State = "idle";
  /** Watchers that take part, as far as they still have the flag. */
  #participants: number[] = [];
  #from = 0;
  readonly #result: HistoryResult = { through: 0, compactRevision: -1 };
  // The slice so far.
  #lastRevision = 0;
  #revisions = 0;
  #records = 0;
  #bytes = 0;
  #buffer = new Uint8Array(CATCH_UP_BYTES_MAX);
  #used = 0;
  readonly #interests: number[] = [];
  readonly #view = new KeyValueView();
  /** Events whose previous value is asked for, and how many of them have been. */
  readonly #unknown: number[] = [];
  #asked = 0;
  readonly #query = new PreviousQuery();
  /** Position in {@link #unknown} of the first event of the question under way. */
  #questionStart = 0;
  /** Number of the newest question; answers to older ones are of no use any more. */
  #question = 0;

  constructor(options: CatchUpOptions) {
    this.#options = options;
    this.#batch = new EventBatch(options.registry, 1);
  }

  /** Whether answers to this question are waited for. */
  isAsked(question: number): boolean {
    return this.#state !== "idle" && question === this.#question;
  }

  /** Something was begun that ends with records from apply. Bytes of the window may be borrowed until then. */
  get isWaiting(): boolean {
    return this.#state !== "idle";
  }

  /** Where older revisions are read from now on; null: nowhere for now. Not while a reading is under way. */
  setHistory(history: EventHistory | null): void {
    this.#history = history;
  }

  /** Storage has committed. */
  committed(): void {
    this.#history?.refresh();
  }

  /** One slice, or the begin of one. False: there is nothing that can be done now. */
  run(store: StoreProgress): boolean {
    if (this.#state !== "idle") return false;
    const { registry, window } = this.#options;
    if (registry.ready.size === 0) return false;
    const canRead = this.#history === null ? 0 : Math.min(store.committed, store.revision);
    const from = this.#choose(store, canRead);
    if (from === Infinity) return false;
    this.#begin(from);
    this.#result.compactRevision = store.compactRevision;
    this.#result.through = from - 1;
    const finished =
      from > window.after ||
      (this.#history as EventHistory).read(from, canRead, this.#visit, this.#result, ++this.#question);
    if (finished) this.#finishReading(store);
    else this.#state = "reading";
    return true;
  }

  /**
   * The lowest revision to read from, Infinity if none can be. On the way those that are overtaken by compaction are cancelled,
   * and those that want nothing of the past any more are in sync again.
   */
  #choose(store: StoreProgress, canRead: number): number {
    const { registry, window } = this.#options;
    const { watchers } = registry;
    let from = Infinity;
    for (const stream of registry.ready) {
      // Credit makes it ready again.
      if (stream.credit <= 0) {
        registry.ready.delete(stream);
        continue;
      }
      for (let watcher = stream.behindHead; watcher !== 0;) {
        const following = watchers.slots.words[watcher * WATCHER_WORDS + STREAM_NEXT];
        const next = watchers.next[watcher];
        if (next < store.compactRevision) this.#cancelCompacted(watcher, store.compactRevision);
        else if (next > store.revision) registry.catchUp(watcher);
        else if (next < from && (next > window.after || next <= canRead)) from = next;
        watcher = following;
      }
    }
    return from;
  }

  #cancelCompacted(watcher: number, compactRevision: number): void {
    const { registry, writer } = this.#options;
    const at = watcher * WATCHER_WORDS;
    const words = registry.watchers.slots.words;
    const watchId = (BigInt(words[at + ID_HIGH]) << 32n) | BigInt(words[at + ID_LOW] >>> 0);
    const stream = registry.streamOf(watcher);
    stream.credit -= RESPONSE_OVERHEAD_BYTES;
    writer.control(stream.number, { watchId, revision: 0, canceled: true, compactRevision });
    registry.setCompacted(watcher);
  }

  #begin(from: number): void {
    const { registry } = this.#options;
    const { watchers } = registry;
    this.#from = from;
    this.#lastRevision = 0;
    this.#revisions = this.#records = this.#bytes = this.#used = 0;
    if (this.#buffer.length > SCRATCH_KEPT_BYTES_MAX) this.#buffer = new Uint8Array(CATCH_UP_BYTES_MAX);
    for (const stream of registry.ready) {
      let watcher = stream.behindHead;
      for (; watcher !== 0; watcher = watchers.slots.words[watcher * WATCHER_WORDS + STREAM_NEXT]) {
        if (watchers.next[watcher] < from) continue;
        watchers.setFlags(watcher, WatcherFlag.inSlice, 0);
        this.#participants.push(watcher);
      }
    }
  }

  /** Goes on where the history ends, if the window has what follows. */
  #readWindow(store: StoreProgress): void {
    const from = this.#result.through + 1;
    if (from <= this.#options.window.after || from > store.revision) return;
    this.#result.through = store.revision;
    this.#options.window.scan(from, (event) => {
      if (event.revision > store.revision) return false;
      if (this.#accept(event.revision)) {
        this.#takeWindowEvent(event, store.compactRevision);
        return true;
      }
      this.#result.through = this.#lastRevision;
      return false;
    });
  }

  /** False: the slice is full, and ends in front of this revision. */
  #accept(revision: number): boolean {
    if (revision !== this.#lastRevision) {
      const full =
        this.#revisions >= CATCH_UP_REVISIONS_MAX ||
        this.#records >= CATCH_UP_RECORDS_MAX ||
        this.#bytes >= CATCH_UP_BYTES_MAX;
      if (full) return false;
      this.#revisions++;
      this.#lastRevision = revision;
    }
    this.#records++;
    return true;
  }

  #takeWindowEvent(event: WindowEvent, compactRevision: number): void {
    if (!this.#match(event.tombstone, event.bytes, event.start, event.end)) return;
    const number = this.#batch.add(event.revision, event.tombstone, event.bytes, event.start, event.end);
    // What compaction has taken away is not told, although it is here by chance: so would apply answer.
    if (event.revision <= compactRevision)
      this.#batch.setPrevious(number, event.bytes, event.prevStart, event.prevStart);
    else if (event.prevKnown) this.#batch.setPrevious(number, event.bytes, event.prevStart, event.prevEnd);
    this.#assign(number);
    this.#bytes += event.prevEnd - event.start;
  }

  /** A record of the history. */
  readonly #visit = (
    revision: number,
    tombstone: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean => {
    if (!this.#accept(revision)) return false;
    if (!this.#match(tombstone, bytes, start, end)) return true;
    const length = end - start + (tombstone ? modRevisionBytes(revision) : 0);
    const at = this.#keep(bytes, start, end, length);
    if (tombstone) writeModRevision(this.#buffer, at + end - start, revision);
    this.#assign(this.#batch.add(revision, tombstone, this.#buffer, at, at + length));
    return true;
  };

  /** Records of a reading that apply does, see {@link EventHistory.read}. */
  onRecord(revision: number, tombstone: boolean, bytes: Uint8Array, start: number, end: number): void {
    assert(this.#state === "reading", "history comes without a reading", this.#state);
    // Apply has the same limits; a slice that is full a little earlier reads the rest again.
    if (this.#result.through >= 0 && !this.#visit(revision, tombstone, bytes, start, end))
      this.#result.through = -1;
  }

  /** The reading that apply does has ended. */
  onRecordsEnd(through: number, store: StoreProgress): void {
    this.#result.through = this.#result.through < 0 ? this.#lastRevision : through;
    this.#result.compactRevision = store.compactRevision;
    this.#finishReading(store);
  }

  /** Whether anybody behind wants it; leaves the interests. */
  #match(tombstone: boolean, bytes: Uint8Array, start: number, end: number): boolean {
    const { registry } = this.#options;
    const interests = this.#interests;
    const view = this.#view;
    view.findKey(bytes, start, end);
    interests.length = 0;
    registry.match(bytes, view.keyStart, view.keyEnd, tombstone, interests);
    for (let i = 0; i < interests.length; i++) if (registry.firstBehind(interests[i]) !== 0) return true;
    return false;
  }

  #assign(event: number): void {
    const { registry } = this.#options;
    let previous = false;
    for (let i = 0; i < this.#interests.length; i++) {
      if (registry.firstBehind(this.#interests[i]) === 0) continue;
      this.#batch.addTo(this.#interests[i], event);
      previous ||= registry.wantsPrevious(this.#interests[i]);
    }
    if (previous && this.#batch.lacksPrevious(event)) this.#unknown.push(event);
  }

  /** Copies `bytes[start, end)` to where `length` bytes are free. What lies in an older, shorter buffer stays valid. */
  #keep(bytes: Uint8Array, start: number, end: number, length: number): number {
    if (this.#used + length > this.#buffer.length) {
      this.#buffer = new Uint8Array(Math.max(this.#buffer.length * 2, length));
      this.#used = 0;
    }
    const at = this.#used;
    this.#buffer.set(bytes.subarray(start, end), at);
    this.#used += length;
    this.#bytes += length;
    return at;
  }

  #finishReading(store: StoreProgress): void {
    // Compaction has taken records away while they were read: whoever needs them is cancelled at the next choice.
    if (this.#result.compactRevision > this.#from) return this.#end(0, store);
    this.#readWindow(store);
    this.#state = "asking";
    if (!this.#ask()) this.#send(store);
  }

  /** Puts the next question for previous values; false if none is left. */
  #ask(): boolean {
    this.#questionStart = this.#asked;
    for (; this.#asked < this.#unknown.length; this.#asked++) {
      const event = this.#unknown[this.#asked];
      if (!this.#query.add(this.#batch.revisions[event] - 1, this.#batch.key(event))) break;
    }
    if (this.#query.isEmpty) return false;
    this.#query.send(this.#options.toApply, ++this.#question);
    return true;
  }

  /** A previous value: position in the question, then the KeyValue in `bytes[start, end)`, borrowed; empty if there is none. */
  onPrevious(position: number, bytes: Uint8Array, start: number, end: number): void {
    const event = this.#unknown[this.#questionStart + position];
    const at = this.#keep(bytes, start, end, end - start);
    this.#batch.setPrevious(event, this.#buffer, at, at + end - start);
  }

  /** All answers to the question have come. */
  onPreviousEnd(store: StoreProgress): void {
    assert(this.#state === "asking", "previous values come without a question", this.#state);
    if (!this.#ask()) this.#send(store);
  }

  #send(store: StoreProgress): void {
    const { through } = this.#result;
    this.#options.delivery.toBehind(store.revision, through, this.#batch);
    this.#end(through, store);
  }

  /** The participants have everything up to `through`. */
  #end(through: number, store: StoreProgress): void {
    const { registry } = this.#options;
    const { watchers } = registry;
    for (let i = 0; i < this.#participants.length; i++) {
      const watcher = this.#participants[i];
      if ((watchers.flags(watcher) & WatcherFlag.inSlice) === 0) continue;
      watchers.setFlags(watcher, 0, WatcherFlag.inSlice);
      if (watchers.next[watcher] > through) continue;
      watchers.next[watcher] = through + 1;
      if (through >= store.revision) registry.catchUp(watcher);
    }
    this.#participants.length = 0;
    this.#batch.clear();
    this.#unknown.length = 0;
    this.#asked = 0;
    this.#result.through = 0;
    this.#state = "idle";
  }

  /** Gives up a slice: what was asked for never comes. */
  abandon(store: StoreProgress): void {
    if (this.#state !== "idle") this.#end(0, store);
  }
}
