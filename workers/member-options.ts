import { createHash } from "node:crypto";
import { clusterId, memberId } from "../src/cluster/identity.ts";
import type { Config } from "../src/config/config.ts";
import type { DataDirectory } from "../src/storage/data-dir.ts";
import { walDirectory } from "./member-files.ts";
import { walExists } from "../src/wal/wal.ts";
import type { LogLevel } from "../src/telemetry/logger.ts";
import type { MemberOptions } from "./control.ts";

const sha1 = (bytes: Uint8Array): Uint8Array => createHash("sha1").update(bytes).digest();

/** etcd's request id suffix at the start of a process: unix milliseconds, 40 bits, then 8 bits to count in. */
function firstRequestId(unixMs: number): number {
  return (unixMs % 2 ** 40) * 256;
}

/**
 * What the threads need of the configuration; `directory` is null when nothing is kept on disk. The ids are those of a new cluster; a WAL that exists
 * has its own.
 */
export function memberOptions(config: Config, directory: DataDirectory | null): MemberOptions {
  const walDir = directory === null ? "" : walDirectory(config);
  const peerUrls = config.initialAdvertisePeerUrls.map((url) => url.text);
  const bootstrap = directory === null || !walExists(walDir);
  const id = memberId(peerUrls, config.initialClusterToken, "", sha1);
  return {
    inMemory: config.inMemory,
    databasePath: directory?.databasePath ?? "",
    checkpointPath: directory?.checkpointPath ?? "",
    walDir,
    name: config.name,
    memberId: id,
    clusterId: clusterId([id], sha1),
    bootstrap,
    joining: false,
    foundingMembers: bootstrap ? [{ id, name: config.name, peerUrls }] : [],
    remotes: [],
    forceNewCluster: config.forceNewCluster && !bootstrap,
    peerUrls,
    listenPeerUrls: config.listenPeerUrls,
    snapDir: directory?.snapPath ?? "",
    firstRequestId: firstRequestId(Date.now()),
    snapshotCount: config.snapshotCount,
    walsMax: config.walsMax,
    unsafeNoFsync: config.unsafeNoFsync,
    batchIntervalMs: config.backendBatchIntervalMs,
    batchOpsMax: config.backendBatchLimit,
    valueCacheBytes: config.valueCacheBytes,
    tickMs: config.heartbeatIntervalMs,
    electionTicks: config.electionTicks,
    initialElectionTickAdvance: config.initialElectionTickAdvance,
    preVote: config.preVote,
    learnersMax: config.learnersMax,
    strictReconfigCheck: config.strictReconfigCheck,
    snapshotCatchupEntries: config.snapshotCatchupEntries,
    snapshotsMax: config.snapshotsMax,
    raftReadTimeoutMs: config.raftReadTimeoutMs,
    raftWriteTimeoutMs: config.raftWriteTimeoutMs,
    logLevel: config.logLevel as LogLevel,
  };
}
