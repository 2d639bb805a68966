/**
 * Runs long answers a slice at a time, in turns. At most STREAMS_ACTIVE_MAX are in production; the others wait in the order
 * they came, holding nothing but their pinned revision and their request.
 */
import { ErrorId } from "../base/errors.ts";
import type { ResponseSink } from "./apply-interfaces.ts";
import { SORT_BYTES_MAX, STREAMS_ACTIVE_MAX, STREAMS_QUEUED_MAX } from "./apply-limits.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import { JobState, type StreamJob } from "./range-job.ts";

export class StreamScheduler {
  readonly #sink: ResponseSink;
  readonly #active: StreamJob[] = [];
  readonly #queued: StreamJob[] = [];
  readonly #byRequest = new Map<number, StreamJob>();
  readonly #scratch = new ByteBuffer();
  /** Sort memory of all active jobs. */
  #sortBytes = 0;
  /** Whose turn it is. */
  #turn = 0;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** Number of answers in production or waiting for it. */
  get pending(): number {
    return this.#byRequest.size;
  }

  add(job: StreamJob): void {
    if (this.#queued.length >= STREAMS_QUEUED_MAX) {
      job.close();
      this.#sink.fail(job.requestId, ErrorId.requestTooManyRequests);
      return;
    }
    this.#byRequest.set(job.requestId, job);
    this.#queued.push(job);
    this.#activate();
  }

  addCredit(requestId: number, bytes: number): void {
    this.#byRequest.get(requestId)?.addCredit(bytes);
  }

  cancel(requestId: number): void {
    const job = this.#byRequest.get(requestId);
    if (job === undefined) return;
    const queuedAt = this.#queued.indexOf(job);
    if (queuedAt >= 0) {
      this.#queued.splice(queuedAt, 1);
      this.#byRequest.delete(requestId);
      job.close();
    } else this.#finish(this.#active.indexOf(job));
  }

  /** One slice of the next job that can go on. False: none can before credit, room or a request comes. */
  runSlice(): boolean {
    for (let tried = this.#active.length; tried > 0; tried--) {
      if (this.#turn >= this.#active.length) this.#turn = 0;
      const state = (this.#active[this.#turn]).runSlice(this.#sink, this.#scratch);
      if (state === JobState.done) this.#finish(this.#turn);
      else this.#turn++;
      if (state !== JobState.waiting) return true;
    }
    return false;
  }

  #finish(at: number): void {
    const [job] = this.#active.splice(at, 1) as [StreamJob];
    if (at < this.#turn) this.#turn--;
    this.#byRequest.delete(job.requestId);
    this.#sortBytes -= job.sortBytes;
    job.close();
    this.#activate();
  }

  /** Fills free places with the first in the queue whose sort memory there is. */
  #activate(): void {
    for (let i = 0; i < this.#queued.length && this.#active.length < STREAMS_ACTIVE_MAX; ) {
      const job = this.#queued[i];
      if (job.sortBytes > 0 && this.#sortBytes > 0 && this.#sortBytes + job.sortBytes > SORT_BYTES_MAX) {
        i++;
        continue;
      }
      this.#queued.splice(i, 1);
      this.#active.push(job);
      this.#sortBytes += job.sortBytes;
      job.start();
    }
  }
}
