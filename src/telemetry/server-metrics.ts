/**
 * etcd's metrics of the server: names and labels exactly etcd's. What the other threads count: `thread-metrics.ts`.
 */
import { SERVER_VERSION } from "../base/version.ts";
import type { Metrics, Sample } from "./metrics.ts";

/** The numbers of one scrape. */
export interface ServerStats {
  /** This member's ID; 0 until it is known. */
  readonly memberId: bigint;
  readonly hasLeader: boolean;
  readonly isLeader: boolean;
  readonly isLearner: boolean;
  /** Changes of the leader seen, the first election included. */
  readonly leaderChangesSeen: number;
  /** Highest committed raft index. */
  readonly committedIndex: number;
  /** Highest applied raft index. */
  readonly appliedIndex: number;
  /** Proposals not yet committed. */
  readonly proposalsPending: number;
  readonly proposalsFailed: number;
  /** Size of the database files. */
  readonly dbBytes: number;
  /** The part of them that holds data. */
  readonly dbBytesInUse: number;
  readonly currentRevision: number;
  readonly compactRevision: number;
  readonly healthSuccesses: number;
  readonly healthFailures: number;
  /** `major.minor` that the cluster agreed on; empty until then. */
  readonly clusterVersion: string;
}

/** The quota that a flag value of 0 stands for. */
const QUOTA_BYTES_DEFAULT = 2 * 1024 ** 3;

type NumericField = {
  [K in keyof ServerStats]: ServerStats[K] extends number | boolean ? K : never;
}[keyof ServerStats];

/** Families that show one field: name, type, field, help. */
const FAMILIES: readonly (readonly [string, "gauge" | "counter", NumericField, string])[] = [
  ["etcd_server_has_leader", "gauge", "hasLeader", "1 if a leader is known, 0 if not."],
  ["etcd_server_is_leader", "gauge", "isLeader", "1 if this member is the leader, 0 if not."],
  ["etcd_server_is_learner", "gauge", "isLearner", "1 if this member is a learner, 0 if not."],
  ["etcd_server_leader_changes_seen_total", "counter", "leaderChangesSeen", "Leader changes seen."],
  ["etcd_server_proposals_committed_total", "gauge", "committedIndex", "Highest committed raft index."],
  ["etcd_server_proposals_applied_total", "gauge", "appliedIndex", "Highest applied raft index."],
  ["etcd_server_proposals_pending", "gauge", "proposalsPending", "Proposals not yet committed."],
  ["etcd_server_proposals_failed_total", "counter", "proposalsFailed", "Proposals that failed."],
  ["etcd_mvcc_db_total_size_in_bytes", "gauge", "dbBytes", "Size of the database on disk, in bytes."],
  [
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "gauge",
    "dbBytesInUse",
    "Part of it that holds data, in bytes.",
  ],
  ["etcd_debugging_mvcc_current_revision", "gauge", "currentRevision", "Revision of the store."],
  ["etcd_debugging_mvcc_compact_revision", "gauge", "compactRevision", "Revision of the last compaction."],
  ["etcd_server_health_success", "counter", "healthSuccesses", "Health checks that succeeded."],
  ["etcd_server_health_failures", "counter", "healthFailures", "Health checks that failed."],
];

/** Adds the server's families; `read` is called for each at a scrape, and `quotaBackendBytes` is the flag's value. */
export function addServerMetrics(
  metrics: Metrics,
  read: () => ServerStats,
  { quotaBackendBytes }: { quotaBackendBytes: number },
): void {
  for (const [name, type, field, help] of FAMILIES) {
    metrics.add({ name, help, type, collect: () => [{ value: Number(read()[field]) }] });
  }
  metrics.addGauge("etcd_server_quota_backend_bytes", "Quota of the database, in bytes.", () => {
    return quotaBackendBytes === 0 ? QUOTA_BYTES_DEFAULT : quotaBackendBytes;
  });
  const addLabelled = (name: string, help: string, collect: () => readonly Sample[]): void => {
    metrics.add({ name, help, type: "gauge", collect });
  };
  addLabelled("etcd_server_id", "1, labelled with the ID of this member in hex.", () => {
    return [{ value: 1, labels: { server_id: read().memberId.toString(16) } }];
  });
  addLabelled("etcd_server_version", "1, labelled with the version of this server.", () => {
    return [{ value: 1, labels: { server_version: SERVER_VERSION } }];
  });
  addLabelled("etcd_cluster_version", "1, labelled with the version of the cluster.", () => {
    const { clusterVersion } = read();
    return clusterVersion === "" ? [] : [{ value: 1, labels: { cluster_version: clusterVersion } }];
  });
}
