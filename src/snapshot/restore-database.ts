/**
 * A snapshot file becomes the database of a member of a new cluster: the data as it was, but the members, the configuration and
 * the place in the log are those of the new cluster. What `etcdutl snapshot restore` does.
 */
import { STORAGE_VERSION } from "../base/version.ts";
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";

import { formatConfState, simpleConfState } from "../cluster/conf-state.ts";
import type { PlannedMember } from "../cluster/founding.ts";
import { formatId } from "../cluster/identity.ts";
import { compareVersions } from "../cluster/version.ts";
import type { BucketName } from "../mvcc/backend.ts";
import { memberJson } from "../raft/bootstrap.ts";
import { type LmdbWriter, openLmdbBackend } from "../storage/lmdb-backend.ts";
import {
  META_CONF_STATE,
  META_CONSISTENT_INDEX,
  META_DATABASE_ID,
  META_SCHEDULED_COMPACT_REV,
  META_STORAGE_VERSION,
  META_TERM,
} from "../storage/meta-keys.ts";
import { REVISION_KEY_BYTES, readRevisionMain, writeRevisionKey } from "../storage/revision-key.ts";
import { BoltReader } from "./bolt-reader.ts";
import { checkFreeSpace } from "./install-database.ts";
import { isRevisionKey } from "./read-snapshot.ts";
import { isBucketName } from "./snapshot.ts";

/** Bytes of records a commit: LMDB keeps what is not committed in memory. */
const COMMIT_BYTES = 32 * 1024 * 1024;
const DATABASE_ID_BYTES = 16;
const RECORD_OVERHEAD_BYTES = 32;

/** Buckets of the old cluster's members. */
const MEMBER_BUCKETS: ReadonlySet<string> = new Set(["members", "members_removed"]);
/** Keys of bucket `meta` that are about the old cluster's log. */
const LOG_KEYS = [META_CONSISTENT_INDEX, META_TERM, META_CONF_STATE].map((key) =>
  Buffer.from(key).toString(),
);

/** What the new cluster is like. */
export interface RestorePlan {
  /** All of them voters. */
  readonly members: readonly PlannedMember[];
  /** Place in the new log that the data counts as. */
  readonly index: number;
  readonly term: number;
  /** How far the revision is moved on, and everything before marked as compacted; 0 = not at all. */
  readonly bumpRevision: number;
  /** Told of the bytes that were read of the file. */
  readonly onProgress?: (bytes: number) => void;
}

/** What was restored. */
export interface RestoredData {
  /** Newest revision in the file; 0 = none. */
  readonly latestRevision: number;
  /** Buckets that this version does not know; they are left out. */
  readonly unknownBuckets: readonly string[];
}

/**
 * Fills a new database at `target`, durable when this resolves.
 * @throws SnapshotFileError when the file is damaged or too new; an error with the path otherwise; nothing is left behind
 */
export async function restoreDatabase(
  path: string,
  target: string,
  plan: RestorePlan,
): Promise<RestoredData> {
  checkFreeSpace(path, target);
  const reader = new BoltReader(path);
  let built = false;
  try {
    const backend = openLmdbBackend(target);
    try {
      const restored = copyRecords(reader, backend, plan);
      writeCluster(backend, plan);
      if (plan.bumpRevision > 0) bumpRevision(backend, restored.latestRevision + plan.bumpRevision);
      backend.commit(plan.index, plan.term);
      built = true;
      return restored;
    } finally {
      backend.close();
      await backend.closed;
    }
  } finally {
    reader.close();
    rmSync(`${target}-lock`, { force: true });
    if (!built) rmSync(target, { force: true });
  }
}

function copyRecords(reader: BoltReader, backend: LmdbWriter, plan: RestorePlan): RestoredData {
  const unknownBuckets: string[] = [];
  let latestRevision = 0;
  let pendingBytes = 0;
  for (const bucket of reader.buckets()) {
    const { name } = bucket;
    const isKnown = isBucketName(name);
    if (!isKnown) unknownBuckets.push(name);
    reader.scan(bucket, (bytes, keyAt, valueAt, end) => {
      plan.onProgress?.(end - keyAt);
      if (!isKnown || MEMBER_BUCKETS.has(name)) return;
      const key = bytes.subarray(keyAt, valueAt);
      const value = bytes.subarray(valueAt, end);
      if (name === "key") {
        latestRevision = checkRevision(reader, key);
        backend.putRevision(key, value);
      } else copyRecord(reader, backend, { bucket: name, key, value });
      pendingBytes += end - keyAt + RECORD_OVERHEAD_BYTES;
      if (pendingBytes < COMMIT_BYTES) return;
      pendingBytes = 0;
      // Index 0: as long as the restoration goes on, this is nobody's database.
      backend.commit(0, 0);
    });
  }
  return { latestRevision, unknownBuckets };
}

function checkRevision({ file }: BoltReader, key: Uint8Array): number {
  if (isRevisionKey(key)) return readRevisionMain(key, 0);
  throw file.error(`is damaged: bucket key has a key 0x${Buffer.from(key).toString("hex")}`);
}

function copyRecord(
  { file }: BoltReader,
  backend: LmdbWriter,
  {
    bucket,
    key,
    value,
  }: { readonly bucket: BucketName; readonly key: Uint8Array; readonly value: Uint8Array },
): void {
  if (bucket === "meta") {
    const name = Buffer.from(key).toString();
    if (LOG_KEYS.includes(name)) return;
    if (name === Buffer.from(META_STORAGE_VERSION).toString()) {
      const version = Buffer.from(value).toString();
      if (compareVersions(version, STORAGE_VERSION) > 0) {
        throw file.error(
          `was written by an etcd with storage version ${version}, newer than ${STORAGE_VERSION}`,
        );
      }
    }
  }
  backend.put(bucket, key, value);
}

/** Members under etcd's keys, and the configuration that raft begins with. */
function writeCluster(backend: LmdbWriter, { members }: RestorePlan): void {
  for (const member of members) {
    backend.put("members", Buffer.from(formatId(member.id)), Buffer.from(memberJson(member)));
  }
  const confState = simpleConfState(
    members.map(({ id }) => id),
    [],
  );
  backend.put("meta", META_CONF_STATE, Buffer.from(formatConfState(confState)));
  backend.put("meta", META_DATABASE_ID, randomBytes(DATABASE_ID_BYTES));
}

/**
 * Moves the revision on: clients that have seen later revisions than the snapshot's never see the same ones again with other
 * contents. As etcd does it: an empty record at the new revision, and a compaction up to there.
 */
function bumpRevision(backend: LmdbWriter, revision: number): void {
  const key = new Uint8Array(REVISION_KEY_BYTES);
  writeRevisionKey(key, 0, revision, 0, false);
  backend.putRevision(key, new Uint8Array(0));
  backend.put("meta", META_SCHEDULED_COMPACT_REV, key);
}
