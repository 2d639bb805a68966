/** A Watch call of a simulated client: what the member sends arrives a little later, in order, at the pace at which the client reads. */

import type { Call } from "../../src/grpc/service.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SimulatedMain } from "./simulated-main.ts";

/** Time on the way, each direction, ms. */
const DELAY_MS = 1;

export interface SimulatedCallOptions {
  readonly scheduler: Scheduler;
  readonly main: SimulatedMain;
  readonly onMessage: (bytes: Uint8Array) => void;
  /** The call has ended, whatever ended it but {@link SimulatedCall.close}. */
  readonly onEnd: () => void;
}

export class SimulatedCall implements Call {
  state: unknown = undefined;
  readonly path = "/etcdserverpb.Watch/Watch";
  readonly deadlineMs = Infinity;
  readonly remote = "client";
  cancelled = false;
  readonly #options: SimulatedCallOptions;
  readonly #queue: Uint8Array[] = [];
  #pendingBytes = 0;
  #partial: Uint8Array | null = null;
  #filled = 0;
  /** The client reads nothing before this virtual time. */
  #readsFromMs = 0;
  #isReading = false;

  constructor(options: SimulatedCallOptions) {
    this.#options = options;
    options.main.onDeath.add(this.#break);
    this.#toService(() => options.main.watch.onOpen(this));
  }

  get main(): SimulatedMain {
    return this.#options.main;
  }

  send(message: Uint8Array): void {
    this.#toService(() => this.main.watch.onMessage(this, message, 0, message.length));
  }

  /** The client hangs up. */
  close(): void {
    if (this.cancelled) return;
    this.#drop();
    this.main.inProcess(DELAY_MS, () => this.main.watch.onCancel(this));
  }

  /** The client reads nothing for so long. */
  restFor(ms: number): void {
    this.#readsFromMs = this.#options.scheduler.nowMs + ms;
  }

  #toService(callback: () => void): void {
    this.main.inProcess(DELAY_MS, () => {
      if (!this.cancelled) callback();
    });
  }

  readonly #break = (): void => {
    if (this.cancelled) return;
    this.#drop();
    this.#options.onEnd();
  };

  #drop(): void {
    this.cancelled = true;
    this.#queue.length = 0;
    this.main.onDeath.delete(this.#break);
  }

  metadata(): undefined {
    return undefined;
  }

  sendMessage(bytes: Uint8Array, start: number, end: number): void {
    if (this.cancelled) return;
    this.#queue.push(bytes.slice(start, end));
    this.#pendingBytes += end - start;
    this.#readSoon(DELAY_MS);
  }

  startMessage(totalBytes: number): void {
    this.#partial = new Uint8Array(totalBytes);
    this.#filled = 0;
  }

  sendPart(bytes: Uint8Array, start: number, end: number): number {
    if (this.#partial === null) throw new Error("a part of no message");
    this.#partial.set(bytes.subarray(start, end), this.#filled);
    this.#filled += end - start;
    if (this.#filled === this.#partial.length) this.sendMessage(this.#partial, 0, this.#filled);
    return this.#pendingBytes;
  }

  pendingBytes(): number {
    return this.#pendingBytes;
  }

  end(): void {
    this.#break();
  }

  #readSoon(delayMs: number): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#options.scheduler.after(delayMs, null, () => this.#read());
  }

  #read(): void {
    this.#isReading = false;
    const restMs = this.#readsFromMs - this.#options.scheduler.nowMs;
    if (restMs > 0) return this.#readSoon(restMs);
    while (this.#queue.length > 0 && this.#readsFromMs <= this.#options.scheduler.nowMs) {
      const message = this.#queue.shift() as Uint8Array;
      this.#pendingBytes -= message.length;
      this.#options.onMessage(message);
    }
    if (this.cancelled) return;
    if (this.#queue.length > 0) return this.#readSoon(DELAY_MS);
    this.#toService(() => {
      if (this.#pendingBytes === 0) this.main.watch.onDrain(this);
    });
  }
}
