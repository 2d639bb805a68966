/**
 * One life of a member's process: its threads are the product's loops on simulated time, joined by in-memory rings as
 * `workers/supervisor.ts` joins them by shared ones. It never ends by itself: whoever started it drops it.
 */

import type { ApplyLoop } from "../../src/apply/apply-loop.ts";
import type { MemberIdentity } from "../../src/proto/response-header.ts";
import type { RaftLoop } from "../../src/raft/raft-loop.ts";
import { StorageLoop } from "../../src/storage/storage-loop.ts";
import { walExists } from "../../src/wal/wal.ts";
import type { WalFileSystem } from "../../src/wal/wal-file-system.ts";
import type { MemberOptions, Recovered } from "../../workers/control.ts";
import { type OpenedLog, openLog } from "../../workers/raft-log.ts";
import { createApplyLoop, openApplyState } from "./apply-thread.ts";
import { InvariantError } from "./invariants.ts";
import { type MemberRings, WatchedEntries, createRings } from "./member-rings.ts";
import { CATCH_UP_ENTRIES, startRaftThread } from "./raft-thread.ts";
import type { Life } from "./scheduler.ts";
import { SimulatedMain } from "./simulated-main.ts";
import type { SimulatedMember } from "./simulated-member.ts";
import { SimulatedSnapshots } from "./simulated-snapshots.ts";
import { SimulatedThread } from "./simulated-threads.ts";

export const CLUSTER_ID = 0x5137n;
const WAL_DIRECTORY = "/data/member/wal";
/** Small, so that runs cut many segments. */
const SEGMENT_BYTES = 64 * 1024;
const SEGMENTS_KEPT = 2;
const BATCH_INTERVAL_MS = 100;
const BATCH_OPS_MAX = 10_000;
const DISCARD_RECORDS = 1e6;

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
  readonly #options: ProcessOptions;
  readonly #rings = createRings();
  readonly #identity: MemberIdentity;
  readonly #threads: { apply: SimulatedThread; storage: SimulatedThread; main: SimulatedThread };
  #apply: ApplyLoop | null = null;
  #storage: StorageLoop | null = null;
  #raft: RaftLoop | null = null;
  #lastTerm = 0;
  #lastIndex = 0;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.#identity = { clusterId: CLUSTER_ID, memberId: options.member.id };
    this.main = this.#createMain();
    this.#threads = {
      apply: this.#thread(() => this.#turnApply()),
      storage: this.#thread(() => this.#turnStorage()),
      main: this.#thread(() => (this.main.drain(), Infinity)),
    };
    this.#connectRings(this.#rings);
  }

  /** Null while the process starts. */
  get raft(): RaftLoop | null {
    return this.#raft;
  }

  /** It knows a membership that it belongs to. */
  get isMember(): boolean {
    return this.membership.includes(`"id":"${this.#options.member.id.toString(16)}"`);
  }

  /** Reads disk and database, and begins. Rejects when it cannot. */
  async run(): Promise<void> {
    const { member, life, firstId, onError } = this.#options;
    const { scheduler, random } = member.setup;
    const fileSystem = member.disk.mount(life);
    member.snapshots.finishInstall(member.database, fileSystem, WAL_DIRECTORY);
    const start = openApplyState(member.database, this.#rings);
    const { consistentIndex, term } = start.recovered;
    const { voters, learners } = start.membership.confState();
    const opened = await this.#openLog(fileSystem, { consistentIndex, term, voters, learners, removed: [] });
    const newest = opened.entries.at(-1);
    this.#lastIndex = opened.lastIndex;
    this.#lastTerm = newest?.term(newest.count - 1) ?? opened.appliedTerm;
    this.#openState();
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
  #openState(): void {
    const { member, firstId } = this.#options;
    const start = openApplyState(member.database, this.#rings);
    this.#apply = createApplyLoop({
      start,
      database: member.database,
      rings: this.#rings,
      identity: this.#identity,
      firstRequestId: firstId,
      lastIndex: this.#lastIndex,
      lastTerm: this.#lastTerm,
      fromRaft: new WatchedEntries(this.#rings.raftToApply, member.name, member.setup.invariants),
    });
    const { scheduler } = member.setup;
    const { storageToApply, storageToRaft, storageToMain, applyToStorage } = this.#rings;
    const { consistentIndex, term } = start.recovered;
    this.#storage = new StorageLoop({
      backend: member.database.open(),
      inbound: applyToStorage,
      outbound: [storageToApply, storageToRaft, storageToMain],
      batchIntervalMs: BATCH_INTERVAL_MS,
      batchOpsMax: BATCH_OPS_MAX,
      clock: { monotonicMs: () => scheduler.nowMs, unixMs: () => scheduler.nowMs },
      recovered: { consistentIndex, term, revision: start.store.revision },
    });
    this.#apply.start();
    this.#threads.apply.ring();
    this.#threads.storage.ring();
  }

  /** As the supervisor does it when a snapshot takes the place of the state: see `workers/member-snapshots.ts`. */
  #reopen(replace: () => void): void {
    this.#apply?.abandon();
    while (this.#rings.applyToStorage.drain(() => undefined, DISCARD_RECORDS) > 0);
    replace();
    while (this.#rings.storageToApply.drain(() => undefined, DISCARD_RECORDS) > 0);
    this.#openState();
  }

  #turnApply(): number {
    const apply = this.#apply;
    if (apply === null) return Infinity;
    return apply.turn() || !apply.inboxesEmpty() ? 0 : Infinity;
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
    const { apply, main, storage } = this.#threads;
    for (const ring of [rings.raftToApply, rings.mainToApply, rings.storageToApply]) {
      ring.onPublish = () => apply.ring();
    }
    for (const ring of [rings.raftToMain, rings.applyToMain, rings.storageToMain]) {
      ring.onPublish = () => main.ring();
    }
    rings.applyToStorage.onPublish = () => storage.ring();
  }

  #createMain(): SimulatedMain {
    const { member, life, firstId } = this.#options;
    const { scheduler, invariants } = member.setup;
    const { mainToRaft, mainToApply, raftToMain, applyToMain, storageToMain } = this.#rings;
    return new SimulatedMain({
      scheduler,
      life,
      memberId: member.id,
      firstRequestId: firstId,
      toRaft: mainToRaft,
      toApply: mainToApply,
      inboxes: [raftToMain, applyToMain, storageToMain],
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
      onMembership: (json) => (this.membership = json),
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
