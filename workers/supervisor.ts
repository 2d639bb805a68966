/**
 * The supervisor: makes the shared memory, starts the threads in the order in which they need each other, serves, and stops
 * everything in the reverse order. It runs on the main thread. A worker that dies ends the member with the thread's name and
 * the cause: the WAL makes that safe.
 *
 * ```
 *   storage.open ─▶ raft.open (WAL) ─┬─▶ run: storage, apply, raft ─▶ leader ─▶ publish name ─▶ serve
 *               └─▶ apply.open (index)┘
 * ```
 */

import { Worker } from "node:worker_threads";
import type * as Comlink from "comlink";
import type { Config } from "../src/config/config.ts";
import type { MemberIdentity } from "../src/proto/response-header.ts";
import { Doorbell } from "../src/ring/doorbell.ts";
import { SharedRingReader, SharedRingWriter } from "../src/ring/shared-ring.ts";
import { publishMember } from "../src/server/publish.ts";
import { Router } from "../src/server/router.ts";
import { type DataDirectory, openDataDirectory } from "../src/storage/data-dir.ts";
import type { Log } from "../src/telemetry/log.ts";
import type { LogRecord } from "../src/telemetry/logger.ts";
import {
  type ApplyControl,
  type ApplyOpened,
  type MemberOptions,
  type RaftControl,
  type Recovered,
  type SharedMemory,
  type StorageControl,
  type ThreadName,
  type WorkerData,
  remoteControl,
} from "./control.ts";
import { memberOptions } from "./member-options.ts";
import { type Serving, serve } from "./serve.ts";
import { createSharedMemory } from "./shared-memory.ts";
import { WORKER_URLS } from "./urls.ts";

/** A running member. */
export interface Member {
  readonly identity: MemberIdentity;
  /** Addresses that clients can dial. */
  readonly clientAddresses: readonly string[];
  /** Stops it: clients first, then raft, apply and storage. Nothing acknowledged is lost. */
  stop(): Promise<void>;
  /** Rejects when a thread died; never resolves before {@link stop}. */
  readonly failed: Promise<never>;
}

/** Starts a member. Rejects with a message that names the file or address and the cause; nothing is left running then. */
export async function startMember(config: Config, log: Log): Promise<Member> {
  const supervisor = new Supervisor(config, log);
  try {
    return await Promise.race([supervisor.start(), supervisor.failed]);
  } catch (error) {
    await supervisor.abandon();
    throw error;
  }
}

class Supervisor {
  /** Rejects when a worker dies. */
  readonly failed: Promise<never>;
  readonly #config: Config;
  readonly #log: Log;
  readonly #options: MemberOptions;
  readonly #memory: SharedMemory;
  readonly #workers = new Map<ThreadName, Worker>();
  #reject: (error: Error) => void;
  readonly #directory: DataDirectory | null;
  #serving: Serving | null = null;
  #stopping = false;
  /** Ends the pump of main's rings. */
  #pumping = true;

  constructor(config: Config, log: Log) {
    this.#config = config;
    this.#log = log;
    this.#directory = config.inMemory ? null : openDataDirectory(config.dataDir);
    for (const warning of this.#directory?.warnings ?? []) log.warn(warning, {});
    this.#options = memberOptions(config, this.#directory);
    this.#memory = createSharedMemory(config.requestBytesMax);
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    this.#reject = reject;
    // Whoever waits for it sees the rejection; nobody waits while the member stops.
    promise.catch(() => undefined);
  }

  async start(): Promise<Member> {
    const { inMemory } = this.#options;
    const raft = this.#startThread<RaftControl>("raft");
    const apply = this.#startThread<ApplyControl>("apply");
    const storage = inMemory ? null : this.#startThread<StorageControl>("storage");

    const recovered: Recovered = storage === null ? { consistentIndex: 0, term: 0 } : await storage.open();
    const [identity, opened] = await Promise.all([raft.open(recovered.consistentIndex), apply.open()]);
    this.#logStart(identity, opened);
    await storage?.run({ ...recovered, revision: opened.revision });
    await apply.run(identity);
    const router = this.#createRouter(identity);
    this.#pump(router).catch(this.#fail);
    await raft.run();
    const clusterVersion = await publishMember(router, {
      memberId: identity.memberId,
      name: this.#config.name,
      clientUrls: this.#config.advertiseClientUrls.map((url) => url.text),
      clusterVersion: opened.clusterVersion,
    });
    this.#log.info("published local member to cluster through raft", { "local-member-id": identity.memberId });
    this.#serving = await serve({ router, identity, clusterVersion, config: this.#config, log: this.#log });
    return {
      identity,
      clientAddresses: this.#serving.addresses,
      failed: this.failed,
      stop: () => this.#stop({ router, raft, apply, storage }),
    };
  }

  #startThread<T extends object>(name: Exclude<ThreadName, "main">): Comlink.Remote<T> {
    const workerData: WorkerData = { memory: this.#memory, options: this.#options };
    const worker = new Worker(WORKER_URLS[name], { name, workerData });
    this.#workers.set(name, worker);
    worker.on("error", (error) => this.#fail(new Error(`thread ${name}: ${describe(error)}`, { cause: error })));
    worker.on("exit", (code) => {
      if (!this.#stopping) this.#fail(new Error(`thread ${name} ended with code ${code}`));
    });
    worker.on("message", (message: Partial<LogRecord>) => {
      if (typeof message.msg === "string") this.#log.write(message as LogRecord);
    });
    return remoteControl<T>(worker, new Doorbell(this.#memory.doorbells[name]));
  }

  readonly #fail = (error: unknown): void => {
    this.#reject(error instanceof Error ? error : new Error(String(error)));
  };

  #createRouter(identity: MemberIdentity): Router {
    const { rings, doorbells } = this.#memory;
    return new Router({
      toRaft: new SharedRingWriter(rings.mainToRaft, new Doorbell(doorbells.raft)),
      toApply: new SharedRingWriter(rings.mainToApply, new Doorbell(doorbells.apply)),
      inboxes: [
        new SharedRingReader(rings.applyToMain),
        new SharedRingReader(rings.raftToMain),
        new SharedRingReader(rings.storageToMain),
      ],
      memberPrefix: Number(identity.memberId & 0xffffn),
      firstRequestId: this.#options.firstRequestId,
      requestTimeoutMs: this.#config.requestTimeoutMs,
      requestBytesMax: this.#config.requestBytesMax,
      onFailure: this.#fail,
    });
  }

  /** Takes what the workers send to main, and lets sockets have their turn between two batches. */
  async #pump(router: Router): Promise<void> {
    const doorbell = new Doorbell(this.#memory.doorbells.main);
    while (this.#pumping) {
      if (router.drainInboxes() > 0) {
        await eventLoopTurn();
        continue;
      }
      const sequence = doorbell.prepareSleep();
      if (router.inboxesEmpty()) await doorbell.sleepAsync(sequence);
      doorbell.awake();
    }
  }

  #logStart(identity: MemberIdentity, opened: ApplyOpened): void {
    const fields = {
      "local-member-id": identity.memberId,
      "cluster-id": identity.clusterId,
      "current-revision": opened.revision,
      "consistent-index": opened.consistentIndex,
    };
    this.#log.info(this.#options.bootstrap ? "starting local member" : "restarting local member", fields);
  }

  async #stop(threads: Threads): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#log.info("closing etcd server", { name: this.#config.name, "data-dir": this.#config.dataDir });
    await this.#serving?.stop();
    threads.router.stop();
    await threads.raft.stop();
    await threads.apply.stop();
    await threads.storage?.stop();
    await this.abandon();
    this.#log.info("closed etcd server", { name: this.#config.name, "data-dir": this.#config.dataDir });
  }

  /** Ends all threads as they are and gives up the directory. */
  async abandon(): Promise<void> {
    this.#stopping = true;
    this.#pumping = false;
    new Doorbell(this.#memory.doorbells.main).requestControl();
    await this.#serving?.stop();
    await Promise.all([...this.#workers.values()].map((worker) => worker.terminate()));
    this.#directory?.release();
  }
}

interface Threads {
  readonly router: Router;
  readonly raft: Comlink.Remote<RaftControl>;
  readonly apply: Comlink.Remote<ApplyControl>;
  readonly storage: Comlink.Remote<StorageControl> | null;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
