/**
 * HashKV requests, and Hash beside them: each waits until storage holds what it hashes, then reads the backend in slices beside everything else.
 * The keep set and the backend's snapshot are taken in the same moment, so that no compaction comes between.
 */

import type { Clock } from "../base/clock.ts";
import { ErrorId } from "../base/errors.ts";
import type { ApplyMeters } from "../base/thread-meters.ts";
import { KeepFilter, type KeepSet } from "../mvcc/hash-kv.ts";
import type { Mvcc } from "../mvcc/mvcc.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { WireReader } from "../proto/wire.ts";
import type { ResponseSink } from "./apply-interfaces.ts";

/** HashKV requests in progress; more are refused. */
export const HASH_JOBS_MAX = 16;
/**
 * Compactions that are hashed or wait for it; those that come while there are so many are not hashed, and nobody compares them. Each
 * holds what it keeps of every key until its turn.
 */
export const COMPACTION_HASHES_MAX = 2;
/** Records of one slice: about a millisecond. */
const RECORDS_PER_SLICE = 1000;

/** One walk over a snapshot of bucket `key`. */
export interface HashScan {
  /** True when all records are hashed. */
  step(recordsMax: number): boolean;
  readonly hash: number;
  close(): void;
}

export interface HashKvJobsOptions {
  readonly store: Mvcc;
  readonly responses: ResponseSink;
  /** Opens a scan over what storage has committed by now. `keeps` is asked in ascending order. */
  readonly openScan: (keep: KeepSet, keeps: (main: number, sub: number) => boolean) => HashScan;
  /** Scans have no snapshot of their own but see what is committed meanwhile (memory mode): nothing may be deleted beside one. */
  readonly scansSeeChanges?: boolean;
  /** Opens a scan over all buckets as storage has committed them by now; without, Hash is not served. */
  readonly openWholeScan?: () => HashScan;
  /** A compaction was hashed. */
  readonly onCompactionHash?: (hash: StoredHash) => void;
  /** Response header at the current revision and term. */
  readonly header: () => MessageBuilder;
  /** Makes storage commit soon. */
  readonly requestCommit: () => void;
  /** How long hashes took goes there; without, nowhere. */
  readonly timing?: { readonly meters: ApplyMeters; readonly clock: Clock };
}

/** What a compaction had computed, by the revision that it was to. */
export interface StoredHash {
  readonly revision: number;
  /** Compacted revision before. */
  readonly compactRevision: number;
  readonly hash: number;
}

/** Hashes of compactions that are kept; etcd's number. */
const STORED_HASHES_MAX = 10;
/** Request id of a compaction's hash: its answer is kept. */
const COMPACTION = -2;

interface Job {
  readonly requestId: number;
  readonly revision: number;
  /** Null before the scan is open, and for a hash of all buckets. */
  keep: KeepSet | null;
  scan: HashScan | null;
  readonly startedMs: number;
}

export class HashKvJobs {
  readonly #options: HashKvJobsOptions;
  readonly #reader = new WireReader();
  #jobs: Job[] = [];
  /** Oldest first. */
  #stored: StoredHash[] = [];
  #committedRevision: number;

  /** @param committedRevision what storage holds at start */
  constructor(options: HashKvJobsOptions, committedRevision: number) {
    this.#options = options;
    this.#committedRevision = committedRevision;
  }

  /**
   * A compaction to `revision` is about to begin: hashes the data as others see it that have not compacted yet. As long as
   * {@link isBusy}, nothing may be deleted. Not when {@link COMPACTION_HASHES_MAX} are under way.
   */
  begin(revision: number): void {
    const { store, requestCommit } = this.#options;
    if (this.#jobs.filter(isOfCompaction).length >= COMPACTION_HASHES_MAX) return;
    this.#jobs.push({
      requestId: COMPACTION,
      revision,
      keep: store.hashKeepSet(revision),
      scan: null,
      startedMs: this.#now(),
    });
    if (this.#committedRevision < revision) requestCommit();
  }

  get isBusy(): boolean {
    const { scansSeeChanges = false } = this.#options;
    return this.#jobs.some((job) => isOfCompaction(job) || (scansSeeChanges && job.scan !== null));
  }

  /** HashKVRequest {1 revision} in `bytes[start, end)`. */
  request(requestId: number, bytes: Uint8Array, start: number, end: number): void {
    const { store, responses } = this.#options;
    const asked = this.#decode(bytes, start, end);
    const stored = this.#stored.find((each) => each.revision === asked);
    if (stored !== undefined) return this.#answer(requestId, stored);
    if (asked > 0 && asked < store.compactRevision) return responses.fail(requestId, ErrorId.compacted);
    if (asked > store.revision) return responses.fail(requestId, ErrorId.futureRev);
    if (this.#jobs.length >= HASH_JOBS_MAX) return responses.fail(requestId, ErrorId.requestTooManyRequests);
    const revision = asked <= 0 ? store.revision : asked;
    this.#jobs.push({ requestId, revision, keep: null, scan: null, startedMs: this.#now() });
    if (this.#committedRevision < revision) this.#options.requestCommit();
  }

  /** Hashes all buckets, as storage has committed them by now. */
  requestWhole(requestId: number): void {
    const { responses, openWholeScan } = this.#options;
    if (openWholeScan === undefined) return responses.fail(requestId, ErrorId.notCapable);
    if (this.#jobs.length >= HASH_JOBS_MAX) return responses.fail(requestId, ErrorId.requestTooManyRequests);
    this.#jobs.push({ requestId, revision: 0, keep: null, scan: openWholeScan(), startedMs: this.#now() });
  }

  /** Storage holds everything up to `revision`. */
  committed(revision: number): void {
    this.#committedRevision = Math.max(this.#committedRevision, revision);
  }

  cancel(requestId: number): void {
    this.#jobs = this.#jobs.filter((job) => {
      if (job.requestId !== requestId) return true;
      job.scan?.close();
      return false;
    });
  }

  /** Ends all requests with an error: the state that they read is given up. */
  failAll(errorId: number): void {
    const jobs = this.#jobs;
    this.#jobs = [];
    for (const { requestId, scan } of jobs) {
      scan?.close();
      if (requestId !== COMPACTION) this.#options.responses.fail(requestId, errorId);
    }
  }

  /** One slice of the oldest job that can go on; false if there is none. */
  runSlice(): boolean {
    const job = this.#jobs.find((each) => each.revision <= this.#committedRevision);
    if (job === undefined) return false;
    // The first step takes the snapshot: a turn later a compaction could have deleted what the keep set still counts on.
    if (job.scan === null) this.#begin(job);
    if (job.scan?.step(RECORDS_PER_SLICE) === true) this.#finish(job, job.scan);
    return true;
  }

  #begin(job: Job): void {
    const { store, responses, openScan } = this.#options;
    if (job.keep === null && job.revision < store.compactRevision) {
      this.cancel(job.requestId);
      responses.fail(job.requestId, ErrorId.compacted);
      return;
    }
    const keep = job.keep ?? store.hashKeepSet(job.revision);
    const filter = new KeepFilter(keep);
    job.keep = keep;
    job.scan = openScan(keep, (main, sub) => filter.includes(main, sub));
  }

  #finish(job: Job, scan: HashScan): void {
    const { responses, header } = this.#options;
    const { requestId, revision, keep } = job;
    scan.close();
    this.#jobs = this.#jobs.filter((each) => each !== job);
    this.#observe(job);
    const hash = { revision, compactRevision: keep?.compactRevision ?? -1, hash: scan.hash };
    if (requestId === COMPACTION) return this.#store(hash);
    if (keep !== null) return this.#answer(requestId, hash);
    const answer = new MessageBuilder().message(1, header()).number(2, scan.hash).finish();
    responses.respond(requestId, answer, 0, answer.length);
  }

  #now(): number {
    return this.#options.timing?.clock.monotonicMs() ?? 0;
  }

  #observe({ keep, startedMs }: Job): void {
    const meters = this.#options.timing?.meters;
    (keep === null ? meters?.hash : meters?.hashRevision)?.observe((this.#now() - startedMs) / 1000);
  }

  #store(hash: StoredHash): void {
    this.#stored = [...this.#stored, hash].slice(-STORED_HASHES_MAX);
    this.#options.onCompactionHash?.(hash);
  }

  /** HashKVResponse {1 header, 2 hash, 3 compact_revision, 4 hash_revision}. HashResponse is the beginning of it. */
  #answer(requestId: number, { revision, compactRevision, hash }: StoredHash): void {
    const { responses, header } = this.#options;
    const answer = new MessageBuilder()
      .message(1, header())
      .number(2, hash)
      .uint64(3, BigInt(compactRevision))
      .number(4, revision)
      .finish();
    responses.respond(requestId, answer, 0, answer.length);
  }

  #decode(bytes: Uint8Array, start: number, end: number): number {
    const reader = this.#reader;
    let revision = 0;
    reader.reset(bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x08) revision = reader.int64();
      else reader.skip(tag);
    }
    return revision;
  }
}

function isOfCompaction({ requestId }: Job): boolean {
  return requestId === COMPACTION;
}
