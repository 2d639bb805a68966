/**
 * The apply thread's state from disk and back: index checkpoint, then whatever the database has beyond it; at the end a
 * checkpoint for the next start. A checkpoint is a cache: without it everything is read from the database.
 */

import { formatId } from "../src/cluster/identity.ts";
import { Membership } from "../src/cluster/membership.ts";
import type { BucketSink } from "../src/apply/apply-interfaces.ts";
import type { HashKvJobsOptions } from "../src/apply/hash-kv-jobs.ts";
import { CHECKPOINT_LAYOUT } from "../src/mvcc/checkpoint.ts";
import { type Mvcc, createMvccStore } from "../src/mvcc/mvcc.ts";
import type { RingWriter } from "../src/ring/ring.ts";
import { type BackendReader, BUCKETS, type BucketName } from "../src/storage/backend.ts";
import { readCheckpoint, writeCheckpoint } from "../src/storage/checkpoint.ts";
import { HashKv } from "../src/storage/hash-kv.ts";
import { openLmdbReader } from "../src/storage/lmdb-reader.ts";
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
  /** Opens a walk over what is committed now, with a snapshot of its own. */
  readonly openHashScan: HashKvJobsOptions["openScan"];
}

/** Reads the state. Throws with the database's path when a record in it cannot be understood. */
export function openState(options: MemberOptions, toStorage: RingWriter, logger: Logger): ApplyState {
  const backend = options.inMemory ? openMemoryBackend() : null;
  const reader = backend?.reader() ?? openLmdbReader(options.databasePath);
  const direct = backend === null ? null : new DirectSink(backend);
  const sink = direct ?? new RingSink(toStorage);
  const recovered = recover(reader);
  const store = createMvccStore({ source: reader, sink, valueBytesMax: options.valueCacheBytes, hashSeed: randomSeed() });
  restoreStore({ store, reader, recovered, options, logger });
  reader.refresh();
  const openHashScan: HashKvJobsOptions["openScan"] = (keep, keeps) => {
    const snapshot = backend?.reader() ?? openLmdbReader(options.databasePath);
    const scan = new HashKv(snapshot, { revision: keep.revision, compactRevision: keep.compactRevision, keeps });
    return { step: (recordsMax) => scan.step(recordsMax), get hash() { return scan.hash; }, close: () => snapshot.close() };
  };
  const membership = restoreMembership(recovered);
  return { reader, recovered, sink, direct, bucketSink: bucketSink(sink), store, membership, openHashScan };
}

function randomSeed(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] as number) >>> 0;
}

/** The apply machine names buckets by number, the sinks by name. */
function bucketSink(sink: StorageSink): BucketSink {
  return {
    bucketPut: (bucket, key, value) => sink.put(BUCKETS[bucket] as BucketName, key, value),
    bucketDelete: (bucket, key) => sink.delete(BUCKETS[bucket] as BucketName, key),
    flush: (token) => sink.flush(token),
  };
}

interface Restore {
  readonly store: Mvcc;
  readonly reader: BackendReader;
  readonly recovered: RecoveredState;
  readonly options: MemberOptions;
  readonly logger: Logger;
}

function restoreStore({ store, reader, recovered, options, logger }: Restore): void {
  const startedMs = performance.now();
  const fromRevision = options.inMemory || recovered.consistentIndex === 0 ? 0 : loadIndex({ store, reader, recovered, options, logger });
  let records = 0;
  reader.scanRevisions(fromRevision + 1, (main, sub, tombstone, bytes, length) => {
    if (!store.restoreRevision(main, sub, tombstone, bytes.subarray(0, length))) {
      throw new Error(`database ${options.databasePath}: the record of revision ${main}/${sub} in bucket key is damaged`);
    }
    records++;
    return true;
  });
  store.finishRestore({
    scheduledCompactRevision: recovered.scheduledCompactRev,
    finishedCompactRevision: recovered.finishedCompactRev,
  });
  if (recovered.consistentIndex === 0) return;
  logger.info("kvstore restored", {
    "current-rev": store.revision,
    "compact-revision": store.compactRevision,
    "records-scanned": records,
    took: `${Math.round(performance.now() - startedMs)}ms`,
  });
}

/** Loads the checkpoint; returns the revision it reaches, 0 when there is none that can be used. */
function loadIndex({ store, recovered, options, logger }: Restore): number {
  const found = readCheckpoint(options.checkpointPath, {
    layoutVersion: CHECKPOINT_LAYOUT,
    identity: "",
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
  logger.info("rebuilding the key index from the database", { reason: `index checkpoint: ${loaded.refusal}` });
  return 0;
}

function restoreMembership(recovered: RecoveredState): Membership {
  const membership = new Membership();
  const version = recovered.cluster.find(({ key }) => Buffer.from(key).toString() === "clusterVersion");
  membership.restore(recovered.members, recovered.membersRemoved, version === undefined ? "" : Buffer.from(version.value).toString());
  return membership;
}

/** Throws unless the database is new or holds this member, alone: a log and a database of two members must not be mixed. */
export function checkMember({ membership, recovered }: ApplyState, memberId: bigint, options: MemberOptions): void {
  const ids = [...membership.members.keys()];
  if (recovered.consistentIndex === 0 || (ids.length === 1 && ids[0] === memberId)) return;
  throw new Error(
    `database ${options.databasePath} holds ${ids.length === 0 ? "no member" : `members ${ids.map(formatId).join(", ")}`}, ` +
      `but the log in ${options.walDir} is that of member ${formatId(memberId)} alone`,
  );
}

/**
 * Leaves the index behind for the next start. `flushStorage` must return once storage has committed everything up to
 * `consistentIndex`, and the deletions that serializing sends it.
 */
export function writeIndexCheckpoint(
  state: ApplyState,
  { consistentIndex, flushStorage }: { consistentIndex: number; flushStorage: () => void },
  { options, logger }: { options: MemberOptions; logger: Logger },
): void {
  if (options.inMemory) return;
  const chunks = state.store.serialize();
  flushStorage();
  try {
    writeCheckpoint(
      options.checkpointPath,
      { layoutVersion: CHECKPOINT_LAYOUT, consistentIndex, revision: state.store.revision, identity: "" },
      chunks,
    );
  } catch (error) {
    logger.warn("could not write the index checkpoint; the next start reads the whole database", { error });
  }
}

export function closeState(state: ApplyState): void {
  state.reader.close();
}
