/**
 * One life of a member's process: its threads are the product's loops on simulated time, joined by in-memory rings as
 * `workers/supervisor.ts` joins them by shared ones. It never ends by itself: whoever started it drops it.
 */

import type { ApplyLoop } from "../../src/apply/apply-loop.ts";
import type { MemberIdentity } from "../../src/proto/response-header.ts";
import type { RaftLoop } from "../../src/raft/raft-loop.ts";
import { StorageLoop } from "../../src/storage/storage-loop.ts";
import { walExists } from "../../src/wal/segments.ts";
import type { WalFileSystem } from "../../src/wal/wal-file-system.ts";
import type { MemberOptions, Recovered } from "../../workers/control.ts";
import { type OpenedLog, openLog } from "../../workers/raft-log.ts";
import { WatchFeed } from "../../src/apply/watch-feed.ts";
import { WATCH_STATE_BYTES } from "../../src/watch/watch-state.ts";
import type { WatchLoop } from "../../src/watch/watch.ts";
import { type ApplyStart, createApplyLoop, openApplyState } from "./apply-thread.ts";
import { InvariantError } from "./invariants.ts";
import { type MemberRings, WatchedEntries, createRings } from "./member-rings.ts";
import { CATCH_UP_ENTRIES, startRaftThread } from "./raft-thread.ts";
import type { Life } from "./scheduler.ts";
import { SimulatedMain } from "./simulated-main.ts";
import type { SimulatedMember } from "./simulated-member.ts";
import { SimulatedSnapshots } from "./simulated-snapshots.ts";
import { SimulatedThread } from "./simulated-threads.ts";
import { createWatchLoop, openHistory } from "./watch-thread.ts";

export const CLUSTER_ID = 0x5137n;
const WAL_DIRECTORY = "/data/member/wal";
/** Small, so that runs cut many segments. */
const SEGMENT_BYTES = 64 * 1024;
const SEGMENTS_KEPT = 2;
const BATCH_INTERVAL_MS = 100;
const BATCH_OPS_MAX = 10_000;
const DISCARD_RECORDS = 1e6;
const MIN_TTL_SECONDS = 2;
const LEASE_RETRY_MS = 3000;
/** Short, so that leases of a few seconds are checkpointed. */
const CHECKPOINT_INTERVAL_MS = 2000;
const LEASE_SWEEP_MS = 500;

export interface ProcessOptions {
  readonly member: SimulatedMember;
  readonly life: Life;
  /** Ids of requests, and contexts of reads, begin here: above those of earlier lives. */
  readonly firstId: number;
  /** A thread has thrown. */
  readonly onError: (error: unknown) => void;
}

export class MemberProcess {
  readonly main: SimulatedMain;
  /** The newest membership that main was told, JSON; empty before. */
  membership = "";
  #isMember = false;
  readonly #options: ProcessOptions;
  readonly #rings = createRings();
  readonly #identity: MemberIdentity;
  readonly #threads: Record<"apply" | "storage" | "main" | "watch", SimulatedThread>;
  readonly #watchState = new Int32Array(WATCH_STATE_BYTES / 4);
  readonly #watchFeed: WatchFeed;
  #watch: WatchLoop | null = null;
  #apply: ApplyLoop | null = null;
  #state: ApplyStart | null = null;
  /** Revision of the entry applied last; -1 = none yet. */
  #revision = -1;
  #storage: StorageLoop | null = null;
  #raft: RaftLoop | null = null;
  #lastTerm = 0;
  #lastIndex = 0;

  readonly #bornMs: number;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.#bornMs = options.member.clockMs;
    this.#identity = { clusterId: CLUSTER_ID, memberId: options.member.id };
    this.main = this.#createMain();
    this.#threads = {
      apply: this.#thread(() => this.#turnApply()),
      storage: this.#thread(() => this.#turnStorage()),
      main: this.#thread(() => (this.main.drain(), Infinity)),
      watch: this.#thread(() => this.#turnWatch()),
    };
    this.#watchFeed = new WatchFeed({
      toWatch: this.#rings.applyToWatch,
      fromWatch: this.#rings.watchToApply,
      state: this.#watchState,
    });
    this.#connectRings(this.#rings);
  }

  /** Null while the process starts. */
  get raft(): RaftLoop | null {
    return this.#raft;
  }

  /** Leases that it knows. */
  get leases(): number {
    return this.#state?.lessor.size ?? 0;
  }

  /** It knows a membership that it belongs to. */
  get isMember(): boolean {
    return this.#isMember;
  }

  /** The membership that it knows has this member. */
  knows(id: bigint): boolean {
    return this.membership.includes(`"id":"${id.toString(16)}"`);
  }

  /** Reads disk and database, and begins. Rejects when it cannot. */
  async run(): Promise<void> {
    const { member, life, firstId, onError } = this.#options;
    const { scheduler, random } = member.setup;
    const fileSystem = member.disk.mount(life);
    member.snapshots.finishInstall(member.database, fileSystem, WAL_DIRECTORY);
    const start = this.#readState();
    const { consistentIndex, term } = start.recovered;
    const { voters, learners } = start.membership.confState();
    const opened = await this.#openLog(fileSystem, { consistentIndex, term, voters, learners, removed: [] });
    const newest = opened.entries.at(-1);
    this.#lastIndex = opened.lastIndex;
    this.#lastTerm = newest?.term(newest.count - 1) ?? opened.appliedTerm;
    this.#openState(start);
    this.#startWatch(start.store.revision);
    this.#sweepLeases();
    this.#raft = startRaftThread({
      member,
      life,
      rings: this.#rings,
      opened,
      appliedIndex: consistentIndex,
      voters,
      learners,
      snapshots: new SimulatedSnapshots({
        scheduler,
        random,
        life,
        database: member.database,
        store: member.snapshots,
        reopen: (replace) => this.#reopen(replace),
      }),
      firstReadNumber: firstId,
    });
    this.#raft.done.catch(onError);
  }

  /** Apply and storage begin on what the database holds. */
  #openState(start: ApplyStart): void {
    const { member, firstId } = this.#options;
    this.#state = start;
    this.#revision = -1;
    this.#apply = createApplyLoop({
      start,
      watch: this.#watchFeed,
      nowMs: this.#nowMs,
      database: member.database,
      rings: this.#rings,
      identity: this.#identity,
      firstRequestId: firstId,
      lastIndex: this.#lastIndex,
      lastTerm: this.#lastTerm,
      fromRaft: new WatchedEntries(this.#rings.raftToApply, member.name, member.setup.invariants, (index) =>
        this.#applied(index),
      ),
    });
    const { scheduler } = member.setup;
    const { storageToApply, storageToRaft, storageToMain, storageToWatch, applyToStorage } = this.#rings;
    const { consistentIndex, term } = start.recovered;
    this.#storage = new StorageLoop({
      backend: member.database.open(),
      inbound: applyToStorage,
      outbound: [storageToApply, storageToRaft, storageToMain, storageToWatch],
      batchIntervalMs: BATCH_INTERVAL_MS,
      batchOpsMax: BATCH_OPS_MAX,
      clock: { monotonicMs: () => scheduler.nowMs, unixMs: () => scheduler.nowMs },
      recovered: { consistentIndex, term, revision: start.store.revision },
    });
    this.#describeLeases(consistentIndex);
    this.#apply.start();
    this.#threads.apply.ring();
    this.#threads.storage.ring();
  }

  /** As the supervisor does it when a snapshot takes the place of the state: see `workers/member-snapshots.ts`. */
  #reopen(replace: () => void): void {
    this.#apply?.abandon();
    this.#watch?.setHistory(null);
    this.#watch?.abandonQuestion();
    while (this.#rings.applyToStorage.drain(() => undefined, DISCARD_RECORDS) > 0);
    replace();
    while (this.#rings.storageToApply.drain(() => undefined, DISCARD_RECORDS) > 0);
    this.#watch?.setHistory(openHistory(this.#options.member.database, this.#options.member.setup.canary));
    this.#openState(this.#readState());
  }

  #readState(): ApplyStart {
    const { member } = this.#options;
    const { leases, history, canary, scheduler } = member.setup;
    return openApplyState({
      database: member.database,
      rings: this.#rings,
      member: member.name,
      watch: this.#watchFeed,
      history,
      lessor: {
        member: member.name,
        checker: leases,
        canary,
        otherClockMs: () => scheduler.nowMs,
        minTtlSeconds: MIN_TTL_SECONDS,
        retryMs: LEASE_RETRY_MS,
        checkpointIntervalMs: CHECKPOINT_INTERVAL_MS,
        hashSeed: 1,
      },
    });
  }

  /** The machine's clock, from when this process began. */
  readonly #nowMs = (): number => this.#options.member.clockMs - this.#bornMs;

  #startWatch(committed: number): void {
    const { member } = this.#options;
    this.#watch = createWatchLoop({
      rings: this.#rings,
      state: this.#watchState,
      committed,
      seed: member.setup.random.nextUint32(),
    });
    this.#watch.setHistory(openHistory(member.database, member.setup.canary));
    this.#rings.applyToWatch.onFull = () => void this.#watch?.turn(member.setup.scheduler.nowMs);
    this.#threads.watch.ring();
  }

  #turnWatch(): number {
    const watch = this.#watch;
    if (watch === null) return Infinity;
    const { nowMs } = this.#options.member.setup.scheduler;
    return watch.turn(nowMs) || !watch.inboxesEmpty() ? 0 : watch.sleepMs(nowMs);
  }

  /** An entry was handed to apply. */
  #applied(index: number): void {
    if (this.#apply?.appliedIndex !== index || this.#state === null) return;
    const { revision } = this.#state.store;
    if (this.#revision >= 0 && revision > this.#revision + 1) {
      const { name } = this.#options.member;
      throw new InvariantError(
        `${name} makes revisions ${this.#revision + 1} to ${revision} of entry ${index}`,
      );
    }
    this.#revision = revision;
    this.#describeLeases(index);
    const { history } = this.#options.member.setup;
    history.compactRevision = Math.max(history.compactRevision, this.#state.store.compactRevision);
  }

  #describeLeases(index: number): void {
    if (this.#state === null) return;
    const { lessor, store } = this.#state;
    const { member } = this.#options;
    member.setup.leases.state(member.name, index, lessor.describe(store));
  }

  #sweepLeases(): void {
    const { member, life } = this.#options;
    const { scheduler } = member.setup;
    const dueMs = scheduler.nowMs + LEASE_SWEEP_MS;
    scheduler.after(LEASE_SWEEP_MS, life, () => {
      // A process that was stopped has not come to its leases yet.
      if (scheduler.nowMs === dueMs) this.#state?.lessor.sweep(this.#nowMs());
      this.#sweepLeases();
    });
  }

  #turnApply(): number {
    const apply = this.#apply;
    if (apply === null) return Infinity;
    if (apply.turn() || !apply.inboxesEmpty()) return 0;
    return this.#options.member.virtualMs(apply.sleepMs(this.#nowMs()));
  }

  #turnStorage(): number {
    return this.#storage?.turn(this.#options.member.setup.scheduler.nowMs) ?? Infinity;
  }

  #thread(turn: () => number): SimulatedThread {
    const { member, life, onError } = this.#options;
    const guarded = (): number => {
      try {
        return turn();
      } catch (error) {
        if (error instanceof InvariantError) throw error;
        onError(error);
        return Infinity;
      }
    };
    return new SimulatedThread(member.setup.scheduler, member.setup.random, life, guarded);
  }

  #connectRings(rings: MemberRings): void {
    const { apply, main, storage, watch } = this.#threads;
    for (const ring of [rings.raftToApply, rings.mainToApply, rings.storageToApply, rings.watchToApply]) {
      ring.onPublish = () => apply.ring();
    }
    for (const ring of [rings.raftToMain, rings.applyToMain, rings.storageToMain, rings.watchToMain]) {
      ring.onPublish = () => main.ring();
    }
    for (const ring of [rings.applyToWatch, rings.mainToWatch, rings.storageToWatch]) {
      ring.onPublish = () => watch.ring();
    }
    rings.applyToStorage.onPublish = () => storage.ring();
  }

  #createMain(): SimulatedMain {
    const { member, life, firstId } = this.#options;
    const { scheduler, invariants } = member.setup;
    const { mainToRaft, mainToApply, mainToWatch, raftToMain, applyToMain, storageToMain, watchToMain } =
      this.#rings;
    return new SimulatedMain({
      scheduler,
      life,
      memberId: member.id,
      firstRequestId: firstId,
      toRaft: mainToRaft,
      toApply: mainToApply,
      toWatch: mainToWatch,
      clusterId: CLUSTER_ID,
      inboxes: [raftToMain, applyToMain, storageToMain, watchToMain],
      onLeader: (term, leaderId, isLeader) => {
        scheduler.trace.note(
          scheduler.nowMs,
          member.name,
          isLeader ? "leads" : "follows",
          term,
          Number(leaderId),
        );
        if (isLeader) invariants.leads(member.id, term);
      },
      onMembership: (json) => {
        this.membership = json;
        this.#isMember = this.knows(member.id);
      },
    });
  }

  /** Opens the log as the raft worker does. */
  #openLog(fileSystem: WalFileSystem, recovered: Recovered): Promise<OpenedLog> {
    const { id, founding, onRepair } = this.#options.member.setup;
    const options = {
      inMemory: false,
      bootstrap: !walExists(WAL_DIRECTORY, fileSystem),
      memberId: id,
      clusterId: CLUSTER_ID,
      foundingMembers: founding,
      walDir: WAL_DIRECTORY,
      databasePath: "database",
      forceNewCluster: false,
      snapshotCatchupEntries: CATCH_UP_ENTRIES,
    } as Partial<MemberOptions> as MemberOptions;
    return openLog(options, recovered, {
      fileSystem,
      segmentBytes: SEGMENT_BYTES,
      segmentsKept: SEGMENTS_KEPT,
      log: (_level, message) => {
        if (message === "repairing the log") onRepair();
      },
    });
  }
}
