/** How a simulated process's threads sleep and wake: a producer rings, and the consumer runs a little later in virtual time. */

import type { Prng } from "../../src/base/prng.ts";
import type { LoopDoorbell } from "../../src/raft/raft-loop-options.ts";
import type { Life, Scheduler } from "./scheduler.ts";

/** Longest time from a doorbell to the thread that it wakes, us. */
const WAKE_UP_US_MAX = 100;

/** A thread that runs turns while there is work: apply, storage and main. */
export class SimulatedThread {
  readonly #scheduler: Scheduler;
  readonly #random: Prng;
  readonly #life: Life;
  readonly #turn: () => number;
  #dueMs = Infinity;
  #generation = 0;

  /** @param turn does what there is to do; returns in how many ms to come again unasked, Infinity = only when rung */
  constructor(scheduler: Scheduler, random: Prng, life: Life, turn: () => number) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#life = life;
    this.#turn = turn;
  }

  ring(): void {
    this.#wakeIn(this.#random.below(WAKE_UP_US_MAX) / 1000);
  }

  #wakeIn(delayMs: number): void {
    const dueMs = this.#scheduler.nowMs + delayMs;
    if (dueMs >= this.#dueMs) return;
    this.#dueMs = dueMs;
    const generation = ++this.#generation;
    this.#scheduler.after(delayMs, this.#life, () => {
      if (generation === this.#generation) this.#run();
    });
  }

  #run(): void {
    this.#dueMs = Infinity;
    const nextMs = this.#turn();
    if (nextMs !== Infinity) this.#wakeIn(Math.max(nextMs, 0.001));
  }
}

/** The raft loop's doorbell. */
export class SimulatedDoorbell implements LoopDoorbell {
  readonly #scheduler: Scheduler;
  readonly #random: Prng;
  readonly #life: Life;
  #isSleeping = false;
  #sequence = 0;
  #wake: (() => void) | null = null;

  constructor(scheduler: Scheduler, random: Prng, life: Life) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#life = life;
  }

  ring(): void {
    if (!this.#isSleeping) return;
    this.#isSleeping = false;
    this.#sequence++;
    const wake = this.#wake;
    this.#wake = null;
    if (wake !== null) this.#scheduler.after(this.#random.below(WAKE_UP_US_MAX) / 1000, this.#life, wake);
  }

  prepareSleep(): number {
    this.#isSleeping = true;
    return this.#sequence;
  }

  awake(): void {
    this.#isSleeping = false;
  }

  sleepAsync(sequence: number): Promise<void> | undefined {
    if (sequence !== this.#sequence) return undefined;
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
