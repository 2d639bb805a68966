/** The line in which a member says what it works with, in etcd's names: whoever looks for a setting in etcd's log finds it here. */
import { SERVER_VERSION } from "../base/version.ts";
import type { Config } from "./config.ts";
import { formatGoDuration } from "./go-values.ts";
import type { LogLine } from "./log-line.ts";
import type { ListenUrl } from "./urls.ts";

function textsOf(urls: readonly ListenUrl[]): string[] {
  return urls.map(({ text }) => text);
}

function gatesText(gates: Config["featureGates"]): string {
  const pairs = Object.entries(gates).map(([name, isOn]) => `${name}=${isOn}`);
  return pairs.sort().join(",");
}

/**
 * @param isInitialized the member has a log already, so what founds or finds a cluster does not count
 * @param quotaBytes what `--quota-backend-bytes` amounts to
 */
export function startLine(config: Config, isInitialized: boolean, quotaBytes: number): LogLine {
  const fields = {
    "etcd-version": SERVER_VERSION,
    "nodejs-version": process.version,
    "member-initialized": isInitialized,
    name: config.name,
    "data-dir": config.dataDir,
    "wal-dir": config.walDir,
    "force-new-cluster": config.forceNewCluster,
    "heartbeat-interval": formatGoDuration(config.heartbeatIntervalMs),
    "election-timeout": formatGoDuration(config.electionTimeoutMs),
    "initial-election-tick-advance": config.initialElectionTickAdvance,
    "snapshot-count": config.snapshotCount,
    "max-wals": config.walsMax,
    "max-snapshots": config.snapshotsMax,
    "snapshot-catchup-entries": config.snapshotCatchupEntries,
    "initial-advertise-peer-urls": textsOf(config.initialAdvertisePeerUrls),
    "listen-peer-urls": textsOf(config.listenPeerUrls),
    "advertise-client-urls": textsOf(config.advertiseClientUrls),
    "listen-client-urls": textsOf(config.listenClientUrls),
    "listen-metrics-urls": textsOf(config.listenMetricsUrls),
    cors: config.corsOrigins,
    "host-whitelist": config.hostWhitelist,
    "initial-cluster": config.initialCluster,
    "initial-cluster-state": config.initialClusterState,
    "initial-cluster-token": config.initialClusterToken,
    "quota-backend-bytes": quotaBytes,
    "max-request-bytes": config.requestBytesMax,
    "max-concurrent-streams": config.concurrentStreamsMax,
    "pre-vote": config.preVote,
    "feature-gates": gatesText(config.featureGates),
    "corrupt-check-time-interval": formatGoDuration(config.corruptCheckTimeMs),
    "compact-check-time-interval": formatGoDuration(config.compactHashCheckTimeMs),
    "auto-compaction-mode": config.autoCompactionMode,
    "auto-compaction-retention": config.autoCompactionRetention,
    "downgrade-check-interval": formatGoDuration(config.downgradeCheckTimeMs),
    "max-learners": config.learnersMax,
    // Whatever was asked for: etcd enforces its default, and so do we, who have no v2 store.
    "v2-deprecation": "write-only",
  };
  return { level: "info", msg: "starting an etcd server", fields };
}
