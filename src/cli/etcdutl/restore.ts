/**
 * Makes the data directory of a member of a new cluster out of a snapshot: database first, then the log that begins behind it, so
 * that a directory which is only half made is no member's. What fails leaves nothing behind.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { dirname, resolve } from "node:path";
import { simpleConfState } from "../../cluster/conf-state.ts";
import { type PlannedCluster, planCluster } from "../../cluster/founding.ts";
import { formatId } from "../../cluster/identity.ts";
import {
  findAdvertiseProblem,
  findMemberProblem,
  parseInitialCluster,
} from "../../config/initial-cluster.ts";
import { parseUrl } from "../../config/urls.ts";
import { BOOTSTRAP_TERM } from "../../raft/bootstrap.ts";
import { BoltFile } from "../../snapshot/bolt-file.ts";
import { restoreDatabase } from "../../snapshot/restore-database.ts";
import { syncDirectory } from "../../storage/sync-directory.ts";
import { dataPaths } from "../../storage/data-dir.ts";
import { createWal } from "../../wal/open-wal.ts";
import { goQuote } from "../common/go-quote.ts";
import { consoleLog } from "./console-log.ts";
import { verifyFile } from "./snapshot-status.ts";

/** What `snapshot restore` is asked for. */
export interface RestoreOptions {
  readonly snapshotPath: string;
  readonly name: string;
  readonly dataDir: string;
  /** Empty: inside the data directory. */
  readonly walDir: string;
  readonly peerUrls: readonly string[];
  readonly initialCluster: string;
  readonly initialClusterToken: string;
  readonly skipHashCheck: boolean;
  /** 0 = keep the revision. Otherwise everything before is marked as compacted. */
  readonly bumpRevision: number;
  /** Told of the bytes that were read. */
  readonly onProgress: (bytes: number) => void;
}

const DIRECTORY_MODE = 0o700;

/** Restores. Rejects with an Error that says what is wrong. */
export async function restoreSnapshot(options: RestoreOptions): Promise<void> {
  const cluster = await planNewCluster(options);
  const { dataDir } = options;
  if (existsSync(dataDir) && !isEmptyDirectory(dataDir)) {
    throw new Error(`data-dir ${goQuote(dataDir)} not empty or could not be read`);
  }
  const paths = dataPaths(dataDir);
  const walDir = options.walDir === "" ? paths.walPath : resolve(options.walDir);
  if (existsSync(walDir)) throw new Error(`wal-dir ${goQuote(options.walDir || walDir)} exists`);
  verifySnapshotFile(options);
  const fields = {
    path: options.snapshotPath,
    "wal-dir": walDir,
    "data-dir": dataDir,
    "snap-dir": paths.snapPath,
  };
  consoleLog("info", "restoring snapshot", fields);
  const made = firstMissing(paths.snapPath);
  try {
    mkdirSync(paths.snapPath, { recursive: true, mode: DIRECTORY_MODE });
    await fillDirectory(options, cluster, { databasePath: paths.databasePath, walDir });
    for (let path = paths.snapPath; path !== dirname(made); path = dirname(path))
      syncDirectory(dirname(path));
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    rmSync(walDir, { recursive: true, force: true });
    throw error;
  }
  consoleLog("info", "restored snapshot", fields);
}

async function fillDirectory(
  { snapshotPath, bumpRevision, name, onProgress }: RestoreOptions,
  { members, clusterId }: PlannedCluster,
  { databasePath, walDir }: { readonly databasePath: string; readonly walDir: string },
): Promise<void> {
  // The founding entries are what the restored state counts as having applied.
  const index = members.length;
  const { unknownBuckets, latestRevision } = await restoreDatabase(snapshotPath, databasePath, {
    members,
    index,
    term: BOOTSTRAP_TERM,
    bumpRevision,
    onProgress,
  });
  for (const { id, peerUrls } of members) {
    consoleLog("info", "added member", {
      "cluster-id": formatId(clusterId),
      "local-member-id": "0",
      "added-peer-id": formatId(id),
      "added-peer-peer-urls": peerUrls,
      "added-peer-is-learner": false,
    });
  }
  if (bumpRevision > 0) {
    const newRevision = latestRevision + bumpRevision;
    consoleLog("info", "bumping latest revision", {
      "latest-revision": latestRevision,
      "bump-amount": bumpRevision,
      "new-latest-revision": newRevision,
    });
    consoleLog("info", "marking revision compacted", { revision: newRevision });
  }
  if (unknownBuckets.length > 0) {
    consoleLog("warn", "the snapshot has buckets that this version does not know; they are left out", {
      buckets: unknownBuckets,
    });
  }
  const self = members.find((member) => member.name === name);
  if (self === undefined) throw new Error(`member ${name} is not in its own cluster`);
  const confState = simpleConfState(
    members.map(({ id }) => id),
    [],
  );
  await beginLog(walDir, { nodeId: self.id, clusterId }, { index, term: BOOTSTRAP_TERM, confState });
}

/**
 * A log that begins behind a snapshot, without the founding entries themselves: with them, a member that is added later could be
 * sent those and all that follow, and would never get the data.
 */
async function beginLog(
  walDir: string,
  identity: Parameters<typeof createWal>[1],
  marker: { index: number; term: number; confState: ReturnType<typeof simpleConfState> },
): Promise<void> {
  mkdirSync(dirname(walDir), { recursive: true, mode: DIRECTORY_MODE });
  const hardState = { term: marker.term, vote: 0n, commit: 0 };
  const wal = await createWal(walDir, identity, { hardState });
  try {
    wal.startAfter(marker);
    await wal.flush();
    wal.appendHardState({ ...hardState, commit: marker.index });
    await wal.flush();
  } finally {
    await wal.close();
  }
}

/** The cluster of the flags, checked as the start of a new member checks it. */
async function planNewCluster(options: RestoreOptions): Promise<PlannedCluster> {
  const { name, initialCluster, initialClusterToken } = options;
  const initialAdvertisePeerUrls = options.peerUrls.map((url) => parseUrl(url));
  const urls = parseInitialCluster(initialCluster);
  const resolveHost = async (host: string) => (isIP(host) === 0 ? (await lookup(host)).address : host);
  const config = { name, initialAdvertisePeerUrls };
  const problem =
    findMemberProblem(config, urls, initialCluster) ??
    (await findAdvertiseProblem(config, urls.get(name) ?? [], resolveHost));
  if (problem !== undefined) throw new Error(problem);
  return planCluster(urls, initialClusterToken, (bytes) => createHash("sha1").update(bytes).digest());
}

/** Whether it is the file that was saved, before anything is made of it. */
function verifySnapshotFile({ snapshotPath, skipHashCheck, onProgress }: RestoreOptions): void {
  const file = new BoltFile(snapshotPath);
  try {
    if (skipHashCheck) return;
    verifyFile(file, onProgress);
    if (!file.hasTrailer) throw new Error("snapshot missing hash but --skip-hash-check=false");
  } finally {
    file.close();
  }
}

function isEmptyDirectory(path: string): boolean {
  try {
    return readdirSync(path).length === 0;
  } catch {
    return false;
  }
}

/** The uppermost folder of `path` that is not there yet. */
function firstMissing(path: string): string {
  let missing = path;
  while (!existsSync(dirname(missing))) missing = dirname(missing);
  return missing;
}
