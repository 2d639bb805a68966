/**
 * The worker threads of one member. They are started before it is known what they shall do: they load their code while main still
 * reads files, looks for the cluster and loads its own. What they are to do ({@link MemberOptions}) is told later, once.
 */

import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type * as Comlink from "comlink";
import type { Config } from "../src/config/config.ts";
import { Doorbell } from "../src/ring/doorbell.ts";
import type { LogRecord, LogThreshold } from "../src/telemetry/logger.ts";
import type { MemberOptions, SharedMemory, ThreadName, ThreadStart } from "./control.ts";
import type { ThreadDiagnostics } from "./thread-diagnostics.ts";
import { remoteControl } from "./remote-control.ts";
import { createSharedMemory } from "./shared-memory.ts";
import { WORKER_URLS } from "./urls.ts";

/** A thread that is started, not main. */
export type WorkerName = Exclude<ThreadName, "main">;

interface Thread {
  readonly worker: Worker;
  /** Where its options go. */
  readonly start: MessagePort;
  /** Resolves when the thread is gone, however it ended. */
  readonly ended: Promise<void>;
}

export class MemberThreads {
  readonly memory: SharedMemory;
  /** Rejects with the thread's name and the cause when one ends that was not told to; never resolves. */
  readonly failed: Promise<never>;
  /** Takes the lines that the threads log. */
  onLog: (record: LogRecord) => void = () => undefined;
  readonly #threads = new Map<WorkerName, Thread>();
  readonly #diagnostics = new Map<ThreadName, Comlink.Remote<ThreadDiagnostics>>();
  readonly #fail: (error: Error) => void;
  #options: MemberOptions | null = null;
  #stopping = false;

  constructor(memory: SharedMemory) {
    this.memory = memory;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    this.#fail = reject;
    // Whoever waits for it sees the rejection; nobody waits while the member stops.
    promise.catch(() => undefined);
  }

  /** Starts a thread, unless it was. @throws an Error once the member stops */
  start(name: WorkerName): void {
    if (this.#stopping) throw new Error("the member is stopping");
    if (this.#threads.has(name)) return;
    const { port1, port2 } = new MessageChannel();
    const workerData: ThreadStart = { memory: this.memory, start: port2 };
    const worker = new Worker(WORKER_URLS[name], { name, workerData, transferList: [port2] });
    const { promise: ended, resolve: hasEnded } = Promise.withResolvers<void>();
    this.#threads.set(name, { worker, start: port1, ended });
    // The worker itself keeps the process running.
    port1.unref();
    if (this.#options !== null) port1.postMessage(this.#options, []);
    worker.on("error", (error) =>
      this.#fail(new Error(`thread ${name}: ${describe(error)}`, { cause: error })),
    );
    worker.on("exit", (code) => {
      port1.close();
      hasEnded();
      if (!this.#stopping) this.#fail(new Error(`thread ${name} ended with code ${code}`));
    });
    worker.on("message", (message: Partial<LogRecord>) => {
      if (typeof message.msg === "string") this.onLog(message as LogRecord);
    });
  }

  /** Tells all threads, those that are started later too, what they work on. Once. */
  begin(options: MemberOptions): void {
    this.#options = options;
    for (const { start } of this.#threads.values()) start.postMessage(options, []);
  }

  /** Control of a thread, which is started if it was not. */
  control<T extends object>(name: WorkerName): Comlink.Remote<T> {
    this.start(name);
    const { worker } = this.#threads.get(name) as Thread;
    const remote = remoteControl<T & ThreadDiagnostics>(worker, new Doorbell(this.memory.doorbells[name]));
    this.#diagnostics.set(name, remote);
    return remote;
  }

  /** The threads that have been given control of, for profiles of them. */
  get diagnostics(): ReadonlyMap<ThreadName, Comlink.Remote<ThreadDiagnostics>> {
    return this.#diagnostics;
  }

  /** Resolves when the thread is gone; at once if it was never there. */
  async ended(name: WorkerName): Promise<void> {
    await this.#threads.get(name)?.ended;
  }

  /** From now on threads may end, and none is started. */
  expectEnd(): void {
    this.#stopping = true;
  }

  /** Ends all threads as they are. */
  async terminate(): Promise<void> {
    this.expectEnd();
    await Promise.all([...this.#threads.values()].map(({ worker }) => worker.terminate()));
  }
}

/**
 * Starts what every member needs; the watch thread comes when somebody watches. Whoever does not make a member of them has to
 * {@link MemberThreads.terminate} them.
 * @throws an Error when requests may be longer than the largest ring can carry
 */
export function startThreads(
  config: Pick<Config, "requestBytesMax" | "inMemory">,
  threshold: LogThreshold,
): MemberThreads {
  const threads = new MemberThreads(createSharedMemory(config.requestBytesMax, threshold));
  if (!config.inMemory) threads.start("storage");
  threads.start("raft");
  threads.start("apply");
  return threads;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
