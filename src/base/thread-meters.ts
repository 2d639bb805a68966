/**
 * What each thread counts: one block of memory a thread, which it alone writes. Main reads them all when somebody scrapes
 * (`src/telemetry/thread-metrics.ts`). Durations are in seconds, but where a name says milliseconds.
 */
import { type Meters, exponentialBounds, histograms } from "./meters.ts";

/** etcd's buckets for disks: 1 ms to 8.192 s. */
const DISK_BOUNDS = exponentialBounds(0.001, 2, 14);
/** etcd's buckets for applying and reading: 0.1 ms to 52.4 s. */
const APPLY_BOUNDS = exponentialBounds(0.0001, 2, 20);
/** etcd's buckets for whole-database hashes: 10 ms to 164 s. */
const HASH_BOUNDS = exponentialBounds(0.01, 2, 15);
const COUNT_BOUNDS = exponentialBounds(1, 2, 14);
const STALL_BOUNDS = exponentialBounds(0.001, 2, 14);
const TURN_BOUNDS = exponentialBounds(0.00005, 2, 18);
const GC_BOUNDS = exponentialBounds(0.0005, 2, 12);

/** How a thread itself is: every thread has these, main too. */
export const VITALS_LAYOUT = {
  cpuSeconds: "number",
  heapUsedBytes: "number",
  heapSizeBytes: "number",
  /** Pauses for young objects, and for everything else. */
  gcMinor: GC_BOUNDS,
  gcMajor: GC_BOUNDS,
  /** Threads with an event loop: how late a timer was. */
  loopDelay: STALL_BOUNDS,
  /** Threads that block: how long one round over the rings took. */
  turn: TURN_BOUNDS,
} as const;

export const RAFT_LAYOUT = {
  walFlush: DISK_BOUNDS,
  walBytes: "number",
  flushBytes: exponentialBounds(256, 4, 10),
  flushEntries: COUNT_BOUNDS,
  lateHeartbeats: "number",
  slowReadRounds: "number",
  failedReadRounds: "number",
  snapshotSync: DISK_BOUNDS,
  snapshotSave: exponentialBounds(0.1, 2, 10),
} as const;

/** `op` labels of etcd_server_apply_duration_seconds; an entry's kind is a position in this list. */
export const APPLY_OPS = [
  "unknown",
  "Range",
  "Put",
  "DeleteRange",
  "Txn",
  "Compaction",
  "LeaseGrant",
  "LeaseRevoke",
  "LeaseCheckpoint",
  "Alarm",
  "Authenticate",
  "AuthEnable",
  "AuthDisable",
  "AuthUserAdd",
  "AuthUserDelete",
  "AuthUserChangePassword",
  "AuthUserGrantRole",
  "AuthUserGet",
  "AuthUserRevokeRole",
  "AuthUserList",
  "AuthRoleAdd",
  "AuthRoleGrantPermission",
  "AuthRoleGet",
  "AuthRoleRevokePermission",
  "AuthRoleDelete",
  "AuthRoleList",
  "ClusterVersionSet",
  "ClusterMemberAttrSet",
  "DowngradeInfoSet",
] as const;

export const APPLY_LAYOUT = {
  puts: "number",
  putBytes: "number",
  ranges: "number",
  deletes: "number",
  txns: "number",
  keys: "number",
  /** By position in {@link APPLY_OPS}. */
  applied: histograms(APPLY_BOUNDS, APPLY_OPS.length),
  applyFailed: histograms(APPLY_BOUNDS, APPLY_OPS.length),
  range: APPLY_BOUNDS,
  rangeFailed: APPLY_BOUNDS,
  slowApplies: "number",
  hash: HASH_BOUNDS,
  hashRevision: HASH_BOUNDS,
  compactionMs: exponentialBounds(100, 2, 14),
  compactionPauseMs: exponentialBounds(0.5, 2, 14),
  /** Unix seconds of the end of the last compaction. */
  compactionEnded: "number",
  /** Records of one round that had any. */
  batchRecords: COUNT_BOUNDS,
} as const;

export const STORAGE_LAYOUT = {
  commit: DISK_BOUNDS,
  commitChanges: exponentialBounds(1, 4, 10),
  compactedRevisions: "number",
} as const;

export const WATCH_LAYOUT = {
  streams: "number",
  watchers: "number",
  behind: "number",
  events: "number",
} as const;

/** `type` labels of etcd_server_request_duration_seconds: those of {@link APPLY_OPS}, and transactions that only read. */
export const REQUEST_TYPES = [...APPLY_OPS, "ReadonlyTxn"] as const;

/** What main counts of its requests and of what it has done by others. It alone reads it. */
export const MAIN_LAYOUT = {
  /** By position in {@link REQUEST_TYPES}. */
  answered: histograms(DISK_BOUNDS, REQUEST_TYPES.length),
  failed: histograms(DISK_BOUNDS, REQUEST_TYPES.length),
  snapshot: exponentialBounds(0.01, 2, 17),
  defragmentation: exponentialBounds(0.1, 2, 13),
  /** 1 while a snapshot of the leader takes the database's place. */
  installing: "number",
  watchReceiveFailures: "number",
  keepAliveReceiveFailures: "number",
  keepAliveSendFailures: "number",
} as const;

export type MainMeters = Meters<typeof MAIN_LAYOUT>;
export type VitalsMeters = Meters<typeof VITALS_LAYOUT>;
export type RaftMeters = Meters<typeof RAFT_LAYOUT>;
export type ApplyMeters = Meters<typeof APPLY_LAYOUT>;
export type StorageMeters = Meters<typeof STORAGE_LAYOUT>;
export type WatchMeters = Meters<typeof WATCH_LAYOUT>;
