/** A linearizable read that waits: for leadership to be confirmed, or for room in the apply ring. */
export interface WaitingRead {
  readonly requestId: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  /** The read context it was asked under. */
  readonly context: number;
  /** It may be answered once this index is applied; -1 = leadership is not confirmed yet. */
  index: number;
}

/** Waiting reads in order of arrival. Most reads never get here: one voter confirms at once. */
export class ReadQueue {
  #reads: WaitingRead[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#reads.length === 0;
  }

  /** The payload is copied. */
  push(
    context: number,
    flags: number,
    requestId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    this.#reads.push({ requestId, flags, payload: bytes.slice(start, end), context, index: -1 });
    this.#bytes += end - start;
  }

  /** Leadership is confirmed for all reads up to `context`: they may follow `index`. */
  confirm(context: number, index: number): void {
    for (const read of this.#reads) {
      if (read.context > context) return;
      if (read.index < 0) read.index = index;
    }
  }

  /** The oldest read if it may be answered once `appliedIndex` is applied. */
  firstReady(appliedIndex: number): WaitingRead | null {
    const read = this.#reads[0];
    return read !== undefined && read.index >= 0 && read.index <= appliedIndex ? read : null;
  }

  shift(): void {
    this.#bytes -= this.#reads.shift()?.payload.length ?? 0;
  }

  /** The client went away. */
  cancel(requestId: number): void {
    const at = this.#reads.findIndex((read) => read.requestId === requestId);
    if (at < 0) return;
    this.#bytes -= this.#reads[at].payload.length;
    this.#reads.splice(at, 1);
  }
}
