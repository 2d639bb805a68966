/** What a backend says at start, before the key index is there: where the WAL's replay begins, and who the members were. */
import type { BackendReader } from "../mvcc/backend.ts";
import {
  META_CONF_STATE,
  META_CONSISTENT_INDEX,
  META_FINISHED_COMPACT_REV,
  META_SCHEDULED_COMPACT_REV,
  META_STORAGE_VERSION,
  META_TERM,
} from "./meta-keys.ts";
import { readRevisionMain, readUint64BE } from "./revision-key.ts";

type Pairs = Array<{ key: Uint8Array; value: Uint8Array }>;

/** Values of bucket `meta`, and the small buckets as they are. Everything is copied. */
export interface RecoveredState {
  /** Index of the last entry in the backend; 0 in a new one. Entries up to here must not be applied again. */
  readonly consistentIndex: number;
  readonly term: number;
  /** Compacted revision to start with; -1 if never compacted. */
  readonly finishedCompactRev: number;
  /** Larger than {@link finishedCompactRev} when a compaction was interrupted and has to be resumed; -1 if none. */
  readonly scheduledCompactRev: number;
  /** JSON, as in etcd's file; undefined before the first conf change. */
  readonly confState: Uint8Array | undefined;
  readonly storageVersion: string | undefined;
  readonly members: Pairs;
  readonly membersRemoved: Pairs;
  readonly cluster: Pairs;
}

/** Reads it. The records of bucket `key` are scanned with `reader.scanRevisions`, from the revision the checkpoint ends at. */
export function recover(reader: BackendReader): RecoveredState {
  const storageVersion = reader.get("meta", META_STORAGE_VERSION);
  return {
    consistentIndex: readNumber(reader, META_CONSISTENT_INDEX),
    term: readNumber(reader, META_TERM),
    finishedCompactRev: readRevision(reader, META_FINISHED_COMPACT_REV),
    scheduledCompactRev: readRevision(reader, META_SCHEDULED_COMPACT_REV),
    confState: reader.get("meta", META_CONF_STATE),
    storageVersion: storageVersion === undefined ? undefined : Buffer.from(storageVersion).toString("utf8"),
    members: reader.entries("members"),
    membersRemoved: reader.entries("members_removed"),
    cluster: reader.entries("cluster"),
  };
}

/** The compacted revision as of what the reader sees, -1 if there was no compaction: records below it may be gone. */
export function readCompactRevision(reader: BackendReader): number {
  return Math.max(
    readRevision(reader, META_SCHEDULED_COMPACT_REV),
    readRevision(reader, META_FINISHED_COMPACT_REV),
  );
}

function readNumber(reader: BackendReader, key: Uint8Array): number {
  const value = reader.get("meta", key);
  return value === undefined ? 0 : readUint64BE(value, 0);
}

function readRevision(reader: BackendReader, key: Uint8Array): number {
  const value = reader.get("meta", key);
  return value === undefined ? -1 : readRevisionMain(value, 0);
}
