/**
 * A client: one operation after the other on few keys, through whichever member it likes, with patience but no end of it. What it saw
 * goes into the history. Values are written once, so that the checker knows whose value a read shows.
 */

import type { Prng } from "../../src/base/prng.ts";
import type { Operation, OperationInput, OperationKind } from "./linearizability.ts";
import { decodeAnswer, encodeRequest } from "./kv-requests.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Answer, SimulatedMain } from "./simulated-main.ts";

/** How long a client waits for an answer. */
const PATIENCE_MS = [300, 1000, 5000] as const;
/** How long it waits after something went wrong. */
const BACK_OFF_MS = 200;

/** So many values are long: they fill rings, batches and segments. */
const LONG_VALUES = 0.05;
const LONG_BYTES_MAX = 12_000;

export interface ClientOptions {
  readonly process: number;
  readonly scheduler: Scheduler;
  readonly random: Prng;
  /** Keys to use now. */
  readonly keys: () => readonly string[];
  /** Members that take requests now, at least one when the client is to do something. */
  readonly members: () => readonly SimulatedMain[];
  /** Mean time between two operations, ms. */
  readonly thinkMs: number;
  readonly onOperation: (operation: Operation) => void;
}

export class SimulatedClient {
  readonly #options: ClientOptions;
  #count = 0;
  #isBusy = false;
  /** The client begins nothing new. */
  paused = false;
  /** What it last read of each key, for compare-and-set. */
  readonly #seen = new Map<string, string | null>();

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  get isBusy(): boolean {
    return this.#isBusy;
  }

  start(): void {
    const { scheduler, random, thinkMs } = this.#options;
    scheduler.after(random.below(2 * thinkMs), null, () => this.#next());
  }

  #next(): void {
    const { random, keys } = this.#options;
    const members = this.#options.members();
    if (this.paused || members.length === 0) return this.#again(BACK_OFF_MS);
    const key = random.pick(keys());
    const op = random.pick(["get", "get", "get", "put", "put", "cas", "cas", "delete"] as const);
    // Deletes that may or may not have been done cost the checker most.
    this.#begin(random.pick(members), op === "delete" && random.chance(0.5) ? "put" : op, key);
  }

  #begin(main: SimulatedMain, op: OperationKind, key: string): void {
    const { process, scheduler, random } = this.#options;
    const input = this.#input(op, key);
    const invoke = scheduler.nowMs;
    let open = true;
    const end = (answer: Answer | null): void => {
      if (!open) return;
      open = false;
      this.#isBusy = false;
      this.#finish({ process, key, op, input, output: null, invoke, return: Infinity }, answer);
    };
    this.#isBusy = true;
    main.request(encodeRequest(op, key, input), true, end);
    scheduler.after(random.pick(PATIENCE_MS), null, () => end(null));
  }

  #input(op: OperationKind, key: string): OperationInput {
    if (op === "get" || op === "delete") return {};
    const { process, random } = this.#options;
    const value = `${process}.${++this.#count}${random.chance(LONG_VALUES) ? "x".repeat(random.below(LONG_BYTES_MAX)) : ""}`;
    return op === "put" ? { value } : { value, expected: this.#seen.get(key) ?? null };
  }

  #finish(operation: Operation, answer: Answer | null): void {
    const { scheduler, onOperation, random, thinkMs } = this.#options;
    if (answer === null || answer.bytes === null) {
      onOperation(operation);
      return this.#again(BACK_OFF_MS);
    }
    const { op, key, input } = operation;
    const output = decodeAnswer(op, answer.bytes);
    onOperation({ ...operation, output, return: scheduler.nowMs });
    if (output.value !== undefined && op !== "delete") this.#seen.set(key, output.value);
    else if (input.value !== undefined) this.#seen.set(key, input.value);
    else this.#seen.set(key, null);
    this.#again(random.below(2 * thinkMs));
  }

  #again(delayMs: number): void {
    this.#options.scheduler.after(delayMs, null, () => this.#next());
  }
}
