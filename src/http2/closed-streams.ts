/** How the last streams ended, so that frames that come late for one are told from frames that are wrong. */
import { CLOSED_STREAMS_REMEMBERED } from "./limits.ts";

/** Not among the last CLOSED_STREAMS_REMEMBERED. */
export const ENDED_UNKNOWN = 0;
/** Both sides ended it, or the client reset it: it knows that nothing may follow. */
export const ENDED_BY_CLIENT = 1;
/** We reset it: what the client had sent by then may still come, and is ignored. */
export const ENDED_BY_RESET = 2;

export class ClosedStreams {
  readonly #ids = new Int32Array(CLOSED_STREAMS_REMEMBERED);
  readonly #ends = new Uint8Array(CLOSED_STREAMS_REMEMBERED);
  #next = 0;

  remember(streamId: number, end: number): void {
    const slot = this.#next++ & (CLOSED_STREAMS_REMEMBERED - 1);
    this.#ids[slot] = streamId;
    this.#ends[slot] = end;
  }

  /** One of the `ENDED_` numbers. */
  endOf(streamId: number): number {
    const slot = this.#ids.lastIndexOf(streamId);
    return slot < 0 ? ENDED_UNKNOWN : this.#ends[slot];
  }
}
