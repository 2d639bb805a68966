import type { Call } from "../grpc/service.ts";
import { STREAM_CREDIT_FIRST, STREAM_CREDIT_MAX, STREAM_CREDIT_TOTAL } from "../watch/watch-limits.ts";

/** An open Watch call. */
export interface WatchCall {
  readonly number: number;
  readonly call: Call;
  /** It has ended; what still comes for its number is dropped. */
  closed: boolean;
  /** Bytes of responses that may be under way or wait for the client. */
  window: number;
  /** Bytes received for which the watch thread has no credit back. */
  owed: number;
  /** In the list of those to look at. */
  touched: boolean;
  /** Has its connection read again, while too many requests wait (`watch-backlog.ts`); null while it is read. */
  resume: (() => void) | null;
}

/** Returns false if the credit could not be sent now. */
export type SendStreamCredit = (number: number, bytes: number) => boolean;

/**
 * How much each Watch call may be sent. Credit goes back when the client has taken everything, and a quarter of the window is owed:
 * few records, and never an end of credit for a client that reads. A window doubles when half of it was used at once, as long
 * as all together stay within their limit.
 */
export class WatchWindows {
  readonly #sendCredit: SendStreamCredit;
  #touched: WatchCall[] = [];
  #total = 0;

  constructor(sendCredit: SendStreamCredit) {
    this.#sendCredit = sendCredit;
  }

  open(number: number, call: Call): WatchCall {
    this.#total += STREAM_CREDIT_FIRST;
    const window = STREAM_CREDIT_FIRST;
    return { number, call, closed: false, window, owed: 0, touched: false, resume: null };
  }

  close(state: WatchCall): void {
    this.#total -= state.window;
  }

  /** A response that costs so much was handed to the call. */
  received(state: WatchCall, bytes: number): void {
    state.owed += bytes;
    if (state.touched || state.owed * 4 < state.window) return;
    state.touched = true;
    // After the flush that ends this batch: then it shows what the client takes.
    if (this.#touched.push(state) === 1) setImmediate(this.#settle);
  }

  /** The client has taken everything. */
  drained(state: WatchCall): void {
    if (!state.closed) this.#credit(state);
  }

  readonly #settle = (): void => {
    const touched = this.#touched;
    this.#touched = [];
    for (const state of touched) {
      state.touched = false;
      if (!state.closed && state.call.pendingBytes() === 0) this.#credit(state);
    }
  };

  #credit(state: WatchCall): void {
    if (state.owed * 4 < state.window) return;
    const room = Math.min(STREAM_CREDIT_MAX - state.window, STREAM_CREDIT_TOTAL - this.#total);
    const growth = state.owed * 2 >= state.window ? Math.max(0, Math.min(state.window, room)) : 0;
    if (!this.#sendCredit(state.number, state.owed + growth)) return;
    state.owed = 0;
    state.window += growth;
    this.#total += growth;
  }
}
