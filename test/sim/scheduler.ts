/**
 * Virtual time and the order of everything: whatever happens in a simulation is an event in this queue, so one seed gives one run.
 *
 * An event belongs to a {@link Life} of a member's process or to nobody (disks, cables). When the process dies its events are gone; while
 * it is stopped (SIGSTOP) they wait. Between two events all microtasks run, so the promises that an event settles have done all
 * they will do at that instant.
 */

import { Trace } from "./trace.ts";

/** One run of a process, from start to crash. */
export interface Life {
  alive: boolean;
  /** Virtual time at which a stopped process goes on; 0 = it runs. */
  stoppedUntilMs: number;
}

interface Event {
  readonly atMs: number;
  readonly sequence: number;
  readonly life: Life | null;
  readonly run: () => void;
}

/** Events run in one iteration of the real event loop; microtasks run behind each of them. */
const EVENTS_PER_TURN = 64;

export class Scheduler {
  readonly trace: Trace;
  #nowMs = 0;
  #sequence = 0;
  #events = 0;
  #failure: Error | null = null;
  readonly #heap: Event[] = [];
  /** Events of stopped processes that were due. */
  readonly #stopped = new Map<Life, Event[]>();

  constructor(trace: Trace = new Trace()) {
    this.trace = trace;
  }

  /** Virtual milliseconds since the start. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that have run. */
  get events(): number {
    return this.#events;
  }

  /** Runs `callback` in `delayMs`; events of one time run in the order in which they were asked for. */
  after(delayMs: number, life: Life | null, callback: () => void): void {
    this.#push({ atMs: this.#nowMs + delayMs, sequence: this.#sequence++, life, run: callback });
  }

  /** Stops a process: its events wait, in their order, until it goes on after `ms` or by {@link goOn}. A longer stop stays. */
  stop(life: Life, ms: number): void {
    life.stoppedUntilMs = Math.max(life.stoppedUntilMs, this.#nowMs + ms);
    this.after(ms, null, () => {
      if (this.#nowMs >= life.stoppedUntilMs) this.goOn(life);
    });
  }

  /** A stopped process goes on: what waited comes now, before anything that comes later. */
  goOn(life: Life): void {
    life.stoppedUntilMs = 0;
    const waiting = this.#stopped.get(life) ?? [];
    this.#stopped.delete(life);
    for (const event of waiting) this.#push({ ...event, atMs: this.#nowMs });
  }

  /** Resolves in `delayMs`, or never if the life ends before. */
  sleep(delayMs: number, life: Life | null): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, life, resolve));
  }

  /** Ends the run: {@link runUntil} rejects. */
  fail(error: Error): void {
    this.#failure ??= error;
  }

  /** Runs everything up to the virtual time `untilMs`. Rejects with the first error that an event throws. */
  runUntil(untilMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const runOne = (): void => {
        if (this.#failure !== null) return;
        try {
          this.#runNext(untilMs);
        } catch (error) {
          this.fail(error instanceof Error ? error : new Error(String(error)));
        }
      };
      const turn = (): void => {
        if (this.#failure !== null) {
          reject(this.#failure);
          return;
        }
        if (this.#heap.length === 0 || this.#heap[0].atMs > untilMs) {
          this.#nowMs = Math.max(this.#nowMs, untilMs);
          resolve();
          return;
        }
        for (let i = 0; i < EVENTS_PER_TURN; i++) setImmediate(runOne);
        setImmediate(turn);
      };
      setImmediate(turn);
    });
  }

  #runNext(untilMs: number): void {
    const event = this.#heap[0];
    if (event === undefined || event.atMs > untilMs) return;
    this.#pop();
    const { life } = event;
    if (life !== null) {
      if (!life.alive) return;
      if (life.stoppedUntilMs > 0) {
        const waiting = this.#stopped.get(life);
        if (waiting === undefined) this.#stopped.set(life, [event]);
        else waiting.push(event);
        return;
      }
    }
    this.#nowMs = event.atMs;
    this.#events++;
    event.run();
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (!isBefore(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}
