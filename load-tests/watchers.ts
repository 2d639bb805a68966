/** Many watchers in a thread of their own (`watchers-thread.ts`): started, counted and ended from here. */
import { Worker } from "node:worker_threads";
import type { Percentiles } from "./latencies.ts";

/** What a thread of watchers is to do. */
export interface WatchersTask {
  readonly address: string;
  /** One stream each. */
  readonly connections: number;
  readonly watchers: number;
  /** The key of all watchers, or with `distinctKeys` what theirs begin with. */
  readonly key: string;
  readonly distinctKeys: boolean;
  /** Empty: the key alone. */
  readonly rangeEnd: Uint8Array;
  /** The first revision that every watcher must get; 0: what comes. */
  readonly startRevision: number;
  /** Events after which a watcher counts as {@link Counter.reached}; 0: never. */
  readonly goal: number;
  /** Values begin with the time of their writing (`sharedNow`, a double), and latencies are taken. */
  readonly timed: boolean;
  readonly counters: SharedArrayBuffer;
}

/** A task with what is usual left out: the key alone, all watchers alike, what comes, neither goal nor latencies. */
export type WatchersRequest = Pick<WatchersTask, "address" | "connections" | "watchers" | "key"> &
  Partial<Omit<WatchersTask, "counters">>;

const USUAL = { distinctKeys: false, rangeEnd: new Uint8Array(0), startRevision: 0, goal: 0, timed: false };

/** Places in `counters`, 32 bit each. */
export const Counter = {
  created: 0,
  canceled: 1,
  events: 2,
  reached: 3,
  /** Which of the above the parent waits for, and how much of it. */
  awaited: 4,
  awaitedValue: 5,
  /** Grows when it has come. */
  signal: 6,
} as const;

export type WatchersCommand = "create" | "cancel" | "report";

export type WatchersReport =
  | { readonly kind: "connected" }
  | { readonly kind: "latencies"; readonly latencies: Percentiles };

const COUNTERS = 8;

/** A thread of watchers. Whatever goes wrong in it rejects what the caller waits for. */
export class Watchers {
  readonly #worker: Worker;
  readonly #counters: Int32Array;
  /** Rejects with whatever goes wrong in the thread. */
  readonly failed: Promise<never>;
  #report: (latencies: Percentiles) => void = () => undefined;
  readonly #connected: Promise<void>;

  private constructor(task: WatchersRequest) {
    const counters = new SharedArrayBuffer(COUNTERS * Int32Array.BYTES_PER_ELEMENT);
    this.#counters = new Int32Array(counters);
    this.#counters[Counter.awaitedValue] = 0x7fff_ffff;
    this.#worker = new Worker(new URL("./watchers-thread.ts", import.meta.url), {
      workerData: { ...USUAL, ...task, counters } satisfies WatchersTask,
    });
    this.failed = new Promise((_, reject) => this.#worker.once("error", reject));
    this.failed.catch(() => undefined);
    this.#connected = new Promise((resolve) => {
      this.#worker.on("message", (message: WatchersReport) => {
        if (message.kind === "connected") resolve();
        else this.#report(message.latencies);
      });
    });
  }

  /** Connects; no watcher exists yet. */
  static async connect(task: WatchersRequest): Promise<Watchers> {
    const watchers = new Watchers(task);
    await Promise.race([watchers.#connected, watchers.failed]);
    return watchers;
  }

  tell(command: WatchersCommand): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(command);
  }

  /** How far a counter is. */
  count(counter: number): number {
    return Atomics.load(this.#counters, counter);
  }

  /** Waits until a counter has come to `value`. One caller at a time. */
  async reached(counter: number, value: number, boundMs = 600_000): Promise<void> {
    const bound = performance.now() + boundMs;
    for (;;) {
      const signal = Atomics.load(this.#counters, Counter.signal);
      Atomics.store(this.#counters, Counter.awaited, counter);
      Atomics.store(this.#counters, Counter.awaitedValue, value);
      if (this.count(counter) >= value) return;
      const { value: woken } = Atomics.waitAsync(this.#counters, Counter.signal, signal, WAIT_MS);
      await Promise.race([woken, this.failed]);
      if (performance.now() > bound) throw new Error(`only ${this.count(counter)} of ${value} came`);
    }
  }

  /** Latencies since the last call. */
  async latencies(): Promise<Percentiles> {
    const report = new Promise<Percentiles>((resolve) => (this.#report = resolve));
    this.tell("report");
    return Promise.race([report, this.failed]);
  }

  /** Ends the thread and its connections. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

// The signal may be missed only by an error here; nobody then waits longer than this at a time.
const WAIT_MS = 1000;
