/**
 * The loop of the storage thread: what apply has done, from the ring into the backend's open transaction, committed by
 * count or by time.
 *
 * It owns the backend's writer. It commits only where an entry ends (behind an `applied` record), so that each commit is
 * a consistent cut with its consistent index: revisions, leases, auth and the index of the last entry they belong to.
 * Deletions by compaction belong to no entry and may fall on either side of any commit.
 *
 * It never waits for room in its outbound rings: apply may be waiting for room in ours. An acknowledgement that does not
 * fit is replaced by the next one, which says all that it said.
 *
 * An I/O error is thrown from `turn` with the file and the cause; the process ends, and the WAL has everything.
 */
import type { Clock } from "../base/clock.ts";
import { openMeters } from "../base/meters.ts";
import { STORAGE_LAYOUT, type StorageMeters } from "../base/thread-meters.ts";
import { RecordType } from "../ring/record-types.ts";
import type { RingReader, RingWriter } from "../ring/ring.ts";
import { assert } from "../base/assert.ts";
import { type BackendWriter, BUCKETS } from "../mvcc/backend.ts";
import { viewOf } from "../base/bytes.ts";
import type { ChangeTracker } from "./change-tracker.ts";
import type { CommitTracer } from "./commit-tracer.ts";

/** Records taken before the loop looks at the clock again: about a millisecond of work. */
const RECORDS_PER_TURN_MAX = 512;
/** How soon an acknowledgement that found no room is tried again. */
const ACKNOWLEDGE_RETRY_MS = 5;
const ACKNOWLEDGEMENT_BYTES = 32;

export interface StorageLoopOptions {
  readonly backend: BackendWriter;
  /** From apply. */
  readonly inbound: RingReader;
  /** To apply, raft and main: each gets every `committed` record, but for those that a newer one replaced. */
  readonly outbound: readonly RingWriter[];
  /** `--backend-batch-interval`: longest time between a change and its commit. */
  readonly batchIntervalMs: number;
  /** `--backend-batch-limit`: puts and deletes after which the next entry's end commits. */
  readonly batchOpsMax: number;
  /** Follows sampled requests; without, there are none. */
  readonly tracer?: CommitTracer | null;
  /** Measures commits. */
  readonly clock: Clock;
  /** What the backend holds: `recover()`'s. */
  readonly recovered: { readonly consistentIndex: number; readonly term: number; readonly revision: number };
  /** Where it counts; without, nobody reads the counts. */
  readonly meters?: StorageMeters;
}

/** Counters of the loop, for metrics. */
export interface StorageLoopStats {
  commits: number;
  /** Puts and deletes. */
  ops: number;
  allocatedBytes: number;
  inUseBytes: number;
}

export class StorageLoop {
  readonly stats: StorageLoopStats = {
    commits: 0,
    ops: 0,
    allocatedBytes: 0,
    inUseBytes: 0,
  };
  readonly #options: StorageLoopOptions;
  readonly #meters: StorageMeters;
  #backend: BackendWriter;
  /** Notes changes for a copy of the database; null while there is none. */
  #tracker: ChangeTracker | null = null;
  /** What the next commit holds: the newest `applied` record. */
  #consistentIndex: number;
  #term: number;
  #revision: number;
  /** Puts and deletes since the last commit. */
  #opsPending = 0;
  /** Something is to be committed. */
  #dirty = false;
  /** Changes of an entry have come whose `applied` record has not. */
  #insideEntry = false;
  #flushToken = 0;
  #flushRequested = false;
  /** When what is pending must be committed. */
  #dueMs = Infinity;
  #nowMs = 0;
  #taken = 0;
  /** By outbound ring: an acknowledgement has to be written. */
  #unacknowledged: boolean[];
  #acknowledgedIndex: number;
  #acknowledgedRevision: number;
  #acknowledgedToken = 0;

  constructor(options: StorageLoopOptions) {
    this.#options = options;
    this.#meters = options.meters ?? openMeters(STORAGE_LAYOUT);
    this.#backend = options.backend;
    this.#consistentIndex = this.#acknowledgedIndex = options.recovered.consistentIndex;
    this.#term = options.recovered.term;
    this.#revision = this.#acknowledgedRevision = options.recovered.revision;
    // The first turn says what the backend holds already: sizes, for Status, before anything was committed.
    this.#unacknowledged = options.outbound.map(() => true);
    this.#measure();
  }

  /**
   * Takes what the ring holds and commits what is due. Returns how many milliseconds the thread may sleep on its doorbell:
   * 0 when there is more to do, Infinity when nothing is pending.
   * @throws on I/O errors; the loop must not be used after that
   */
  turn(nowMs: number): number {
    this.#nowMs = nowMs;
    this.#taken = this.#options.inbound.drain(this.#handle, RECORDS_PER_TURN_MAX);
    this.#commitIfDue();
    const acknowledged = this.#acknowledge();
    if (this.#taken === RECORDS_PER_TURN_MAX) return 0;
    const sleepMs = this.#dirty && !this.#insideEntry ? Math.max(0, this.#dueMs - nowMs) : Infinity;
    return acknowledged ? sleepMs : Math.min(sleepMs, ACKNOWLEDGE_RETRY_MS);
  }

  /** Commits up to the end of the last whole entry and closes the backend. What came behind it is in the WAL. */
  stop(nowMs: number): void {
    while (this.turn(nowMs) === 0);
    if (this.#dirty && !this.#insideEntry) this.#commit();
    this.#acknowledge();
    this.#backend.close();
  }

  /** Records that the last turn took. */
  get taken(): number {
    return this.#taken;
  }

  /** Consistent index and term of the newest whole entry taken. */
  get consistentIndex(): number {
    return this.#consistentIndex;
  }

  get term(): number {
    return this.#term;
  }

  /** Has `tracker` note every change from now on, or nobody. */
  track(tracker: ChangeTracker | null): void {
    this.#tracker = tracker;
  }

  /** Commits everything taken so far, if that is whole entries: false if it is not, and nothing happens. */
  commitNow(): boolean {
    if (this.#insideEntry) return false;
    if (this.#dirty) this.#commit();
    return true;
  }

  /** Writes the newest acknowledgement into all rings, those that have come to {@link StorageLoopOptions.outbound} since too. */
  announceCommit(): void {
    this.#unacknowledged = this.#options.outbound.map(() => true);
  }

  /**
   * Writes to `next`, which holds all that was committed, from now on, and tells everybody again what that is: what it takes has
   * changed. The backend of before is the caller's again.
   */
  swapBackend(next: BackendWriter): void {
    this.#backend = next;
    this.#tracker = null;
    this.#measure();
    this.announceCommit();
  }

  /** One long-lived handler; `bytes` is borrowed. */
  readonly #handle = (
    type: number,
    _flags: number,
    requestId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void => {
    switch (type) {
      case RecordType.traced:
        this.#options.tracer?.taken(requestId, bytes, start);
        break;
      case RecordType.revisionPut:
      case RecordType.revisionDelete:
        this.#revisionRecord(type, bytes, start, end);
        break;
      case RecordType.bucketPut:
      case RecordType.bucketDelete:
        this.#bucketRecord(type, bytes, start, end);
        break;
      case RecordType.applied:
        this.#applied(requestId, bytes, start);
        break;
      case RecordType.flush:
        // Token 0 only asks for a commit; it must not hide a token that still waits for its own.
        this.#flushToken = Math.max(this.#flushToken, requestId);
        this.#flushRequested = true;
        this.#pending();
        this.#commitIfDue();
        break;
      default:
        assert(false, "record type that storage does not know", type);
    }
  };

  #revisionRecord(type: number, bytes: Uint8Array, start: number, end: number): void {
    const keyEnd = start + 1 + bytes[start];
    const key = bytes.subarray(start + 1, keyEnd);
    this.#opsPending++;
    this.#pending();
    if (type === RecordType.revisionDelete) {
      this.#meters.compactedRevisions.add(1);
      this.#tracker?.noteDeletion(key);
      this.#backend.deleteRevision(key);
      return;
    }
    this.#insideEntry = true;
    this.#backend.putRevision(key, bytes.subarray(keyEnd, end));
  }

  #bucketRecord(type: number, bytes: Uint8Array, start: number, end: number): void {
    const bucket = BUCKETS[bytes[start]];
    assert(bucket !== undefined, "bucket number out of range", bytes[start]);
    const keyStart = start + 3;
    const keyEnd = keyStart + bytes[start + 1] + bytes[start + 2] * 256;
    const key = bytes.subarray(keyStart, keyEnd);
    this.#opsPending++;
    this.#insideEntry = true;
    this.#pending();
    this.#tracker?.noteKey(bucket, key);
    if (type === RecordType.bucketPut) this.#backend.put(bucket, key, bytes.subarray(keyEnd, end));
    else this.#backend.delete(bucket, key);
  }

  #applied(consistentIndex: number, bytes: Uint8Array, start: number): void {
    assert(
      consistentIndex >= this.#consistentIndex,
      "consistent index",
      this.#consistentIndex,
      consistentIndex,
    );
    const view = viewOf(bytes);
    const offset = bytes.byteOffset + start;
    this.#consistentIndex = consistentIndex;
    this.#term = view.getFloat64(offset, true);
    this.#revision = view.getFloat64(offset + 8, true);
    this.#insideEntry = false;
    this.#pending();
    this.#commitIfDue();
  }

  /** Something has come that has to be committed. */
  #pending(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#dueMs = this.#nowMs + this.#options.batchIntervalMs;
  }

  #commitIfDue(): void {
    if (!this.#dirty || this.#insideEntry) return;
    const due =
      this.#flushRequested || this.#opsPending >= this.#options.batchOpsMax || this.#nowMs >= this.#dueMs;
    if (due) this.#commit();
  }

  #commit(): void {
    const { clock, tracer } = this.#options;
    tracer?.commitBegins();
    const before = clock.monotonicMs();
    this.#backend.commit(this.#consistentIndex, this.#term);
    this.#observeCommit(clock.monotonicMs() - before);
    tracer?.committed(this.#consistentIndex);
    this.#tracker?.noteCommit();
    this.#dirty = false;
    this.#dueMs = Infinity;
    this.#opsPending = 0;
    this.#flushRequested = false;
    this.#acknowledgedIndex = this.#consistentIndex;
    this.#acknowledgedRevision = this.#revision;
    this.#acknowledgedToken = this.#flushToken;
    this.#unacknowledged.fill(true);
  }

  #observeCommit(ms: number): void {
    this.stats.commits++;
    this.stats.ops += this.#opsPending;
    this.#meters.commit.observe(ms / 1000);
    this.#meters.commitChanges.observe(this.#opsPending);
    this.#measure();
  }

  #measure(): void {
    const { allocatedBytes, inUseBytes } = this.#backend.size();
    this.stats.allocatedBytes = allocatedBytes;
    this.stats.inUseBytes = inUseBytes;
  }

  /** Writes the newest acknowledgement where it is owed; false if a ring had no room. */
  #acknowledge(): boolean {
    let complete = true;
    for (let i = 0; i < this.#unacknowledged.length; i++) {
      if (!this.#unacknowledged[i]) continue;
      const ring = this.#options.outbound[i];
      const offset = ring.reserve(ACKNOWLEDGEMENT_BYTES);
      if (offset === -1) {
        complete = false;
        continue;
      }
      ring.view.setFloat64(offset, this.#acknowledgedRevision, true);
      ring.view.setFloat64(offset + 8, this.#acknowledgedToken, true);
      ring.view.setFloat64(offset + 16, this.stats.allocatedBytes, true);
      ring.view.setFloat64(offset + 24, this.stats.inUseBytes, true);
      ring.commit(RecordType.committed, 0, this.#acknowledgedIndex, ACKNOWLEDGEMENT_BYTES);
      ring.publish();
      this.#unacknowledged[i] = false;
    }
    return complete;
  }
}
