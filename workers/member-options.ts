import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CompactionPace } from "../src/apply/apply-compaction.ts";
import type { Config } from "../src/config/config.ts";
import type { DataDirectory } from "../src/storage/data-dir.ts";
import { walDirectory } from "./member-files.ts";
import type { ClusterStart } from "./cluster-start.ts";
import type { MemberOptions } from "./control.ts";
import { RECEIVE_OVERHEAD_BYTES } from "./shared-memory.ts";

/** etcd's request id suffix at the start of a process: unix milliseconds, 40 bits, then 8 bits to count in. */
function firstRequestId(unixMs: number): number {
  return (unixMs % 2 ** 40) * 256;
}

/** What etcd takes for a flag of compaction's pace that is not set. */
const ETCD_COMPACTION_BATCH = 1000;
const ETCD_COMPACTION_REST_MS = 10;
const QUOTA_BYTES_DEFAULT = 2 * 1024 * 1024 * 1024;

/** One flag alone takes etcd's default for the other. */
function compactionPace({ compactionBatchLimit, compactionSleepIntervalMs }: Config): CompactionPace | null {
  if (compactionBatchLimit <= 0 && compactionSleepIntervalMs <= 0) return null;
  return {
    batchKeys: compactionBatchLimit > 0 ? compactionBatchLimit : ETCD_COMPACTION_BATCH,
    restMs: compactionSleepIntervalMs > 0 ? compactionSleepIntervalMs : ETCD_COMPACTION_REST_MS,
  };
}

/** `--quota-backend-bytes` with its default filled in; negative = none. */
export function quotaBytes(config: Config): number {
  return config.quotaBackendBytes === 0 ? QUOTA_BYTES_DEFAULT : config.quotaBackendBytes;
}

/** One and a half election timeouts, in whole ticks, rounded up to seconds: a lease outlives an election. */
function leaseTtlSecondsMin({ electionTicks, heartbeatIntervalMs }: Config): number {
  return Math.ceil((Math.floor((3 * electionTicks) / 2) * heartbeatIntervalMs) / 1000);
}

/** Of a member with a log, which knows all this itself. */
const FROM_LOG: ClusterStart = {
  memberId: 0n,
  clusterId: 0n,
  joining: false,
  foundingMembers: [],
  remotes: [],
};

/** Where a member that keeps nothing has the snapshots that it passes on, or takes. */
function temporarySnapDir(): string {
  const { randomBytes } = process.getBuiltinModule("node:crypto");
  return join(tmpdir(), `concord-${process.pid}-${randomBytes(4).toString("hex")}`);
}

/**
 * What the threads need of the configuration.
 * @param directory null when nothing is kept on disk
 * @param start what a member without a log begins with; null with a log
 */
export function memberOptions(
  config: Config,
  directory: DataDirectory | null,
  start: ClusterStart | null,
): MemberOptions {
  return {
    ...(start ?? FROM_LOG),
    inMemory: config.inMemory,
    tracing: config.enableDistributedTracing,
    tracesSlowRequests: config.traceSlowRequestsMs > 0,
    databasePath: directory?.databasePath ?? "",
    checkpointPath: directory?.checkpointPath ?? "",
    walDir: directory === null ? "" : walDirectory(config),
    name: config.name,
    bootstrap: start !== null,
    forceNewCluster: config.forceNewCluster && start === null,
    peerUrls: config.initialAdvertisePeerUrls.map((url) => url.text),
    listenPeerUrls: config.listenPeerUrls,
    snapDir: directory?.snapPath ?? temporarySnapDir(),
    firstRequestId: firstRequestId(Date.now()),
    snapshotCount: config.snapshotCount,
    walsMax: config.walsMax,
    unsafeNoFsync: config.unsafeNoFsync,
    batchIntervalMs: config.backendBatchIntervalMs,
    batchOpsMax: config.backendBatchLimit,
    valueCacheBytes: config.valueCacheBytes,
    hashesCompactions: config.featureGates["CompactHashCheck"],
    compactionPace: compactionPace(config),
    quotaBytes: quotaBytes(config),
    tickMs: config.heartbeatIntervalMs,
    electionTicks: config.electionTicks,
    initialElectionTickAdvance: config.initialElectionTickAdvance,
    preVote: config.preVote,
    learnersMax: config.learnersMax,
    leaseTtlSecondsMin: leaseTtlSecondsMin(config),
    leaseRetryMs: config.requestTimeoutMs,
    requestTimeoutMs: config.requestTimeoutMs,
    leaseCheckpoint: config.featureGates["LeaseCheckpoint"] ?? false,
    leaseCheckpointPersist: config.featureGates["LeaseCheckpointPersist"] ?? false,
    strictReconfigCheck: config.strictReconfigCheck,
    snapshotCatchupEntries: config.snapshotCatchupEntries,
    snapshotsMax: config.snapshotsMax,
    raftReadTimeoutMs: config.raftReadTimeoutMs,
    raftWriteTimeoutMs: config.raftWriteTimeoutMs,
    receiveBytesMax: config.requestBytesMax + RECEIVE_OVERHEAD_BYTES,
    warningApplyDurationMs: config.warningApplyDurationMs,
    watchProgressIntervalMs: config.watchProgressNotifyIntervalMs,
  };
}
