/**
 * The supervisor: makes the shared memory, starts the threads in the order in which they need each other, serves, and stops
 * everything in the reverse order. It runs on the main thread. A worker that dies ends the member with the thread's name and
 * the cause: the WAL makes that safe.
 *
 * ```
 *   storage.open ─▶ raft.open (WAL) ─┬─▶ run: storage, watch, apply, raft ─▶ leader ─▶ publish name ─▶ serve
 *               └─▶ apply.open (index)┘
 * ```
 */

import { setTimeout as sleep } from "node:timers/promises";
import * as Comlink from "comlink";
import type { Config } from "../src/config/config.ts";
import { startLine } from "../src/config/start-line.ts";
import { openMeters } from "../src/base/meters.ts";
import { MAIN_LAYOUT } from "../src/base/thread-meters.ts";
import type { MemberIdentity } from "../src/proto/response-header.ts";
import { RecordType } from "../src/ring/record-types.ts";
import { handOverLeadership } from "../src/server/leader-transfer.ts";
import { startRevoker } from "../src/server/lease-revoker.ts";
import type { Router } from "../src/server/router.ts";
import type { VersionMonitor } from "../src/server/version-monitor.ts";
import type { Log } from "../src/telemetry/log.ts";
import type { Tracing } from "../src/telemetry/tracing.ts";
import {
  type ApplyControl,
  type ApplyOpened,
  type MemberOptions,
  type RaftControl,
  type Recovered,
  type SharedMemory,
  type StorageControl,
  type WatchControl,
} from "./control.ts";
import { whenAborted } from "./abort.ts";
import type { ClusterStart } from "./cluster-start.ts";
import { checkData, joinCluster, startVersionMonitor } from "./joining.ts";
import { createRouter, Pump } from "./main-router.ts";
import { type MemberFiles, checkFiles, hasLog, openFiles, walDirectory } from "./member-files.ts";
import { memberOptions, quotaBytes } from "./member-options.ts";
import { MemberDefragment } from "./member-defragment.ts";
import { MemberSnapshots } from "./member-snapshots.ts";
import { probeAddresses } from "./probe-addresses.ts";
import { type Serving, serve } from "./serve.ts";
import { type MemberThreads, startThreads } from "./threads.ts";
import { ThreadVitals } from "./thread-vitals.ts";
import { WatchThread } from "./watch-thread.ts";

/** A running member. */
export interface Member {
  readonly identity: MemberIdentity;
  /** Addresses that clients can dial. */
  readonly clientAddresses: readonly string[];
  /** Stops it: clients first, then raft, apply and storage. Nothing acknowledged is lost. */
  stop(): Promise<void>;
  /** Rejects when a thread died; never resolves before {@link stop}. */
  readonly failed: Promise<never>;
  /** Resolves when the cluster has removed this member and it has had its last word to the others: stop it then. */
  readonly removed: Promise<void>;
}

export interface StartOptions {
  /** Rejects when something on the main thread went wrong that nobody caught: the member ends as if a worker had died. */
  readonly mainFailed?: Promise<never>;
  /** Ends a start that may wait for ever (for other members, for a leader): it stops in order and rejects with the signal's reason. */
  readonly stop?: AbortSignal;
  /** Threads that were started beforehand, to save time; the member's from now on. */
  readonly threads?: MemberThreads;
  /** Told why the start fails before its threads are ended: should that end the process, the reason is known. */
  readonly failing?: (error: unknown) => void;
}

/**
 * Starts a member. Rejects with a message that names the file or address and the cause, or with {@link MemberRemovedError}; nothing
 * is left running then. What can be known beforehand (an address in use, flags or files that do not fit together) is found before any data is touched.
 */
export async function startMember(config: Config, log: Log, options: StartOptions = {}): Promise<Member> {
  const {
    mainFailed,
    stop = new AbortController().signal,
    threads = startThreads(config, log.threshold),
  } = options;
  let supervisor: Supervisor | null = null;
  try {
    await checkAddresses(config);
    checkFiles(config);
    const { msg, fields } = startLine(config, hasLog(config), quotaBytes(config));
    log.info(msg, { ...fields });
    const search = findStart(config, log, stop);
    const start = await (mainFailed === undefined ? search : Promise.race([search, mainFailed]));
    supervisor = new Supervisor(config, log, threads, start);
    mainFailed?.catch(supervisor.fail);
    return await Promise.race([supervisor.start(stop), supervisor.failed]);
  } catch (error) {
    options.failing?.(error);
    await (supervisor === null ? threads.terminate() : supervisor.abandon());
    throw error;
  }
}

function checkAddresses(config: Config): Promise<void> {
  return probeAddresses([
    ...config.listenPeerUrls,
    ...config.listenClientUrls,
    ...config.listenClientHttpUrls,
    ...config.listenMetricsUrls,
  ]);
}

/** What a member finds that keeps nothing on disk. */
const NOTHING_RECOVERED: Recovered = { consistentIndex: 0, term: 0, voters: [], learners: [], removed: [] };

/** What a member without a log begins with; null with a log. */
async function findStart(config: Config, log: Log, stop: AbortSignal): Promise<ClusterStart | null> {
  if (!hasLog(config)) {
    // A member with a log starts without what finds a cluster.
    const { findCluster } = await import("./cluster-start.ts");
    return findCluster({ config, log, stop });
  }
  if (config.discovery !== "" || config.discoveryEndpoints.length > 0) {
    log.warn("discovery token is ignored since cluster already initialized; valid logs are found", {
      "wal-dir": walDirectory(config),
    });
  }
  return null;
}

/** etcd's pause between applying the own removal and stopping: the others learn meanwhile that it is committed. */
const REMOVED_GRACE_MS = 1000;

const REMOVED_TEXT = "the member has been permanently removed from the cluster";

/** The member learned that it was removed before it could serve. It has stopped in order, and logged why: no failure. */
export class MemberRemovedError extends Error {
  override readonly name = "MemberRemovedError";

  constructor() {
    super(REMOVED_TEXT);
  }
}

class Supervisor {
  /** Rejects when a worker dies. Nothing is left running soon after. */
  readonly failed: Promise<never>;
  readonly #config: Config;
  readonly #log: Log;
  readonly #options: MemberOptions;
  readonly #memory: SharedMemory;
  readonly #threads: MemberThreads;
  readonly #meters = openMeters(MAIN_LAYOUT);
  readonly #vitals: ThreadVitals;
  #reject: (error: Error) => void;
  readonly #files: MemberFiles | null;
  #router: Router | null = null;
  #storage: Comlink.Remote<StorageControl> | null = null;
  #snapshots: MemberSnapshots | null = null;
  #serving: Serving | null = null;
  #tracing: Tracing | null = null;
  #versions: VersionMonitor | null = null;
  #stopping = false;
  #stopped: Promise<void> | null = null;
  #abandoned: Promise<void> | null = null;
  #pump: Pump | null = null;

  constructor(config: Config, log: Log, threads: MemberThreads, start: ClusterStart | null) {
    this.#config = config;
    this.#log = log;
    this.#threads = threads;
    this.#memory = threads.memory;
    this.#vitals = new ThreadVitals(this.#memory.vitals.main);
    threads.onLog = (record) => log.write(record);
    this.#files = config.inMemory ? null : openFiles(config);
    for (const warning of this.#files?.directory.warnings ?? []) log.warn(warning, {});
    this.#options = memberOptions(config, this.#files?.directory ?? null, start);
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    this.#reject = reject;
    // Whoever waits for it sees the rejection; nobody waits while the member stops.
    promise.catch(() => undefined);
    threads.failed.catch(this.fail);
  }

  async start(stop: AbortSignal): Promise<Member> {
    const { inMemory } = this.#options;
    this.#threads.begin(this.#options);
    const raft = this.#threads.control<RaftControl>("raft");
    const apply = this.#threads.control<ApplyControl>("apply");
    const storage = inMemory ? null : this.#threads.control<StorageControl>("storage");
    this.#storage = storage;
    const watch = new WatchThread({
      startThread: () => this.#threads.control<WatchControl>("watch"),
      followCommits: storage === null ? null : () => storage.followedByWatch(),
      onFailure: this.fail,
    });

    const snapshots = new MemberSnapshots({
      options: this.#options,
      apply,
      storage,
      watch,
      log: this.#log,
      meters: this.#meters,
    });
    this.#snapshots = snapshots;
    const found: Recovered = storage === null ? NOTHING_RECOVERED : await storage.open();
    const recovered = await snapshots.finishInstall(found);
    const [log, opened] = await Promise.all([raft.open(recovered), apply.open()]);
    const { identity } = log;
    this.#logStart(identity, opened);
    await storage?.run({ ...recovered, revision: opened.revision });
    watch.setCommitted(opened.revision);
    await apply.run(log);
    snapshots.running(log);
    const router = createRouter({
      memory: this.#memory,
      config: this.#config,
      memberId: identity.memberId,
      firstRequestId: this.#options.firstRequestId,
      meters: this.#meters,
      vitals: this.#vitals,
      onFailure: this.fail,
    });
    this.#router = router;
    if (this.#config.enableDistributedTracing) {
      const { startTracing } = await import("../src/telemetry/tracing.ts");
      this.#tracing = await startTracing({
        config: this.#config,
        memberId: identity.memberId,
        log: this.#log,
        askStages: router.askStages,
      });
      router.onRecord(RecordType.span, this.#tracing.tracer.takeRecord);
    }
    startRevoker(router, this.#log);
    this.#pump = new Pump(router, this.#memory);
    // A thread may have died meanwhile.
    if (!this.#stopping) this.#pump.run().catch(this.fail);
    const joining = { router, identity, config: this.#config, log: this.#log };
    if (this.#config.featureGates["InitialCorruptCheck"] && !this.#options.bootstrap)
      await checkData(joining);
    await raft.run(Comlink.proxy(snapshots));
    const threads: Threads = { router, raft, apply, storage, watch };
    const removed = this.#untilRemoved(raft);
    const ended = removed.then(() => {
      throw new MemberRemovedError();
    });
    // Of no interest once it serves.
    ended.catch(() => undefined);
    try {
      this.#versions = startVersionMonitor(joining);
      await Promise.race([joinCluster(joining), whenAborted(stop), ended]);
    } catch (error) {
      if (stop.aborted || error instanceof MemberRemovedError) await this.#stop(threads);
      throw error;
    }
    this.#serving = await serve({
      router,
      identity,
      config: this.#config,
      log: this.#log,
      snapshots,
      tracing: this.#tracing,
      defragmenter: new MemberDefragment({
        options: this.#options,
        storage,
        pool: snapshots.pool,
        meters: this.#meters,
      }),
      memory: this.#memory,
      vitals: this.#vitals,
      peers: () => raft.peers(),
      diagnostics: this.#threads.diagnostics,
      onWatchStream: () => watch.want(),
    });
    // A thread died meanwhile: what has just been opened would outlive the member.
    if (this.#stopping) await this.#serving.stop();
    return {
      identity,
      clientAddresses: this.#serving.addresses,
      failed: this.failed,
      removed,
      stop: () => (this.#stopped ??= this.#stop(threads)),
    };
  }

  /**
   * Raft says when: the membership alone does not tell whether others may still need this member's vote. So a member that knows of
   * its removal starts again all the same, and ends when its peers turn it away.
   */
  async #untilRemoved(raft: Comlink.Remote<RaftControl>): Promise<void> {
    await raft.removed();
    await sleep(REMOVED_GRACE_MS);
    this.#log.warn("server error", { error: REMOVED_TEXT });
    this.#log.warn("data-dir used by this member must be removed", {});
  }

  /** Ends the member: a thread has died. */
  readonly fail = (error: unknown): void => {
    this.#reject(error instanceof Error ? error : new Error(String(error)));
    this.abandon().catch((cause: unknown) => this.#log.error("could not end all threads", { error: cause }));
  };

  #logStart(identity: MemberIdentity, opened: ApplyOpened): void {
    const fields = {
      "local-member-id": identity.memberId,
      "cluster-id": identity.clusterId,
      "current-revision": opened.revision,
      "consistent-index": opened.consistentIndex,
    };
    this.#log.info(this.#options.bootstrap ? "starting local member" : "restarting local member", fields);
  }

  /** A thread that dies meanwhile answers no more calls: then the stop fails, and does not wait for it. */
  async #stop(threads: Threads): Promise<void> {
    if (this.#stopping) {
      // It has failed before.
      await this.abandon();
      return this.failed;
    }
    this.#stopping = true;
    this.#threads.expectEnd();
    this.#log.info("closing etcd server", { name: this.#config.name, "data-dir": this.#config.dataDir });
    try {
      await Promise.race([this.#stopInOrder(threads), this.failed]);
    } finally {
      await this.abandon();
    }
    this.#log.info("closed etcd server", { name: this.#config.name, "data-dir": this.#config.dataDir });
  }

  async #stopInOrder({ router, raft, apply, storage, watch }: Threads): Promise<void> {
    this.#versions?.stop();
    await handOverLeadership(router, 2 * this.#config.electionTimeoutMs, this.#log);
    await this.#serving?.stop();
    router.stop();
    await raft.stop();
    await this.#snapshots?.close();
    await apply.stop();
    await watch.stop();
    await storage?.stop();
  }

  /** Ends all threads as they are and gives up the directory. What was acknowledged is in the WAL. */
  abandon(): Promise<void> {
    return (this.#abandoned ??= this.#abandon());
  }

  async #abandon(): Promise<void> {
    this.#stopping = true;
    this.#threads.expectEnd();
    this.#router?.stop();
    this.#pump?.stop();
    this.#vitals.close();
    await this.#serving?.stop();
    await this.#snapshots?.close();
    await this.#tracing?.stop();
    await this.#closeDatabase();
    await this.#threads.terminate();
    this.#files?.release();
  }

  /**
   * A thread must not end inside a write transaction of LMDB: lmdb-js waits for its end while it cleans up, and the process
   * would never end. So storage gives the transaction up first, unless it is gone already.
   */
  async #closeDatabase(): Promise<void> {
    if (this.#storage === null) return;
    await Promise.race([this.#storage.abandon(), this.#threads.ended("storage")]);
  }
}

interface Threads {
  readonly router: Router;
  readonly raft: Comlink.Remote<RaftControl>;
  readonly apply: Comlink.Remote<ApplyControl>;
  readonly storage: Comlink.Remote<StorageControl> | null;
  readonly watch: WatchThread;
}
