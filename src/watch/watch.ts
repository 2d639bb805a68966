/**
 * The loop of the watch thread, against interfaces so that a simulation can run it. It owns who watches what, how far each watcher
 * is, and the newest events; it never decides what the state is: events and revisions come from apply, older ones from storage.
 *
 * ```
 *            events, marks, requests                          ┌▶ in sync: each revision at once ──┐
 *   apply ──────────────────────────▶ window of new events ───┤                                   ├──▶ main, by stream
 *   storage ── committed ──▶ history (database) ──────────────└▶ behind: slices of up to 1 ms ────┘
 * ```
 *
 * Order it guarantees, by watcher: `created` first; then every event once, ascending; a revision whole in one response (or its
 * fragments); progress only when nothing up to its revision is missing. A stream whose client does not read runs out of credit: its
 * watchers fall behind and read history later; nothing is kept for them.
 *
 * Blocking: it waits for room towards main, which never blocks, and towards apply only with one question under way. Apply never
 * waits for it with events: what finds no room in the ring is left out, and marked.
 *
 * Read next: `watch-registry.ts` and `watcher-table.ts` (who watches what), `range-table.ts` (from a key to its watchers),
 * `deliver.ts`, `catch-up.ts`, `event-window.ts`, `progress.ts`; apply's side is `src/apply/watch-feed.ts`, main's `src/server/watch.ts`.
 */
import { assert } from "../base/assert.ts";
import { viewOf } from "../base/bytes.ts";
import type { Prng } from "../base/prng.ts";
import type { WatchMeters } from "../base/thread-meters.ts";
import { RecordType, WatchEventFlag, WatchQueryKind } from "../ring/record-types.ts";
import type { RingReader, RingWriter } from "../ring/ring.ts";
import { type SpanReporter, SpanCode, contextAt } from "../ring/trace.ts";
import { CatchUp, type StoreProgress } from "./catch-up.ts";
import { decodeCreate, isEmptyRange } from "./create-request.ts";
import { Delivery } from "./deliver.ts";
import { EventBatch } from "./event-batch.ts";
import type { EventHistory } from "./event-history.ts";
import { KeyValueView } from "./event-view.ts";
import { EventWindow } from "./event-window.ts";
import { Progress } from "./progress.ts";
import { NO_WATCH_ID, ResponseWriter } from "./response-writer.ts";
import { RECORDS_PER_TURN_MAX, RESPONSE_OVERHEAD_BYTES } from "./watch-limits.ts";
import { WatchRegistry } from "./watch-registry.ts";
import { WatchStateWord } from "./watch-state.ts";
import { WatchStream } from "./watch-stream.ts";
import { WatcherFlag } from "./watcher-flag.ts";

const EMPTY_RANGE = "mvcc: watcher range is empty";
const DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream";
const COMPACTED = "etcdserver: mvcc: required revision has been compacted";
/** Payload of a `watchEvent` in front of the KeyValue. */
const EVENT_HEAD_BYTES = 16;

export interface WatchLoopOptions {
  /** Events, marks, requests and answers to questions. */
  readonly fromApply: RingReader;
  /** Credits. */
  readonly fromMain: RingReader;
  /** `committed` records; null in memory mode, where apply's revision is readable at once. */
  readonly fromStorage: RingReader | null;
  readonly toMain: RingWriter;
  /** Questions. */
  readonly toApply: RingWriter;
  /** Words that apply reads, see {@link WatchStateWord}. */
  readonly state: Int32Array;
  /** Revisions that storage holds at start. */
  readonly committed: number;
  /** A response this long is split for watchers that want it: `--max-request-bytes` and gRPC's overhead. */
  readonly fragmentBytes: number;
  /** `--watch-progress-notify-interval` */
  readonly progressIntervalMs: number;
  readonly prng: Prng;
  /** Where it counts; without, it does not. */
  readonly meters?: WatchMeters;
  /** Follows sampled requests; without, there are none. */
  readonly spans?: SpanReporter | null;
}

/** Counters, for metrics. */
export interface WatchStats {
  readonly streams: number;
  readonly watchers: number;
  readonly behind: number;
  readonly events: number;
  readonly windowBytes: number;
}

export class WatchLoop implements StoreProgress {
  readonly #options: WatchLoopOptions;
  readonly #registry: WatchRegistry;
  readonly #writer: ResponseWriter;
  readonly #delivery: Delivery;
  readonly #window = new EventWindow();
  readonly #catchUp: CatchUp;
  readonly #progress: Progress;
  readonly #view = new KeyValueView();
  readonly #interests: number[] = [];
  /** Events of the revision that apply is in the middle of sending. */
  readonly #batch: EventBatch;
  /** That revision; 0 = none. */
  #open = 0;
  /** Trace context of the sampled request that made it; null if none did. */
  #openContext: Uint8Array | null = null;
  #revision = 0;
  #compactRevision = -1;
  #committed: number;
  /** Requests to create that were handled, modulo 2^32. */
  #creates = 0;
  #nowMs = 0;

  constructor(options: WatchLoopOptions) {
    this.#options = options;
    this.#committed = options.committed;
    this.#registry = new WatchRegistry(options.prng.nextUint32() | 0);
    this.#writer = new ResponseWriter(options.toMain);
    this.#delivery = new Delivery(this.#registry, this.#writer, options.fragmentBytes);
    this.#batch = new EventBatch(this.#registry, 0);
    this.#catchUp = new CatchUp({
      registry: this.#registry,
      window: this.#window,
      delivery: this.#delivery,
      writer: this.#writer,
      toApply: options.toApply,
    });
    this.#progress = new Progress({
      registry: this.#registry,
      writer: this.#writer,
      intervalMs: options.progressIntervalMs,
      prng: options.prng,
    });
  }

  get revision(): number {
    return this.#revision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  get committed(): number {
    return this.#options.fromStorage === null ? this.#revision : this.#committed;
  }

  get stats(): WatchStats {
    return {
      streams: this.#registry.streamCount,
      watchers: this.#registry.watchers.size,
      behind: this.#registry.behind,
      events: this.#writer.events,
      windowBytes: this.#window.bytes,
    };
  }

  /** Where older revisions are read from; null while a snapshot takes the database's place. Between two turns only. */
  setHistory(history: EventHistory | null): void {
    this.#catchUp.setHistory(history);
  }

  /** The state that apply was asked about is given up: its answers never come. Between two turns only. */
  abandonQuestion(): void {
    this.#catchUp.abandon(this);
  }

  /** One round over all rings and one slice of catching up. Returns false when there was nothing to do. */
  turn(nowMs: number): boolean {
    const { fromApply, fromMain, fromStorage } = this.#options;
    this.#nowMs = nowMs;
    let records = fromStorage?.drain(this.#onRecord, RECORDS_PER_TURN_MAX) ?? 0;
    records += fromMain.drain(this.#onRecord, RECORDS_PER_TURN_MAX);
    records += fromApply.drain(this.#onRecord, RECORDS_PER_TURN_MAX);
    this.#progress.tick(nowMs, this.#revision);
    const sliced = this.#catchUp.run(this);
    // A slice under way may borrow what the window holds.
    if (!this.#catchUp.isWaiting) {
      this.#window.trim(this.committed);
      if (this.#registry.isSparse) this.#registry.rebuild();
    }
    this.#writer.publish();
    const isBusy = records > 0 || sliced;
    if (isBusy) this.#count();
    return isBusy;
  }

  #count(): void {
    const { meters } = this.#options;
    if (meters === undefined) return;
    meters.streams.set(this.#registry.streamCount);
    meters.watchers.set(this.#registry.watchers.size);
    meters.behind.set(this.#registry.behind);
    meters.events.set(this.#writer.events);
  }

  /** True when no ring holds anything: the thread may sleep, unless {@link turn} said otherwise. */
  inboxesEmpty(): boolean {
    const { fromApply, fromMain, fromStorage } = this.#options;
    return fromApply.isEmpty() && fromMain.isEmpty() && (fromStorage?.isEmpty() ?? true);
  }

  /** Milliseconds until there is something to do although no ring has anything. */
  sleepMs(nowMs: number): number {
    return this.#progress.sleepMs(nowMs);
  }

  readonly #onRecord = (
    type: number,
    _flags: number,
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void => {
    switch (type) {
      case RecordType.watchEvent:
        return this.#onEvent(bytes, start, end);
      case RecordType.watchMark:
        return this.#onMark(bytes, start);
      case RecordType.traced:
        return this.#onTraced(bytes, start);
      case RecordType.credit:
        return this.#onCredit(id, viewOf(bytes).getInt32(bytes.byteOffset + start, true));
      case RecordType.committed:
        this.#committed = Math.max(this.#committed, viewOf(bytes).getFloat64(bytes.byteOffset + start, true));
        this.#catchUp.committed();
        return;
      case RecordType.watchFound:
        if (this.#catchUp.isAsked(id)) this.#onFound(bytes, start, end);
        return;
      default:
        return this.#onRequest(type, id, bytes, start, end);
    }
  };

  // Events

  #onEvent(bytes: Uint8Array, start: number, end: number): void {
    const view = viewOf(bytes);
    const at = bytes.byteOffset + start;
    const revision = view.getFloat64(at, true);
    const flags = view.getUint32(at + 8, true);
    const kvStart = start + EVENT_HEAD_BYTES;
    const kvEnd = kvStart + view.getUint32(at + 12, true);
    if (revision !== this.#open) {
      this.#closeRevision();
      this.#open = revision;
    }
    const event = this.#window.add(revision, flags, bytes, kvStart, kvEnd, end);
    const number = this.#batch.add(revision, event.tombstone, event.bytes, event.start, event.end);
    if ((flags & WatchEventFlag.prevKnown) !== 0)
      this.#batch.setPrevious(number, event.bytes, event.prevStart, event.prevEnd);
  }

  /** All events of the open revision have come: those in sync get them. */
  #closeRevision(): void {
    const revision = this.#open;
    if (revision === 0) return;
    this.#open = 0;
    const { spans } = this.#options;
    const context = this.#openContext;
    const startMs = context === null || !spans ? 0 : spans.nowMs();
    const events = this.#batch.length;
    assert(revision > this.#revision, "events out of order", revision, this.#revision);
    this.#revision = revision;
    const batch = this.#batch;
    if (batch.length === 1) {
      this.#match(0);
      this.#delivery.oneToSynced(revision, batch, this.#interests);
    } else {
      for (let event = 0; event < batch.length; event++) {
        this.#match(event);
        for (let i = 0; i < this.#interests.length; i++) batch.addTo(this.#interests[i], event);
      }
      this.#delivery.toSynced(revision, batch);
    }
    batch.clear();
    if (context === null || !spans) return;
    this.#openContext = null;
    spans.report(SpanCode.watchDeliver, context, startMs, spans.nowMs(), events);
  }

  /** The events of the open revision are all here, and of a sampled request. */
  #onTraced(bytes: Uint8Array, start: number): void {
    if (this.#open === 0 || !this.#options.spans) return;
    this.#options.spans.reportWait(SpanCode.ringApplyToWatch, bytes, start);
    this.#openContext = contextAt(bytes, start);
  }

  #match(event: number): void {
    const batch = this.#batch;
    this.#interests.length = 0;
    const view = this.#view;
    const bytes = batch.bytes(event);
    view.findKey(bytes, batch.start(event), batch.end(event));
    this.#registry.match(bytes, view.keyStart, view.keyEnd, batch.isTombstone(event), this.#interests);
  }

  #onMark(bytes: Uint8Array, start: number): void {
    const view = viewOf(bytes);
    const at = bytes.byteOffset + start;
    const revision = view.getFloat64(at, true);
    this.#compactRevision = Math.max(this.#compactRevision, view.getFloat64(at + 8, true));
    if (view.getUint32(at + 16, true) === 1) {
      this.#closeRevision();
      assert(revision === this.#revision, "a mark that is not at the last event", revision, this.#revision);
      return;
    }
    // Events are missing, of the open revision perhaps too: everybody reads from behind the last whole one.
    this.#batch.clear();
    this.#open = 0;
    this.#openContext = null;
    if (revision > this.#revision && this.#revision > 0) this.#registry.allFallBehind(this.#revision + 1);
    this.#window.reset(revision);
    this.#revision = revision;
  }

  #onCredit(streamNumber: number, bytes: number): void {
    const stream = this.#registry.stream(streamNumber);
    if (stream === null) return;
    stream.credit += bytes;
    if (stream.credit > 0) this.#registry.credited(stream);
  }

  #onFound(bytes: Uint8Array, start: number, end: number): void {
    const view = viewOf(bytes);
    const at = bytes.byteOffset + start + 2;
    const kind = bytes[start];
    const last = bytes[start + 1] === 1;
    if (kind === WatchQueryKind.previous) {
      if (last) this.#catchUp.onPreviousEnd(this);
      else this.#catchUp.onPrevious(view.getUint32(at, true), bytes, start + 6, end);
    } else if (last) this.#catchUp.onRecordsEnd(view.getFloat64(at, true), this);
    else {
      const tombstone = (view.getUint32(at + 8, true) & WatchEventFlag.tombstone) !== 0;
      const kvStart = start + 2 + EVENT_HEAD_BYTES;
      this.#catchUp.onRecord(view.getFloat64(at, true), tombstone, bytes, kvStart, end);
    }
  }

  // Requests

  #onRequest(type: number, streamNumber: number, bytes: Uint8Array, start: number, end: number): void {
    // Requests stand behind whole revisions only.
    this.#closeRevision();
    switch (type) {
      case RecordType.watchCreate:
        this.#creates = (this.#creates + 1) | 0;
        this.#create(this.#obtainStream(streamNumber), bytes, start, end);
        break;
      case RecordType.watchCancel:
        this.#cancel(streamNumber, bytes, start);
        break;
      case RecordType.watchProgress: {
        const stream = this.#registry.stream(streamNumber);
        if (stream !== null) this.#progress.request(stream, this.#revision);
        break;
      }
      case RecordType.watchClose:
        this.#close(streamNumber);
        break;
      case RecordType.watchFence:
        this.#writer.fence();
        break;
      default:
        assert(false, "unexpected record in watch", type);
    }
    this.#tellApply();
  }

  #obtainStream(number: number): WatchStream {
    const known = this.#registry.stream(number);
    if (known !== null) return known;
    const stream = new WatchStream(number);
    this.#registry.addStream(stream);
    return stream;
  }

  #create(stream: WatchStream, bytes: Uint8Array, start: number, end: number): void {
    const reasonEnd = start + 2 + (bytes[start] | (bytes[start + 1] << 8));
    const request = decodeCreate(bytes, reasonEnd, end);
    assert(request !== null, "main has checked the request to create a watch");
    const { key, end: rangeEnd, startRevision } = request;
    if (startRevision < 0) return this.#refuse(stream, COMPACTED);
    if (reasonEnd > start + 2)
      return this.#refuse(stream, decodeText(new Uint8Array(bytes.subarray(start + 2, reasonEnd))));
    if (isEmptyRange(key, rangeEnd)) return this.#refuse(stream, EMPTY_RANGE);
    let { idLow, idHigh } = request;
    const { watchers } = this.#registry;
    if ((idLow | idHigh) === 0) {
      // Ids that the server chooses stay below 2^31.
      while (watchers.find(stream.number, stream.nextId, 0) !== 0) stream.nextId++;
      idLow = stream.nextId++;
    } else if (watchers.find(stream.number, idLow, idHigh) !== 0) return this.#refuse(stream, DUPLICATE_ID);
    const future = startRevision > this.#revision;
    const flags = request.flags | (future ? WatcherFlag.future : 0);
    const next = startRevision === 0 ? this.#revision + 1 : startRevision;
    const watcher = this.#registry.create(stream, { idLow, idHigh, key, end: rangeEnd, flags, next });
    stream.credit -= RESPONSE_OVERHEAD_BYTES;
    this.#writer.answer(stream.number, idLow, idHigh, this.#revision, "created");
    if (next <= this.#revision) this.#registry.fallBehind(watcher, next);
    if ((flags & WatcherFlag.progress) !== 0) this.#progress.add(stream, this.#nowMs);
  }

  #refuse(stream: WatchStream, reason: string): void {
    stream.credit -= RESPONSE_OVERHEAD_BYTES;
    this.#writer.control(stream.number, {
      watchId: NO_WATCH_ID,
      revision: this.#revision,
      created: true,
      canceled: true,
      reason,
    });
  }

  #cancel(streamNumber: number, bytes: Uint8Array, start: number): void {
    const view = viewOf(bytes);
    const at = bytes.byteOffset + start;
    const idLow = view.getInt32(at, true);
    const idHigh = view.getInt32(at + 4, true);
    const stream = this.#registry.stream(streamNumber);
    const watcher = stream === null ? 0 : this.#registry.watchers.find(streamNumber, idLow, idHigh);
    if (stream === null || watcher === 0) return;
    this.#registry.remove(watcher);
    if (stream.progressWatchers === 0) this.#progress.remove(stream);
    stream.credit -= RESPONSE_OVERHEAD_BYTES;
    this.#writer.answer(streamNumber, idLow, idHigh, this.#revision, "canceled");
  }

  #close(streamNumber: number): void {
    const stream = this.#registry.stream(streamNumber);
    if (stream !== null) {
      this.#registry.removeStream(stream);
      this.#progress.remove(stream);
    }
    this.#writer.closed(streamNumber);
  }

  /** The words that apply reads. */
  #tellApply(): void {
    const { state } = this.#options;
    const previous = this.#registry.previousWanted > 0 ? 1 : 0;
    if (state[WatchStateWord.wantsPrevious] !== previous)
      Atomics.store(state, WatchStateWord.wantsPrevious, previous);
    if (this.#registry.watchers.size === 0) Atomics.store(state, WatchStateWord.idleAfter, this.#creates);
  }
}

function decodeText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
