/**
 * Keeps few the requests of watches that are on their way to the watch thread. Main reads them faster than two threads handle them:
 * without this, a client that asks for 100,000 watches at once has written each ring from end to end, and that memory stays.
 *
 * After so many requests a fence follows them through the rings, and until it is back, no connection is read that sends more of them.
 * By then the rings have been empty, and begin anew at their start. A connection is read in pieces, so that all of them together may
 * be ahead by one piece each.
 */
import type { WatchCall } from "./watch-windows.ts";

/**
 * Requests from one fence to the next. 45 KB in a ring that begins anew after 1 MiB, and 10 ms of the watch thread's time: its way back is
 * little beside that.
 */
export const WATCH_REQUESTS_AHEAD_MAX = 1024;

export class WatchBacklog {
  readonly #sendFence: () => boolean;
  /** Sent since the last fence was. */
  #ahead = 0;
  /** A fence is on its way. */
  #fenced = false;
  #held: WatchCall[] = [];

  /** @param sendFence sends one behind everything sent so far; false if it cannot now */
  constructor(sendFence: () => boolean) {
    this.#sendFence = sendFence;
  }

  /** A request of this call was sent. */
  sent(state: WatchCall): void {
    this.#ahead++;
    if (!this.#fenced && (this.#ahead < WATCH_REQUESTS_AHEAD_MAX || !this.#fence())) return;
    if (state.resume !== null || state.call.pauseReading === undefined) return;
    state.resume = state.call.pauseReading();
    this.#held.push(state);
  }

  /** The fence is back: everything in front of it was handled. */
  passed(): void {
    this.#fenced = false;
    if (this.#ahead === 0 || !this.#fence()) this.release();
  }

  /** Has all connections read again. */
  release(): void {
    const held = this.#held;
    this.#held = [];
    for (const state of held) {
      const { resume } = state;
      state.resume = null;
      resume?.();
    }
  }

  #fence(): boolean {
    this.#fenced = this.#sendFence();
    if (this.#fenced) this.#ahead = 0;
    return this.#fenced;
  }
}
