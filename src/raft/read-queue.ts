/** A linearizable read that waits: for leadership to be confirmed, or for room in the apply ring. */
export interface WaitingRead {
  readonly requestId: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  /** The read context it was asked under. */
  readonly context: number;
  /** It may be answered once this index is applied; -1 = leadership is not confirmed yet. */
  index: number;
  /** The client went away: it is passed over. */
  isCancelled: boolean;
}

/** Places that may be empty, in front or in the middle, before the queue is made anew; beyond, half of them may be. */
const EMPTY_PLACES_MIN = 1024;

/**
 * Waiting reads in order of arrival. Without a leader there can be hundreds of thousands, and whatever is done with one of them
 * must not look at the others: the raft thread has no time for that.
 */
export class ReadQueue {
  /** Those before `#first` are gone (null). Contexts ascend. */
  #reads: (WaitingRead | null)[] = [];
  #first = 0;
  /** All reads before this place are confirmed, all behind it are not. */
  #unconfirmed = 0;
  /** Cancelled reads from `#first` on. */
  #cancelled = 0;
  /** Request ids ascend, as they do where main hands them out. */
  #isAscending = true;
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#reads.length - this.#first === this.#cancelled;
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
    if (this.isEmpty) this.#clear();
    const last = this.#reads.at(-1);
    if (last !== undefined && last !== null && last.requestId >= requestId) this.#isAscending = false;
    const payload = bytes.slice(start, end);
    this.#reads.push({ requestId, flags, payload, context, index: -1, isCancelled: false });
    this.#bytes += end - start;
  }

  /** Leadership is confirmed for all reads up to `context`: they may follow `index`. */
  confirm(context: number, index: number): void {
    for (; this.#unconfirmed < this.#reads.length; this.#unconfirmed++) {
      const read = this.#at(this.#unconfirmed);
      if (read.context > context) return;
      read.index = index;
    }
  }

  /** The oldest read if it may be answered once `appliedIndex` is applied. */
  firstReady(appliedIndex: number): WaitingRead | null {
    while (this.#cancelled > 0 && this.#at(this.#first).isCancelled) {
      this.#cancelled--;
      this.#drop();
    }
    if (this.#first === this.#reads.length) return null;
    const read = this.#at(this.#first);
    return read.index >= 0 && read.index <= appliedIndex ? read : null;
  }

  /** Takes out the read that {@link firstReady} gave. */
  shift(): void {
    this.#bytes -= this.#at(this.#first).payload.length;
    this.#drop();
  }

  /** The client went away. */
  cancel(requestId: number): void {
    const at = this.#find(requestId);
    if (at < 0) return;
    const read = this.#at(at);
    if (read.isCancelled) return;
    read.isCancelled = true;
    this.#cancelled++;
    this.#bytes -= read.payload.length;
    if (this.isEmpty) this.#clear();
    else this.#tidy();
  }

  #at(place: number): WaitingRead {
    return this.#reads[place] as WaitingRead;
  }

  #find(requestId: number): number {
    if (!this.#isAscending)
      return this.#reads.findIndex((read) => read !== null && read.requestId === requestId);
    let low = this.#first;
    let high = this.#reads.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#at(middle).requestId < requestId) low = middle + 1;
      else high = middle;
    }
    return low < this.#reads.length && this.#at(low).requestId === requestId ? low : -1;
  }

  #drop(): void {
    this.#reads[this.#first] = null;
    this.#first++;
    this.#unconfirmed = Math.max(this.#unconfirmed, this.#first);
    if (this.#first === this.#reads.length) this.#clear();
    else this.#tidy();
  }

  /** Makes the queue anew once half of it is empty: an operation costs a constant on average, and what is gone holds no memory. */
  #tidy(): void {
    const empty = this.#first + this.#cancelled;
    if (empty < EMPTY_PLACES_MIN || empty * 2 < this.#reads.length) return;
    this.#reads = this.#reads.filter((read) => read !== null && !read.isCancelled);
    this.#first = this.#cancelled = 0;
    const at = this.#reads.findIndex((read) => read !== null && read.index < 0);
    this.#unconfirmed = at < 0 ? this.#reads.length : at;
  }

  #clear(): void {
    this.#reads.length = 0;
    this.#first = this.#unconfirmed = this.#cancelled = 0;
    this.#isAscending = true;
  }
}
