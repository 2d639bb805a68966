/**
 * Runs long answers a slice at a time, in turns:
 *
 * ```
 *   queued ──place free──▶ active ──credit used up──▶ stalled
 *                            ▲ └──────▶ done              │
 *                            └──────────credit────────────┘
 * ```
 * An answer that is stalled takes no turn and no place among the active: a client that does not read holds up nobody else.
 */
import { ErrorId } from "../base/errors.ts";
import type { ResponseSink } from "./apply-interfaces.ts";
import { LONG_ANSWER_SLICES, SORT_BYTES_MAX, STREAMS_ACTIVE_MAX, STREAMS_MAX } from "./apply-limits.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import { JobState, type StreamJob } from "./range-job.ts";

export class StreamScheduler {
  readonly #sink: ResponseSink;
  readonly #active: StreamJob[] = [];
  readonly #queued: StreamJob[] = [];
  readonly #stalled = new Set<StreamJob>();
  readonly #byRequest = new Map<number, StreamJob>();
  readonly #scratch = new ByteBuffer();
  /** Sort memory of all jobs that have begun. */
  #sortBytes = 0;
  /** Whose turn it is. */
  #turn = 0;
  #ranLong = false;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** Number of answers in production or waiting for it. */
  get pending(): number {
    return this.#byRequest.size;
  }

  /** The last slice was one of a long answer's. */
  get ranLong(): boolean {
    return this.#ranLong;
  }

  add(job: StreamJob): void {
    if (this.#byRequest.size >= STREAMS_MAX) {
      job.close();
      this.#sink.fail(job.requestId, ErrorId.requestTooManyRequests);
      return;
    }
    this.#byRequest.set(job.requestId, job);
    this.#queued.push(job);
    this.#activate();
  }

  addCredit(requestId: number, bytes: number): void {
    const job = this.#byRequest.get(requestId);
    if (job === undefined) return;
    job.addCredit(bytes);
    // It has begun: it goes on beside those that have a place, or their places would be its clients' to keep.
    if (this.#stalled.delete(job)) this.#active.push(job);
  }

  cancel(requestId: number): void {
    const job = this.#byRequest.get(requestId);
    if (job === undefined) return;
    const queuedAt = this.#queued.indexOf(job);
    if (queuedAt >= 0) {
      this.#queued.splice(queuedAt, 1);
      this.#byRequest.delete(requestId);
      job.close();
      return;
    }
    const activeAt = this.#active.indexOf(job);
    if (activeAt >= 0) this.#leave(activeAt);
    this.#end(job);
  }

  /** Ends all answers with an error: the state that they read is given up. */
  failAll(errorId: number): void {
    for (const job of this.#byRequest.values()) {
      job.close();
      this.#sink.fail(job.requestId, errorId);
    }
    this.#byRequest.clear();
    this.#stalled.clear();
    this.#active.length = 0;
    this.#queued.length = 0;
    this.#sortBytes = 0;
  }

  /** One slice of the next job that can go on. False: none can before credit, room or a request comes. */
  runSlice(): boolean {
    this.#ranLong = false;
    for (let tried = this.#active.length; tried > 0; tried--) {
      if (this.#turn >= this.#active.length) this.#turn = 0;
      const job = this.#active[this.#turn];
      const state = job.runSlice(this.#sink, this.#scratch);
      if (state === JobState.stalled) {
        this.#leave(this.#turn);
        this.#stalled.add(job);
        tried += this.#activate();
        continue;
      }
      if (state === JobState.done) {
        this.#leave(this.#turn);
        this.#end(job);
      } else this.#turn++;
      if (state === JobState.waiting) continue;
      this.#ranLong = ++job.slices > LONG_ANSWER_SLICES;
      return true;
    }
    return false;
  }

  #leave(at: number): void {
    this.#active.splice(at, 1);
    if (at < this.#turn) this.#turn--;
  }

  #end(job: StreamJob): void {
    this.#stalled.delete(job);
    this.#byRequest.delete(job.requestId);
    this.#sortBytes -= job.sortBytes;
    job.close();
    this.#activate();
  }

  /** Fills free places with the first in the queue whose sort memory there is. Returns how many. */
  #activate(): number {
    let begun = 0;
    for (let i = 0; i < this.#queued.length && this.#active.length < STREAMS_ACTIVE_MAX;) {
      const job = this.#queued[i];
      if (job.sortBytes > 0 && this.#sortBytes > 0 && this.#sortBytes + job.sortBytes > SORT_BYTES_MAX) {
        i++;
        continue;
      }
      this.#queued.splice(i, 1);
      this.#active.push(job);
      this.#sortBytes += job.sortBytes;
      job.start();
      begun++;
    }
    return begun;
  }
}
