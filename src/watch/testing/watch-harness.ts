/**
 * The watch loop with everything around it in one thread: a real store and apply's feed in front, a database in memory that
 * commits when told to, and clients that read or do not. Checks every response against a naive history.
 */
import assert from "node:assert/strict";
import { fromBinary } from "@bufbuild/protobuf";
import { WatchAnswers } from "../../apply/watch-answers.ts";
import { WatchedSink, WatchFeed } from "../../apply/watch-feed.ts";
import { Prng } from "../../base/prng.ts";
import { createMvccStore } from "../../mvcc/mvcc.ts";
import { type WatchResponse, WatchResponseSchema } from "../../proto/gen/rpc_pb.ts";
import { MemoryRing } from "../../ring/memory-ring.ts";
import { RecordType, WatchAnswerKind } from "../../ring/record-types.ts";
import type { RecordHandler } from "../../ring/ring.ts";
import { openMemoryBackend } from "../../storage/memory-backend.ts";
import { META_SCHEDULED_COMPACT_REV } from "../../storage/meta-keys.ts";
import { readCompactRevision } from "../../storage/recover.ts";
import { writeRevisionKey } from "../../storage/revision-key.ts";
import { DirectSink } from "../../storage/revision-sink.ts";
import { DatabaseHistory } from "../event-history.ts";
import { RESPONSE_OVERHEAD_BYTES, SHARED_COPIES_BYTES_MAX, STREAM_CREDIT_FIRST } from "../watch-limits.ts";
import { WATCH_STATE_BYTES } from "../watch-state.ts";
import { WatchLoop } from "../watch.ts";
import { AskedHistory } from "../watch-query.ts";

/** A ring of which the consumer runs when the producer waits. */
class YieldingRing extends MemoryRing {
  onWait: () => void = () => {};
  override waitForRoom(): void {
    this.publish();
    this.onWait();
  }
}

export interface HarnessOptions {
  readonly seed: number;
  /** No storage thread: history comes through apply. */
  readonly inMemory?: boolean;
  /** Small rings lose events, which then come from history. */
  readonly eventRingBytes?: number;
  readonly fragmentBytes?: number;
  readonly progressIntervalMs?: number;
}

/** One response, whole, with what is in the header. */
export interface Received {
  readonly stream: number;
  readonly headerRevision: number;
  readonly response: WatchResponse;
}

export class WatchHarness {
  readonly toWatch: YieldingRing;
  readonly toMain = new YieldingRing(1 << 22);
  readonly #credits = new MemoryRing(1 << 16);
  readonly #committed = new MemoryRing(1 << 16);
  readonly #questions = new MemoryRing(1 << 20);
  readonly #backend = openMemoryBackend();
  readonly #reader = this.#backend.reader();
  readonly #sink = new DirectSink(this.#backend);
  readonly feed: WatchFeed;
  readonly store;
  readonly loop: WatchLoop;
  readonly #inMemory: boolean;
  #fed = true;
  #index = 0;
  nowMs = 0;
  /** Taken out by tests. */
  received: Received[] = [];
  readonly #owed = new Map<number, number>();
  #long: { stream: number; revision: number; length: number; body: number[] } | null = null;
  readonly closed: number[] = [];
  /** For each fence that came back, how many responses were in front of it since the last {@link take}. */
  readonly fences: number[] = [];
  /** Records of events that went to main. */
  shared = 0;

  constructor(options: HarnessOptions) {
    this.#inMemory = options.inMemory === true;
    this.toWatch = new YieldingRing(options.eventRingBytes ?? 1 << 20);
    this.toWatch.onWait = () => this.loop.turn(this.nowMs);
    this.toMain.onWait = () => this.#drainMain();
    const state = new Int32Array(new SharedArrayBuffer(WATCH_STATE_BYTES));
    this.feed = new WatchFeed({ toWatch: this.toWatch, fromWatch: this.#questions, state });
    const watched = new WatchedSink(this.#sink, this.feed);
    const sink = this.#sink;
    const isFed = (): boolean => this.#fed;
    this.store = createMvccStore({
      source: this.#reader,
      sink: {
        putRevision: (...args) => (isFed() ? watched : sink).putRevision(...args),
        putTombstone: (...args) => (isFed() ? watched : sink).putTombstone(...args),
        deleteRevision: (...args) => sink.deleteRevision(...args),
      },
      valueBytesMax: 1 << 20,
    });
    this.#attach();
    this.loop = new WatchLoop({
      fromApply: this.toWatch,
      fromMain: this.#credits,
      fromStorage: this.#inMemory ? null : this.#committed,
      toMain: this.toMain,
      toApply: this.#questions,
      state,
      committed: 1,
      fragmentBytes: options.fragmentBytes ?? 2 << 20,
      progressIntervalMs: options.progressIntervalMs ?? 600_000,
      prng: new Prng(options.seed),
    });
    this.loop.setHistory(
      this.#inMemory
        ? new AskedHistory(this.#questions)
        : new DatabaseHistory(this.#reader, readCompactRevision),
    );
  }

  #attach(): void {
    const answers = new WatchAnswers({ store: this.store, reader: this.#reader, toWatch: this.toWatch });
    this.feed.attach({ store: this.store, answers, requestCommit: () => {} });
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.store.put(key, 0, key.length, value, 0, value.length, 0, 0);
  }

  /** One write txn. Outside of {@link batch} nothing is published. */
  txn(change: () => void): void {
    this.store.beginTxn();
    change();
    this.store.endTxn();
  }

  compact(revision: number): void {
    this.store.compact(revision);
    const key = new Uint8Array(17);
    writeRevisionKey(key, 0, revision, 0, false);
    this.#sink.put("meta", META_SCHEDULED_COMPACT_REV, key);
  }

  /** Removes what is compacted. */
  compactAll(): void {
    while (!this.store.compactSlice(100));
  }

  /** What apply does in one turn: questions first, then `work`, then the mark. */
  batch(work: () => void = () => {}): void {
    this.feed.beginTurn();
    work();
    this.#sink.applied(++this.#index, 1, this.store.revision);
    this.feed.endBatch();
    if (this.#inMemory) this.commit();
  }

  /** Storage commits everything so far. */
  commit(): void {
    this.#sink.publish();
    this.store.committed(this.store.revision);
    if (this.#inMemory) return;
    const payload = new Uint8Array(32);
    new DataView(payload.buffer).setFloat64(0, this.store.revision, true);
    if (this.#committed.write(RecordType.committed, 0, this.#index, payload, 0, 32))
      this.#committed.publish();
  }

  /** A snapshot brings a state that has changes nobody was told of. */
  install(work: () => void): void {
    this.#fed = false;
    work();
    this.#fed = true;
    this.loop.abandonQuestion();
    this.#attach();
    this.batch();
    this.commit();
  }

  request(type: number, stream: number, payload: Uint8Array = new Uint8Array(0)): void {
    this.feed.forward(type, stream, payload, 0, payload.length);
  }

  create(stream: number, request: Uint8Array, reason = ""): void {
    const text = new TextEncoder().encode(reason);
    const payload = new Uint8Array(2 + text.length + request.length);
    payload[0] = text.length;
    payload.set(text, 2);
    payload.set(request, 2 + text.length);
    this.request(RecordType.watchCreate, stream, payload);
  }

  cancel(stream: number, watchId: bigint): void {
    const payload = new Uint8Array(8);
    new DataView(payload.buffer).setBigInt64(0, watchId, true);
    this.request(RecordType.watchCancel, stream, payload);
  }

  /** One turn of the watch thread, and main takes what it sent. */
  turn(): boolean {
    const worked = this.loop.turn(this.nowMs);
    this.#drainMain();
    return worked;
  }

  /** Everything that can happen without new writes and new reading happens. */
  settle(): void {
    for (let idle = 0; idle < 2;) {
      this.batch();
      idle = this.turn() ? 0 : idle + 1;
    }
  }

  /** The client of a stream takes all that waits for it. */
  read(stream: number): void {
    const owed = this.#owed.get(stream) ?? 0;
    if (owed === 0) return;
    this.#owed.set(stream, 0);
    const payload = new Uint8Array(4);
    new DataView(payload.buffer).setInt32(0, owed, true);
    assert.ok(this.#credits.write(RecordType.credit, 0, stream, payload, 0, 4));
    this.#credits.publish();
  }

  /** Bytes that wait for the client of a stream. */
  waiting(stream: number): number {
    return this.#owed.get(stream) ?? 0;
  }

  take(): Received[] {
    const received = this.received;
    this.received = [];
    return received;
  }

  #drainMain(): void {
    while (this.toMain.drain(this.#onMain, 1000) > 0);
  }

  readonly #onMain: RecordHandler = (type, _flags, id, bytes, start, end) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset + start, end - start);
    if (type === RecordType.watchEvents) this.#onShared(view, bytes.slice(start, end));
    else this.#onAnswer(id, view, bytes.slice(start, end));
  };

  #onShared(view: DataView, payload: Uint8Array): void {
    const targets = view.getUint32(8, true);
    const eventBytes = view.getUint32(12, true);
    const events = payload.subarray(16 + targets * 12);
    assert.equal(events.length, eventBytes);
    const copies = targets * (eventBytes + RESPONSE_OVERHEAD_BYTES);
    assert.ok(targets === 1 || copies <= SHARED_COPIES_BYTES_MAX, `a record of ${copies} bytes of copies`);
    this.shared++;
    const response = fromBinary(WatchResponseSchema, events);
    for (let i = 0; i < targets; i++) {
      const at = 16 + i * 12;
      const watchId = (BigInt(view.getInt32(at + 8, true)) << 32n) | BigInt(view.getUint32(at + 4, true));
      const stream = view.getUint32(at, true);
      this.#receive(stream, view.getFloat64(0, true), { ...response, watchId }, eventBytes);
    }
  }

  #onAnswer(stream: number, view: DataView, payload: Uint8Array): void {
    const kind = payload[0];
    if (kind === WatchAnswerKind.fence) this.fences.push(this.received.length);
    else if (kind === WatchAnswerKind.closed) {
      this.closed.push(stream);
      this.#owed.delete(stream);
    } else if (kind === WatchAnswerKind.message) {
      this.#receive(
        stream,
        view.getFloat64(1, true),
        fromBinary(WatchResponseSchema, payload.subarray(9)),
        0,
      );
    } else if (kind === WatchAnswerKind.longHead) {
      assert.equal(this.#long, null);
      const [revision, length] = [view.getFloat64(1, true), view.getFloat64(9, true)];
      this.#long = { stream, revision, length, body: [] };
    } else this.#onLongData(stream, payload.subarray(1));
  }

  #onLongData(stream: number, data: Uint8Array): void {
    const long = this.#long;
    assert.ok(long !== null && long.stream === stream);
    for (const byte of data) long.body.push(byte);
    if (long.body.length < long.length) return;
    this.#long = null;
    const response = fromBinary(WatchResponseSchema, Uint8Array.from(long.body));
    this.#receive(stream, long.revision, response, long.length);
  }

  #receive(stream: number, headerRevision: number, response: WatchResponse, bytes: number): void {
    this.received.push({ stream, headerRevision, response });
    this.#owed.set(stream, this.waiting(stream) + bytes + RESPONSE_OVERHEAD_BYTES);
    assert.ok(this.waiting(stream) < STREAM_CREDIT_FIRST + (4 << 20), "a stream gets more than its window");
  }
}
