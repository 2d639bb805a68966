/**
 * When the calls of one connection go on to their handlers, so that answers which nobody reads stay few. Reading the socket
 * cannot simply stop: the client's WINDOW_UPDATE frames, which let answers leave, come on it too. So a request whose method
 * is paced is parked, whole, while
 *
 *  - much of what was answered has not left yet, or
 *  - the calls in progress may, by the size of recent answers, fill that room.
 *
 * A client that reads its answers never meets this below a thousand long answers at once.
 */
import type { OutputQueue } from "../http2/output-queue.ts";
import type { Sender } from "../http2/sender.ts";

/** Unsent bytes of a connection (DATA that waits, and output) above which its paced calls are parked. */
const UNSENT_BYTES_HIGH = 8_388_608;
/** Answers that the paced calls in progress are expected to bring, in bytes. */
const EXPECTED_BYTES_MAX = 8_388_608;
/** Paced calls in progress, however short their answers were so far: the next ones may be long. */
const IN_PROGRESS_MAX = 1_024;
/** Longest answer assumed; longer ones come in parts, as flow control allows. Also what is assumed before the first answer. */
const ANSWER_BYTES_MAX = 65_536;

/** Parked calls of all connections of a transport. Beyond, requests are refused with "too many requests". */
export const PARKED_CALLS_MAX = 65_536;
/** Their messages. */
export const PARKED_BYTES_MAX = 67_108_864;

/** What all pacers of a transport hold together. */
export interface ParkedTotals {
  calls: number;
  bytes: number;
}

/** A call that can be parked. */
export interface PacedCall {
  /** Bytes of the whole request message. */
  readonly parkedBytes: number;
  /** Hands the request to its handler. */
  deliverParked(): void;
}

export class CallPacer {
  readonly #totals: ParkedTotals;
  readonly #sender: Sender;
  readonly #output: OutputQueue;
  /** In the order in which they came. */
  readonly #parked = new Set<PacedCall>();
  #inProgress = 0;
  /** Rises at once with a longer answer, falls slowly with shorter ones. */
  #answerBytes = ANSWER_BYTES_MAX;

  constructor(totals: ParkedTotals, sender: Sender, output: OutputQueue) {
    this.#totals = totals;
    this.#sender = sender;
    this.#output = output;
  }

  /** Calls that wait here. */
  get parked(): number {
    return this.#parked.size;
  }

  /** True if a request that has come may go on now; then {@link begin} follows. */
  admits(): boolean {
    return this.#parked.size === 0 && this.#hasRoom();
  }

  /** A paced call goes to its handler. */
  begin(): void {
    this.#inProgress++;
  }

  /** It has ended: everything of it has left, or was dropped. */
  end(): void {
    this.#inProgress--;
  }

  /** An answer of so many bytes came. */
  noteAnswer(bytes: number): void {
    const bounded = bytes < ANSWER_BYTES_MAX ? bytes : ANSWER_BYTES_MAX;
    const known = this.#answerBytes;
    this.#answerBytes = bounded >= known ? bounded : known - ((known - bounded) >> 4) - 1;
  }

  /** Keeps a request for later. False: too many wait, it must be refused. */
  park(call: PacedCall): boolean {
    const totals = this.#totals;
    if (totals.calls >= PARKED_CALLS_MAX || totals.bytes + call.parkedBytes > PARKED_BYTES_MAX) return false;
    totals.calls++;
    totals.bytes += call.parkedBytes;
    this.#parked.add(call);
    return true;
  }

  /** A parked call has ended before its turn, or its turn has come. */
  leave(call: PacedCall): void {
    if (!this.#parked.delete(call)) return;
    this.#totals.calls--;
    this.#totals.bytes -= call.parkedBytes;
  }

  /** Lets go on whom there is room for. */
  resume(): void {
    for (const call of this.#parked) {
      if (!this.#hasRoom()) return;
      this.leave(call);
      call.deliverParked();
    }
  }

  #hasRoom(): boolean {
    if (this.#sender.pendingBytes + this.#output.queuedBytes > UNSENT_BYTES_HIGH) return false;
    return this.#inProgress < IN_PROGRESS_MAX && this.#inProgress * this.#answerBytes < EXPECTED_BYTES_MAX;
  }
}
