/**
 * HashKV requests, and Hash beside them: each waits until storage holds what it hashes, then reads the backend in slices beside everything else.
 * The keep set and the backend's snapshot are taken in the same moment, so that no compaction comes between.
 */

import { ErrorId } from "../base/errors.ts";
import { KeepFilter, type KeepSet } from "../mvcc/hash-kv.ts";
import type { Mvcc } from "../mvcc/mvcc.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { WireReader } from "../proto/wire.ts";
import type { ResponseSink } from "./apply-interfaces.ts";

/** HashKV requests in progress; more are refused. */
export const HASH_JOBS_MAX = 16;
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
  /** Opens a scan over what storage has committed by now. `keeps` is asked in ascending order; null = everything counts. */
  readonly openScan: (keep: KeepSet, keeps: ((main: number, sub: number) => boolean) | null) => HashScan;
  /** Opens a scan over all buckets as storage has committed them by now; without, Hash is not served. */
  readonly openWholeScan?: () => HashScan;
  /** Response header at the current revision and term. */
  readonly header: () => MessageBuilder;
  /** Makes storage commit soon. */
  readonly requestCommit: () => void;
}

interface Job {
  readonly requestId: number;
  readonly revision: number;
  /** Null before the scan is open, and for a hash of all buckets. */
  keep: KeepSet | null;
  scan: HashScan | null;
}

export class HashKvJobs {
  readonly #options: HashKvJobsOptions;
  readonly #reader = new WireReader();
  #jobs: Job[] = [];
  #committedRevision: number;

  /** @param committedRevision what storage holds at start */
  constructor(options: HashKvJobsOptions, committedRevision: number) {
    this.#options = options;
    this.#committedRevision = committedRevision;
  }

  /** HashKVRequest {1 revision} in `bytes[start, end)`. */
  request(requestId: number, bytes: Uint8Array, start: number, end: number): void {
    const { store, responses } = this.#options;
    const asked = this.#decode(bytes, start, end);
    if (asked > 0 && asked < store.compactRevision) return responses.fail(requestId, ErrorId.compacted);
    if (asked > store.revision) return responses.fail(requestId, ErrorId.futureRev);
    if (this.#jobs.length >= HASH_JOBS_MAX) return responses.fail(requestId, ErrorId.requestTooManyRequests);
    const revision = asked <= 0 ? store.revision : asked;
    this.#jobs.push({ requestId, revision, keep: null, scan: null });
    if (this.#committedRevision < revision) this.#options.requestCommit();
  }

  /** Hashes all buckets, as storage has committed them by now. */
  requestWhole(requestId: number): void {
    const { responses, openWholeScan } = this.#options;
    if (openWholeScan === undefined) return responses.fail(requestId, ErrorId.notCapable);
    if (this.#jobs.length >= HASH_JOBS_MAX) return responses.fail(requestId, ErrorId.requestTooManyRequests);
    this.#jobs.push({ requestId, revision: 0, keep: null, scan: openWholeScan() });
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
      this.#options.responses.fail(requestId, errorId);
    }
  }

  /** One slice of the oldest job that can go on; false if there is none. */
  runSlice(): boolean {
    const job = this.#jobs.find((each) => each.revision <= this.#committedRevision);
    if (job === undefined) return false;
    if (job.scan === null) this.#begin(job);
    else if (job.scan.step(RECORDS_PER_SLICE)) this.#finish(job, job.scan);
    return true;
  }

  #begin(job: Job): void {
    const { store, responses, openScan } = this.#options;
    if (job.revision < store.compactRevision) {
      this.cancel(job.requestId);
      responses.fail(job.requestId, ErrorId.compacted);
      return;
    }
    const keep = store.hashKeepSet(job.revision);
    const filter = new KeepFilter(keep);
    job.keep = keep;
    job.scan = openScan(keep, keep.anyLive ? (main, sub) => filter.includes(main, sub) : null);
  }

  /** HashKVResponse {1 header, 2 hash, 3 compact_revision, 4 hash_revision}, or the beginning of it: HashResponse. */
  #finish(job: Job, scan: HashScan): void {
    const { responses, header } = this.#options;
    this.cancel(job.requestId);
    const builder = new MessageBuilder().message(1, header()).number(2, scan.hash);
    if (job.keep !== null) builder.uint64(3, BigInt(job.keep.compactRevision)).number(4, job.revision);
    const answer = builder.finish();
    responses.respond(job.requestId, answer, 0, answer.length);
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
