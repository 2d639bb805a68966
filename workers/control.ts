/**
 * The control surface of each worker thread: what goes through comlink and not through rings. One typed interface a worker;
 * calls are rare, arguments and results are structured-cloned.
 */

import * as Comlink from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { CompactionPace } from "../src/apply/apply-compaction.ts";
import type { ListenUrl } from "../src/config/urls.ts";
import type { PeerReport } from "../src/peer/peer-report.ts";
import type { MemberIdentity } from "../src/proto/response-header.ts";
import type { FoundingMember } from "../src/raft/bootstrap.ts";
import type { SnapshotService } from "../src/raft/snapshot-service.ts";
import type { SnapshotExpectation } from "../src/snapshot/read-snapshot.ts";
import type { SnapshotDescription } from "../src/snapshot/snapshot.ts";
import { type Logger, LogThreshold, workerLogger } from "../src/telemetry/logger.ts";
import { DIAGNOSTICS } from "./thread-diagnostics.ts";

/** Memory of all rings and doorbells, made by the supervisor before the threads start. */
export interface SharedMemory {
  readonly rings: Readonly<Record<RingName, SharedArrayBuffer>>;
  /** One a consumer thread. */
  readonly doorbells: Readonly<Record<ThreadName, SharedArrayBuffer>>;
  /** Words that the watch thread writes and apply reads (src/watch/watch.ts). */
  readonly watchState: SharedArrayBuffer;
  /** Moves when another file takes the place of the database; readers of it follow (`src/storage/following-reader.ts`). */
  readonly databaseGeneration: SharedArrayBuffer;
  /** From which level on every thread logs (`LogThreshold`). */
  readonly logThreshold: SharedArrayBuffer;
  /** What the threads count (src/base/thread-meters.ts): how each is, and what it does. Each writes its own, main reads all. */
  readonly vitals: Readonly<Record<ThreadName, SharedArrayBuffer>>;
  readonly meters: Readonly<Record<Exclude<ThreadName, "main">, SharedArrayBuffer>>;
}

export type ThreadName = "main" | "raft" | "apply" | "storage" | "watch";
export type RingName =
  | "mainToRaft"
  | "mainToApply"
  | "raftToApply"
  | "raftToMain"
  | "applyToMain"
  | "applyToStorage"
  | "applyToRaft"
  | "storageToApply"
  | "storageToRaft"
  | "storageToMain"
  | "applyToWatch"
  | "mainToWatch"
  | "storageToWatch"
  | "watchToApply"
  | "watchToMain";

/** What every worker is started with, before it is known what it shall do. */
export interface ThreadStart {
  readonly memory: SharedMemory;
  /** Brings the {@link MemberOptions}, once. */
  readonly start: MessagePort;
}

/** What every worker works with. */
export interface WorkerData {
  readonly memory: SharedMemory;
  readonly options: MemberOptions;
}

/** The part of the configuration that worker threads need, with everything computed from it. */
export interface MemberOptions {
  /** Nothing is kept on disk: the apply thread holds the backend, and no storage thread runs. */
  readonly inMemory: boolean;
  readonly databasePath: string;
  readonly checkpointPath: string;
  /** Absolute path of the WAL's folder. */
  readonly walDir: string;
  readonly name: string;
  readonly memberId: bigint;
  readonly clusterId: bigint;
  /** True when there is no WAL yet: the raft thread writes the first one. */
  readonly bootstrap: boolean;
  /** With {@link bootstrap}: this member was added to a running cluster, so it begins with an empty log, which the leader fills. */
  readonly joining: boolean;
  /** All members that found the cluster, this one included, ascending by id; empty unless {@link bootstrap} and not {@link joining}. */
  readonly foundingMembers: readonly FoundingMember[];
  /**
   * With {@link joining}: the other members of the running cluster, whom the log has not named yet. Raft must be able to answer
   * them before it has. Empty otherwise.
   */
  readonly remotes: readonly RemoteMember[];
  /** With a WAL: the log was cut at what is committed, and every other member is removed (--force-new-cluster). */
  readonly forceNewCluster: boolean;
  /** This member's advertised peer URLs, sorted. */
  readonly peerUrls: readonly string[];
  /** Where the raft thread listens for peers. */
  readonly listenPeerUrls: readonly ListenUrl[];
  /** Snapshots from and for peers; in memory mode a temporary directory, which the supervisor makes and deletes. */
  readonly snapDir: string;
  /** First request id of this process; what carries a lower one comes from an earlier life and is not answered. */
  readonly firstRequestId: number;
  readonly snapshotCount: number;
  readonly walsMax: number;
  readonly unsafeNoFsync: boolean;
  readonly batchIntervalMs: number;
  readonly batchOpsMax: number;
  readonly valueCacheBytes: number;
  /** Feature gate CompactHashCheck: each compaction is hashed, for members to compare. */
  readonly hashesCompactions: boolean;
  /** `--compaction-batch-limit` and `--compaction-sleep-interval`; null if neither is set. */
  readonly compactionPace: CompactionPace | null;
  /** `--quota-backend-bytes` with its default filled in; negative = none. */
  readonly quotaBytes: number;
  /** One tick is also the heartbeat interval. */
  readonly tickMs: number;
  readonly electionTicks: number;
  /** --initial-election-tick-advance: a start skips most of the first election timeout. */
  readonly initialElectionTickAdvance: boolean;
  readonly preVote: boolean;
  readonly learnersMax: number;
  /** Shorter TTLs of leases are raised to it. */
  readonly leaseTtlSecondsMin: number;
  /** An expired lease whose revocation was asked for and has not come is asked for again after this. */
  readonly leaseRetryMs: number;
  /** How long reads and writes may wait for their answer. */
  readonly requestTimeoutMs: number;
  /** Remaining times of leases go through the log, so that the next leader knows them. */
  readonly leaseCheckpoint: boolean;
  /** They go to the database, too, although members of the cluster may be too old to know them. */
  readonly leaseCheckpointPersist: boolean;
  readonly strictReconfigCheck: boolean;
  /** Entries kept behind a snapshot for slow followers. */
  readonly snapshotCatchupEntries: number;
  /** Snapshot files kept; 0 = all. */
  readonly snapshotsMax: number;
  /** A read of a peer's connection may take that long. */
  readonly raftReadTimeoutMs: number;
  readonly raftWriteTimeoutMs: number;
  /** Longest request message, gRPC's overhead included: longer watch responses are split where that is asked for. */
  readonly receiveBytesMax: number;
  readonly watchProgressIntervalMs: number;
  /** What takes apply longer is logged. */
  readonly warningApplyDurationMs: number;
  /** Threads report spans of sampled requests. */
  readonly tracing: boolean;
  /** Threads note their stages, for requests that turn out to be slow. */
  readonly tracesSlowRequests: boolean;
}

/** Another member, as a running cluster told it to one that joins. */
export interface RemoteMember {
  readonly id: bigint;
  readonly peerUrls: readonly string[];
}

/** What storage found when it opened the database. */
export interface Recovered {
  readonly consistentIndex: number;
  readonly term: number;
  /** The configuration at {@link consistentIndex}: ids of the members, from the same read. Empty in a new database. */
  readonly voters: readonly bigint[];
  readonly learners: readonly bigint[];
  /** Members that were removed, and whose ids never come back. */
  readonly removed: readonly bigint[];
}

export interface StorageControl {
  /** Opens the database; nothing is written yet. */
  open(): Promise<Recovered>;
  /** Starts the loop, once apply has found at which revision the database stands. */
  run(recovered: Recovered & { readonly revision: number }): void;
  /**
   * Ends the loop, if it runs, without a commit, and puts the database `built` (of a snapshot that covers all that was here) in the
   * place of the old one. Open and not run afterwards, as after {@link open}. Apply must have let go of its state.
   */
  replace(built: string): Promise<Recovered>;
  /** Notes all changes from now on, for a copy of what is committed when this resolves; see `src/storage/defragmentation.ts`. */
  beginDefragment(): Promise<void>;
  /**
   * Brings the copy at `target`, which holds revisions up to `revision`, up to date while the loop runs on, and puts it in the
   * database's place; resolves when the old file is let go of. Rejects with the cause, the database as it was.
   */
  finishDefragment(target: string, revision: number): Promise<void>;
  /** Tells the watch thread of every commit from now on, and of what is committed already. */
  followedByWatch(): void;
  /** Nothing comes of the copy: ends what {@link beginDefragment} began. */
  abandonDefragment(): Promise<void>;
  /** Ends the loop after committing everything that is in its ring, and closes the database. */
  stop(): Promise<void>;
  /** Ends the loop and closes the database as it is: what was not committed is in the WAL. Also after {@link stop}. */
  abandon(): void;
}

export interface ApplyControl {
  /** Builds the state from checkpoint and database, or (memory mode) from a snapshot file; returns what main needs to know of it. */
  open(snapshot?: ReceivedSnapshot): Promise<ApplyOpened>;
  /** Starts the loop, once it is known which member this is. Throws when the database belongs to another one. */
  run(opened: RaftOpened): void;
  /**
   * Ends the loop and drops the state, for one that a snapshot brings: {@link open} and {@link run} follow. Requests that it was
   * working on fail, and may be tried again; those in its rings wait.
   */
  suspend(): Promise<void>;
  /** Memory mode: writes a snapshot of the state to a new file. Everything else waits. Rejects with the path and the cause. */
  writeSnapshot(path: string): Promise<SnapshotDescription>;
  /** Ends the loop once everything in its rings is applied, and leaves a checkpoint of the index behind. */
  stop(): Promise<void>;
}

/** A snapshot file from a peer, and what it must hold. */
export interface ReceivedSnapshot extends SnapshotExpectation {
  readonly path: string;
}

/** The state that apply found or built. */
export interface ApplyOpened {
  readonly consistentIndex: number;
  readonly revision: number;
  /** Empty while undecided. */
  readonly clusterVersion: string;
}

/** What raft found in the log. */
export interface RaftOpened {
  readonly identity: MemberIdentity;
  /** Last index of the log before this start appends anything. */
  readonly lastIndex: number;
  /** Term of the entry there; 0 in an empty log. */
  readonly lastTerm: number;
}

export interface RaftControl {
  /** Opens the WAL and reads what is above the consistent index, or creates it. Throws when the two do not fit together. */
  open(recovered: Recovered): Promise<RaftOpened>;
  /** Starts the loop: hands apply everything committed above `appliedIndex`. `snapshots` is a comlink proxy of main's. */
  run(snapshots: SnapshotService): void;
  /** Resolves when this member was removed from the cluster: it is to stop a second later. Never otherwise. */
  removed(): Promise<void>;
  /** What the network has counted of each peer, for metrics. */
  peers(): Promise<readonly PeerReport[]>;
  /** Flushes what is in flight and closes the WAL. */
  stop(): Promise<void>;
}

export interface WatchControl {
  /** Opens the database (which storage has open) and starts the loop. `committed`: the revision that it stands at. */
  run(committed: number): void;
  /** Lets go of the database, for one that a snapshot brings: {@link resume} follows. Watchers in sync are served on. */
  suspend(): Promise<void>;
  /** Apply has another state, of the database that is in place now. */
  resume(): Promise<void>;
  /** Ends the loop and lets go of the database. Apply must have stopped. */
  stop(): Promise<void>;
}

/** Worker side: what this thread works with. Everything that it needs is loaded by the time this is called. */
export async function receiveWorkerData(): Promise<WorkerData> {
  const { memory, start } = workerData as ThreadStart;
  const options = await new Promise<MemberOptions>((resolve) => start.once("message", resolve));
  start.close();
  return { memory, options };
}

/** Worker side: offers `control`, and what all threads have, to the supervisor. */
export function exposeControl(control: StorageControl | ApplyControl | RaftControl | WatchControl): void {
  if (parentPort === null) throw new Error("a worker entry was started on the main thread");
  Comlink.expose({ ...control, ...DIAGNOSTICS }, nodeEndpoint(parentPort));
}

/** Worker side: a logger of which main writes the lines. */
export function threadLogger(memory: SharedMemory): Logger {
  if (parentPort === null) throw new Error("a worker entry was started on the main thread");
  return workerLogger(parentPort, new LogThreshold(memory.logThreshold));
}
