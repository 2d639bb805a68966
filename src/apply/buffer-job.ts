/** A long answer that is whole in memory already, because it cannot be produced later: a txn's. */
import type { ResponseSink } from "./apply-interfaces.ts";
import { SLICE_BYTES } from "./apply-limits.ts";
import { JobState, type StreamJob } from "./range-job.ts";

export class BufferJob implements StreamJob {
  readonly requestId: number;
  readonly sortBytes = 0;
  slices = 0;
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #position = 0;
  #credit = 0;
  #started = false;

  /** Takes ownership of `bytes`; the answer is `bytes[0, end)`. */
  constructor(requestId: number, bytes: Uint8Array, end: number) {
    this.requestId = requestId;
    this.#bytes = bytes;
    this.#end = end;
  }

  start(): void {}
  close(): void {}

  addCredit(bytes: number): void {
    this.#credit += bytes;
  }

  runSlice(sink: ResponseSink): number {
    if (!sink.hasRoom(SLICE_BYTES)) return JobState.waiting;
    if (!this.#started) sink.streamHead(this.requestId, this.#end);
    this.#started = true;
    if (this.#credit <= 0) return JobState.stalled;
    const to = Math.min(this.#position + Math.min(SLICE_BYTES, this.#credit), this.#end);
    sink.streamData(this.requestId, this.#bytes, this.#position, to);
    this.#credit -= to - this.#position;
    this.#position = to;
    return to === this.#end ? JobState.done : JobState.runnable;
  }
}
