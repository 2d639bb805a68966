/**
 * Compaction: the compacted revision moves at once, what lies below it is deleted in slices, and `physical` answers when
 * storage has committed the deletions.
 *
 * meta/scheduledCompactRev is handed over before the deletions and meta/finishedCompactRev behind them, so that whatever
 * storage has committed when the process ends, a restart knows whether to go on.
 */
import { assert } from "../base/assert.ts";
import { ErrorId } from "../base/errors.ts";
import { CompactionView } from "../proto/kv-decode.ts";
import { type ApplyContext, NOT_ANSWERED, sendHeader } from "./apply-context.ts";
import type { BucketSink } from "./apply-interfaces.ts";
import { COMPACT_SLICE_KEYS } from "./apply-limits.ts";

/** Position of `meta` in storage's BUCKETS. */
export const META_BUCKET = 9;

const SCHEDULED_KEY = new TextEncoder().encode("scheduledCompactRev");
const FINISHED_KEY = new TextEncoder().encode("finishedCompactRev");

/** How deletions alternate with rests, for whoever waits for the thread, the disk or the processor. */
export interface CompactionPace {
  /** `--compaction-batch-limit`: keys' worth of work between two rests. */
  readonly batchKeys: number;
  /** `--compaction-sleep-interval`, ms. */
  readonly restMs: number;
}

/** A physical compaction that waits: first for the deletions, then (token > 0) for storage. Or a request that waits for storage alone. */
interface PhysicalWaiter {
  readonly requestId: number;
  token: number;
}

/** Follows compactions, and hashes what they are about to delete before they do. */
export interface CompactionWatcher {
  /** A compaction to `revision` is about to begin. */
  begin(revision: number): void;
  /** A hash is not done: nothing may be deleted. */
  readonly isBusy: boolean;
  /** What the compaction to `revision` deletes is handed over to storage. */
  ended(revision: number, tookMs: number): void;
}

const NO_WATCHER: CompactionWatcher = { begin: () => {}, isBusy: false, ended: () => {} };

export class CompactionApplier {
  readonly #watcher: CompactionWatcher;
  readonly #context: ApplyContext;
  readonly #buckets: BucketSink;
  readonly #view = new CompactionView();
  #waiters: PhysicalWaiter[] = [];
  #running = false;
  #lastToken = 0;
  readonly #pace: CompactionPace | null;
  /** Keys' worth of work until the next rest, and when the one under way ends. */
  #batchLeft: number;
  #restsUntilMs = -Infinity;
  /** Of the newest compaction. */
  #startedMs = 0;
  /** finishedCompactRev was written and nobody has asked since. */
  #ended = false;

  /** @param pace null: after each slice a rest as long as it took */
  constructor(
    context: ApplyContext,
    buckets: BucketSink,
    watcher: CompactionWatcher = NO_WATCHER,
    pace: CompactionPace | null = null,
  ) {
    this.#watcher = watcher;
    this.#pace = pace;
    this.#batchLeft = pace?.batchKeys ?? COMPACT_SLICE_KEYS;
    this.#context = context;
    this.#buckets = buckets;
  }

  /** True while there are deletions that can be done now. */
  get isRunnable(): boolean {
    return this.#hasWork && this.#context.clock.monotonicMs() >= this.#restsUntilMs;
  }

  /** True until the last compaction's deletions are done and, where somebody waits for them, committed. */
  get isUnderWay(): boolean {
    return this.#running || this.#waiters.length > 0;
  }

  /** Milliseconds until {@link isRunnable}; Infinity if there is nothing to delete. */
  restMs(nowMs: number): number {
    return this.#hasWork ? Math.max(0, this.#restsUntilMs - nowMs) : Infinity;
  }

  get #hasWork(): boolean {
    return this.#running && !this.#watcher.isBusy && !this.#context.store.compactionWaitsForCursors;
  }

  /** Goes on with a compaction that an earlier life of the process had scheduled but not finished. */
  resume(): void {
    this.#startedMs = this.#context.clock.monotonicMs();
    this.#running = true;
  }

  /** Applies a committed CompactionRequest; returns the ErrorId that it is answered. */
  apply(bytes: Uint8Array, start: number, end: number, requestId: number): number {
    const { store, sink } = this.#context;
    assert(this.#view.decode(bytes, start, end), "a committed compaction can be decoded");
    const { revision, physical } = this.#view;
    if (revision <= store.compactRevision || revision > store.revision) {
      const error = revision > store.revision ? ErrorId.futureRev : ErrorId.compacted;
      if (requestId !== NOT_ANSWERED) sink.fail(requestId, error);
      return error;
    }
    this.#startedMs = this.#context.clock.monotonicMs();
    this.#watcher.begin(revision);
    store.compact(revision);
    this.#buckets.bucketPut(META_BUCKET, SCHEDULED_KEY, encodeRevision(revision));
    this.#running = true;
    if (requestId === NOT_ANSWERED) return ErrorId.none;
    if (physical) this.#waiters.push({ requestId, token: 0 });
    else sendHeader(this.#context, requestId, store.revision);
    return ErrorId.none;
  }

  /** One slice of deletions. */
  runSlice(): void {
    const { store, meters, clock } = this.#context;
    const beganMs = clock.monotonicMs();
    // A first compaction to 0 succeeds, as in etcd, and there is nothing at 0 to delete.
    const keys = Math.min(COMPACT_SLICE_KEYS, this.#batchLeft);
    const isDone = store.compactRevision <= 0 || store.compactSlice(keys);
    const nowMs = clock.monotonicMs();
    meters.compactionPauseMs.observe(nowMs - beganMs);
    if (!isDone) return this.#rest(keys, beganMs, nowMs);
    const tookMs = nowMs - this.#startedMs;
    meters.compactionMs.observe(tookMs);
    meters.compactionEnded.set(clock.unixMs() / 1000);
    this.#running = false;
    this.#ended = true;
    this.#buckets.bucketPut(META_BUCKET, FINISHED_KEY, encodeRevision(store.compactRevision));
    this.#watcher.ended(store.compactRevision, tookMs);
    if (this.#waiters.every((waiter) => waiter.token > 0)) return;
    const token = this.requestCommit();
    for (const waiter of this.#waiters) {
      if (waiter.token === 0) waiter.token = token;
    }
  }

  #rest(keys: number, beganMs: number, nowMs: number): void {
    this.#batchLeft -= keys;
    if (this.#batchLeft > 0) return;
    this.#batchLeft = this.#pace?.batchKeys ?? COMPACT_SLICE_KEYS;
    this.#restsUntilMs = nowMs + (this.#pace?.restMs ?? nowMs - beganMs);
  }

  /** Answers once storage has committed everything handed over before. */
  waitForCommit(requestId: number): void {
    this.#waiters.push({ requestId, token: this.requestCommit() });
  }

  /** Asks storage to commit. All tokens come from here, as one that is served vouches for all before it. */
  requestCommit(): number {
    const token = ++this.#lastToken;
    this.#buckets.flush(token);
    return token;
  }

  /** True once after a compaction has ended. */
  takeEnded(): boolean {
    const ended = this.#ended;
    this.#ended = false;
    return ended;
  }

  /** Storage has committed everything handed over before `flush(token)`. */
  storageCommitted(token: number): void {
    if (this.#waiters.length === 0) return;
    const done = this.#waiters.filter((waiter) => waiter.token > 0 && waiter.token <= token);
    this.#waiters = this.#waiters.filter((waiter) => waiter.token === 0 || waiter.token > token);
    for (const waiter of done) sendHeader(this.#context, waiter.requestId, this.#context.store.revision);
  }

  /** Ends all requests that wait for a compaction's end. */
  failAll(errorId: number): void {
    for (const { requestId } of this.#waiters) this.#context.sink.fail(requestId, errorId);
    this.#waiters = [];
  }

  cancel(requestId: number): void {
    if (this.#waiters.length > 0)
      this.#waiters = this.#waiters.filter((waiter) => waiter.requestId !== requestId);
  }
}

/** A revision as etcd stores it: u64 big-endian main, `_`, u64 big-endian sub 0. */
function encodeRevision(main: number): Uint8Array {
  const bytes = new Uint8Array(17);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(main / 2 ** 32));
  view.setUint32(4, main >>> 0);
  bytes[8] = 0x5f;
  return bytes;
}
