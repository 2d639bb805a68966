/**
 * The apply thread's state from disk: index checkpoint, then whatever the database has beyond it. A checkpoint is a cache: without
 * it everything is read from the database. Who writes it: `index-checkpoint.ts`.
 */

import { formatId } from "../src/cluster/identity.ts";
import { Membership } from "../src/cluster/membership.ts";
import { Alarms } from "../src/apply/alarms.ts";
import type { BucketSink } from "../src/apply/apply-interfaces.ts";
import type { HashKvJobsOptions, HashScan } from "../src/apply/hash-kv-jobs.ts";
import { LeaseView } from "../src/lease/lease-codec.ts";
import { CHECKPOINT_INTERVAL_MS } from "../src/lease/lease-limits.ts";
import { Lessor } from "../src/lease/lessor.ts";
import { CHECKPOINT_LAYOUT } from "../src/mvcc/checkpoint.ts";
import { type Mvcc, createMvccStore } from "../src/mvcc/mvcc.ts";
import type { RevisionSink } from "../src/mvcc/store.ts";
import type { RingWriter } from "../src/ring/ring.ts";
import { type BackendReader, type BackendWriter, BUCKETS } from "../src/mvcc/backend.ts";
import { readCheckpoint } from "../src/storage/checkpoint.ts";
import { DatabaseHash } from "../src/storage/database-hash.ts";
import { HashKv } from "../src/storage/hash-kv.ts";
import { openFollowingReader } from "../src/storage/following-reader.ts";
import { openLmdbReader } from "../src/storage/lmdb-reader.ts";
import { META_DATABASE_ID } from "../src/storage/meta-keys.ts";
import { openMemoryBackend } from "../src/storage/memory-backend.ts";
import { type RecoveredState, recover } from "../src/storage/recover.ts";
import { DirectSink, RingSink, type StorageSink } from "../src/storage/revision-sink.ts";
import type { Logger } from "../src/telemetry/logger.ts";
import type { MemberOptions } from "./control.ts";

/** Everything that the apply thread owns. */
export interface ApplyState {
  readonly reader: BackendReader;
  readonly recovered: RecoveredState;
  readonly sink: StorageSink;
  readonly bucketSink: BucketSink;
  /** The sink of memory mode, which commits at once; null when a storage thread does. */
  readonly direct: DirectSink | null;
  readonly store: Mvcc;
  readonly membership: Membership;
  readonly lessor: Lessor;
  readonly alarms: Alarms;
  /** Hex of the database's id; empty before its first checkpoint. */
  readonly databaseId: string;
  /** Revision of the checkpoint that was loaded; 0 = none. */
  readonly checkpointRevision: number;
  /** Records that were read beyond the checkpoint. */
  readonly recordsScanned: number;
  /** A compaction of an earlier life is to be gone on with. */
  readonly compactionPending: boolean;
  /** Revisions handed to storage and removed from it since. */
  readonly revisionChanges: () => number;
  /** Opens a walk over what is committed now, with a snapshot of its own. */
  readonly openHashScan: HashKvJobsOptions["openScan"];
  /** The same over all buckets. */
  readonly openWholeScan: () => HashScan;
}

/** Where storage is heard and spoken to. */
export interface StorageSide {
  readonly toStorage: RingWriter;
  /** Of the database's file. */
  readonly databaseGeneration: SharedArrayBuffer;
}

/**
 * Reads the state. Throws with the database's path when a record in it cannot be understood.
 * @param memory memory mode: what to begin with
 * @param watched puts who watches between the store and storage
 */
export function openState(
  options: MemberOptions,
  { toStorage, databaseGeneration }: StorageSide,
  logger: Logger,
  memory: BackendWriter = openMemoryBackend(),
  watched: (storage: RevisionSink) => RevisionSink = (storage) => storage,
): ApplyState {
  const backend = options.inMemory ? memory : null;
  const reader = backend?.reader() ?? openFollowingReader(options.databasePath, databaseGeneration);
  const direct = backend === null ? null : new DirectSink(backend);
  const ringSink = new RingSink(toStorage);
  const sink = direct ?? ringSink;
  const recovered = recover(reader);
  const databaseId = Buffer.from(reader.get("meta", META_DATABASE_ID) ?? []).toString("hex");
  const alarms = new Alarms();
  alarms.restore(reader.entries("alarm"));
  const store = createMvccStore({
    source: reader,
    sink: watched(sink),
    valueBytesMax: options.valueCacheBytes,
    hashSeed: randomSeed(),
  });
  const { recordsScanned, checkpointRevision } = restoreStore({
    store,
    reader,
    recovered,
    databaseId,
    options,
    logger,
  });
  const lessor = restoreLeases(options, reader, store);
  reader.refresh();
  const openHashScan: HashKvJobsOptions["openScan"] = (keep, keeps) => {
    const snapshot = backend?.reader() ?? openLmdbReader(options.databasePath);
    const scan = new HashKv(snapshot, {
      revision: keep.revision,
      compactRevision: keep.compactRevision,
      keeps,
    });
    return hashScan(scan, snapshot);
  };
  return {
    reader,
    recovered,
    sink,
    direct,
    bucketSink: bucketSink(sink),
    store,
    membership: restoreMembership(recovered),
    lessor,
    alarms,
    databaseId,
    checkpointRevision,
    recordsScanned,
    // A checkpoint may be older than a compaction that the database has finished: the index still holds what it removed.
    compactionPending:
      recovered.scheduledCompactRev > (checkpointRevision > 0 ? -1 : recovered.finishedCompactRev),
    revisionChanges: () => ringSink.revisionChanges,
    openHashScan,
    openWholeScan: () => {
      const snapshot = backend?.reader() ?? openLmdbReader(options.databasePath);
      return hashScan(new DatabaseHash(snapshot), snapshot);
    },
  };
}

/** A computation that closes its snapshot with itself. */
function hashScan(scan: HashKv | DatabaseHash, snapshot: BackendReader): HashScan {
  return {
    step: (recordsMax) => scan.step(recordsMax),
    get hash() {
      return scan.hash;
    },
    close: () => snapshot.close(),
  };
}

function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] >>> 0;
}

/** The apply machine names buckets by number, the sinks by name. */
function bucketSink(sink: StorageSink): BucketSink {
  return {
    bucketPut: (bucket, key, value) => sink.put(BUCKETS[bucket], key, value),
    bucketDelete: (bucket, key) => sink.delete(BUCKETS[bucket], key),
    flush: (token) => sink.flush(token),
  };
}

interface Restore {
  readonly store: Mvcc;
  readonly reader: BackendReader;
  readonly recovered: RecoveredState;
  readonly databaseId: string;
  readonly options: MemberOptions;
  readonly logger: Logger;
}

function restoreStore(restore: Restore): { recordsScanned: number; checkpointRevision: number } {
  const { store, reader, recovered, options, logger } = restore;
  const startedMs = performance.now();
  const fromRevision = options.inMemory || recovered.consistentIndex === 0 ? 0 : loadIndex(restore);
  let records = 0;
  reader.scanRevisions(fromRevision + 1, (main, sub, tombstone, bytes, length) => {
    if (!store.restoreRevision(main, sub, tombstone, bytes.subarray(0, length))) {
      throw new Error(
        `database ${options.databasePath}: the record of revision ${main}/${sub} in bucket key is damaged`,
      );
    }
    records++;
    return true;
  });
  store.finishRestore({
    scheduledCompactRevision: recovered.scheduledCompactRev,
    finishedCompactRevision: recovered.finishedCompactRev,
  });
  const result = { recordsScanned: records, checkpointRevision: fromRevision };
  if (recovered.consistentIndex === 0) return result;
  logger.info("kvstore restored", {
    "current-rev": store.revision,
    "compact-revision": store.compactRevision,
    "records-scanned": records,
    took: `${Math.round(performance.now() - startedMs)}ms`,
  });
  return result;
}

/** Loads the checkpoint; returns the revision it reaches, 0 when there is none that can be used. */
function loadIndex({ store, recovered, databaseId, options, logger }: Restore): number {
  if (databaseId === "") {
    logger.info("rebuilding the key index from the database", {
      reason: "no index checkpoint was made of it yet",
    });
    return 0;
  }
  const found = readCheckpoint(options.checkpointPath, {
    layoutVersion: CHECKPOINT_LAYOUT,
    identity: databaseId,
    consistentIndexMax: recovered.consistentIndex,
  });
  if ("reason" in found) {
    logger.info("rebuilding the key index from the database", { reason: found.reason });
    return 0;
  }
  const loaded = store.loadCheckpoint(found.chunks, {
    // The consistent index vouches for it: the database is at least as new as the checkpoint.
    revision: Number.MAX_SAFE_INTEGER,
    scheduledCompactRevision: recovered.scheduledCompactRev,
  });
  if (loaded.refusal === undefined) return loaded.revision;
  logger.info("rebuilding the key index from the database", {
    reason: `index checkpoint: ${loaded.refusal}`,
  });
  return 0;
}

/** Leases from their bucket, and the keys on them from the index, which knows of each live key with which lease it was put. */
function restoreLeases(options: MemberOptions, reader: BackendReader, store: Mvcc): Lessor {
  const lessor = new Lessor({
    minTtlSeconds: options.leaseTtlSecondsMin,
    retryMs: options.leaseRetryMs,
    checkpointIntervalMs: options.leaseCheckpoint ? CHECKPOINT_INTERVAL_MS : 0,
    hashSeed: randomSeed(),
  });
  const view = new LeaseView();
  reader.scan("lease", (key, value) => {
    if (!view.decodeLease(value) || (view.low | view.high) === 0) {
      const name = Buffer.from(key).toString("hex");
      throw new Error(`database ${options.databasePath}: the record of lease ${name} is damaged`);
    }
    lessor.restore(view.low, view.high, view.seconds, view.second);
  });
  if (lessor.size > 0) store.visitLeased((keyId, low, high) => lessor.attach(low, high, keyId));
  return lessor;
}

function restoreMembership(recovered: RecoveredState): Membership {
  const membership = new Membership();
  const find = (name: string) => recovered.cluster.find(({ key }) => Buffer.from(key).toString() === name);
  const version = find("clusterVersion");
  membership.restore(
    recovered.members,
    recovered.membersRemoved,
    version === undefined ? "" : Buffer.from(version.value).toString(),
    find("downgrade")?.value,
  );
  return membership;
}

/**
 * Throws when this member was removed and is to found a new cluster by force: it may never come back under its id. Otherwise a removed
 * one starts: another voter may need it to learn of the removal. One that the database does not name is one that joined and has not read
 * its own addition yet.
 */
export function checkMember(
  { membership, recovered }: ApplyState,
  memberId: bigint,
  options: MemberOptions,
): void {
  if (options.forceNewCluster && membership.removed.has(memberId)) {
    throw new Error(
      `the member has been permanently removed from the cluster (local-member-id ${formatId(memberId)}); ` +
        `data-dir used by this member must be removed`,
    );
  }
  if (recovered.consistentIndex === 0 || membership.members.size > 0) return;
  throw new Error(
    `database ${options.databasePath} holds no member, but the log in ${options.walDir} is that of member ${formatId(memberId)}`,
  );
}

export function closeState(state: ApplyState): void {
  state.reader.close();
}
