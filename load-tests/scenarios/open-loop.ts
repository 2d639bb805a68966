/**
 * Requests at a constant rate whatever the answers do, each due at a moment of its own. A latency counts from that moment and not from
 * when the request was sent: one that has to wait because others are late is late, too, as it would be for its user (no coordinated
 * omission).
 */
import type { Caller, LoadConnection } from "../generator-connection.ts";
import { Latencies, type Percentiles } from "../latencies.ts";
import type { RequestBody } from "../requests.ts";

/** Requests without an answer, of one connection: what is due beyond that waits, and its time runs. */
const IN_FLIGHT_A_CONNECTION = 1_000;
// The finest a timer of Node goes; what is due between two ticks goes out together.
const TICK_MS = 1;

export interface OpenLoopOptions {
  readonly connections: ReadonlyArray<Pick<LoadConnection, "send" | "closed">>;
  readonly perSecond: number;
  /** The next request to send. */
  readonly next: () => RequestBody;
  /** Milliseconds of a clock; `performance.now` unless given. */
  readonly now?: () => number;
}

/** What has been measured since the last look. Latencies in ms. */
export interface OpenLoopSample extends Percentiles {
  readonly answered: number;
  /** Highest delay between when a request was due and when this generator came to send it, although it had room: its own fault. */
  readonly lagMaxMs: number;
  /** Requests that are due and not sent, for want of answers to others. */
  readonly waiting: number;
}

/** A load that goes on from its making until {@link OpenLoop.stop}. */
export class OpenLoop {
  /** Rejects when a call fails or a connection breaks. */
  readonly failed: Promise<never>;
  readonly #options: OpenLoopOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #now: () => number;
  readonly #startedAt: number;
  readonly #inFlightMax: number;
  readonly #free: PendingCall[] = [];
  readonly #latencies = new Latencies();
  #fail: (error: Error) => void = () => undefined;
  #drained: () => void = () => undefined;
  #sent = 0;
  #answered = 0;
  #answeredBefore = 0;
  #lagMaxMs = 0;
  #wasFull = false;

  constructor(options: OpenLoopOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#startedAt = this.#now();
    this.#inFlightMax = options.connections.length * IN_FLIGHT_A_CONNECTION;
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    this.failed.catch(() => undefined);
    for (const connection of options.connections) connection.closed.catch(this.#fail);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Percentiles and counts since the last call, or since the start. */
  take(): OpenLoopSample {
    const sample = {
      ...this.#latencies.percentiles(),
      answered: this.#answered - this.#answeredBefore,
      lagMaxMs: this.#lagMaxMs,
      waiting: Math.max(0, this.#due(this.#now()) - this.#sent),
    };
    this.#latencies.clear();
    this.#answeredBefore = this.#answered;
    this.#lagMaxMs = 0;
    return sample;
  }

  /** Sends nothing more, and waits until everything that was sent is answered, `boundMs` at most. */
  async stop(boundMs: number): Promise<void> {
    clearInterval(this.#timer);
    if (this.#answered === this.#sent) return;
    const drained = new Promise<void>((resolve) => (this.#drained = resolve));
    const late = setTimeout(
      () =>
        this.#fail(new Error(`${this.#sent - this.#answered} requests have no answer after ${boundMs} ms`)),
      boundMs,
    );
    await Promise.race([drained, this.failed]).finally(() => clearTimeout(late));
  }

  /** A call has its answer. */
  answered(call: PendingCall, grpcStatus: string): void {
    if (grpcStatus !== "0") return this.#fail(new Error(`a call ended with grpc-status ${grpcStatus}`));
    this.#latencies.add(this.#now() - call.dueAt);
    this.#answered++;
    this.#free.push(call);
    if (this.#answered === this.#sent) this.#drained();
  }

  #due(now: number): number {
    return Math.floor(((now - this.#startedAt) * this.#options.perSecond) / 1000);
  }

  #tick(): void {
    const { connections, perSecond, next } = this.#options;
    const now = this.#now();
    const due = this.#due(now);
    if (this.#sent < due && !this.#wasFull)
      this.#lagMaxMs = Math.max(
        this.#lagMaxMs,
        now - this.#startedAt - ((this.#sent + 1) * 1000) / perSecond,
      );
    while (this.#sent < due && this.#sent - this.#answered < this.#inFlightMax) {
      const call = this.#free.pop() ?? new PendingCall(this);
      this.#sent++;
      call.dueAt = this.#startedAt + (this.#sent * 1000) / perSecond;
      connections[this.#sent % connections.length].send(next(), call);
    }
    this.#wasFull = this.#sent < due;
  }
}

class PendingCall implements Caller {
  /** When, by the loop's clock, it should have been sent. */
  dueAt = 0;
  readonly #loop: OpenLoop;

  constructor(loop: OpenLoop) {
    this.#loop = loop;
  }

  onData(): void {
    // The status tells all that is asked here.
  }

  onEnd(grpcStatus: string): void {
    this.#loop.answered(this, grpcStatus);
  }
}
