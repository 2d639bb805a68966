/**
 * Snapshots: the state of a member as a file in etcd's own database format, which any etcd can take over.
 *
 * This folder owns the format (`bolt-writer.ts`, `bolt-reader.ts`), what belongs into such a file (here), and the way back from a
 * file into a database of ours (`install.ts`). It never decides when: raft asks for snapshots, the pool and the apply thread make
 * them, the supervisor has them installed. What is ours alone (the id of our database) never gets into a file.
 *
 * Read next: `bolt-format.ts`, `bolt-writer.ts`, `bolt-reader.ts`, `install.ts`, `received-files.ts`.
 */
import { STORAGE_VERSION } from "../base/version.ts";
import {
  type ConfStateIds,
  formatConfState,
  parseConfState,
  simpleConfState,
} from "../cluster/conf-state.ts";
import { formatId } from "../cluster/identity.ts";
import { type Member, parseMember } from "../cluster/membership.ts";
import { compareVersions } from "../cluster/version.ts";
import { type BackendReader, BUCKETS, type BucketName } from "../mvcc/backend.ts";
import {
  META_CONF_STATE,
  META_CONSISTENT_INDEX,
  META_FINISHED_COMPACT_REV,
  META_SCHEDULED_COMPACT_REV,
  META_STORAGE_VERSION,
  META_TERM,
} from "../storage/meta-keys.ts";
import { readUint64BE } from "../storage/revision-key.ts";
import { BoltWriter } from "./bolt-writer.ts";
import { v2StoreJson } from "./v2-store-json.ts";

/** Records between two looks at whether the snapshot is still wanted. */
const RECORDS_PER_CHECK = 4096;

/** Keys of bucket `meta` that pass through as they are. */
const META_KEYS = [
  META_CONSISTENT_INDEX,
  META_TERM,
  META_SCHEDULED_COMPACT_REV,
  META_FINISHED_COMPACT_REV,
].map(toText);

/** What a snapshot file holds. */
export interface SnapshotDescription {
  /** Index and term of the last entry whose effects are in it. */
  readonly index: number;
  readonly term: number;
  readonly confState: ConfStateIds;
  /** Length of the file. */
  readonly bytes: number;
  /** `Snapshot.data` of the raft message in front of it. */
  readonly data: Uint8Array;
}

export interface WriteSnapshotOptions {
  /** Asked now and then; true ends the work with an error, and the file is gone. */
  readonly isCancelled?: () => boolean;
  /** Makes the file durable. One that is only sent need not be. */
  readonly sync?: boolean;
}

/** The snapshot is not wanted any more. */
export class SnapshotCancelledError extends Error {
  override readonly name = "SnapshotCancelledError";
}

/**
 * Writes everything that `reader` sees to a new file at `path`. The reader stays at one commit meanwhile.
 * @throws with the path and the cause, nothing left behind
 */
export function writeSnapshot(
  reader: BackendReader,
  path: string,
  { isCancelled = () => false, sync = false }: WriteSnapshotOptions = {},
): SnapshotDescription {
  const facts = readFacts(reader);
  const writer = new BoltWriter(path);
  let records = 0;
  const checkWanted = (): void => {
    if (++records % RECORDS_PER_CHECK === 0 && isCancelled())
      throw new SnapshotCancelledError(`snapshot ${path} is cancelled`);
  };
  try {
    for (const bucket of BUCKETS) {
      writer.beginBucket(bucket);
      if (bucket === "meta") continue;
      reader.scan(bucket, (key, value) => {
        checkWanted();
        writer.put(key, key.length, value, value.length);
      });
    }
    for (const [key, value] of metaRecords(reader, facts)) writer.put(key, key.length, value, value.length);
  } catch (error) {
    writer.abandon();
    throw error;
  }
  const bytes = writer.finish({ sync });
  const { index, term, confState } = facts;
  return { index, term, confState, bytes, data: v2StoreJson(facts) };
}

/** What stands in the small buckets. */
interface Facts {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfStateIds;
  readonly members: readonly Member[];
  /** Hex ids. */
  readonly removed: readonly string[];
  /** Empty while undecided. */
  readonly clusterVersion: string;
}

function readFacts(reader: BackendReader): Facts {
  const index = readNumber(reader, META_CONSISTENT_INDEX);
  if (index === 0) throw new Error("no snapshot can be made: nothing is committed to the database yet");
  const members = reader.entries("members").map(({ value }) => parseMember(value));
  const confState = reader.get("meta", META_CONF_STATE);
  const version = reader.entries("cluster").find(({ key }) => toText(key) === "clusterVersion");
  return {
    index,
    term: readNumber(reader, META_TERM),
    confState: confState === undefined ? confStateOf(members) : parseConfState(confState),
    members,
    removed: reader.entries("members_removed").map(({ key }) => toText(key)),
    clusterVersion: version === undefined ? "" : toText(version.value),
  };
}

/** The configuration of a database that does not name it: one that an older version of this program has written. */
function confStateOf(members: readonly Member[]): ConfStateIds {
  const ids = (isLearner: boolean): bigint[] =>
    members
      .filter((member) => member.isLearner === isLearner)
      .map(({ id }) => id)
      .sort((a, b) => (a < b ? -1 : 1));
  return simpleConfState(ids(false), ids(true));
}

/** Bucket `meta` of the file, ascending: etcd's keys only, and what etcd wants besides what we keep. */
function metaRecords(reader: BackendReader, facts: Facts): Array<[Uint8Array, Uint8Array]> {
  const records: Array<[Uint8Array, Uint8Array]> = [];
  reader.scan("meta", (key, value) => {
    if (META_KEYS.includes(toText(key))) records.push([key.slice(), value.slice()]);
  });
  records.push([META_CONF_STATE, Buffer.from(formatConfState(facts.confState))]);
  // Each etcd writes it by itself once the cluster is at 3.6; a file without it is one of 3.5.
  if (compareVersions(facts.clusterVersion, STORAGE_VERSION) >= 0) {
    records.push([META_STORAGE_VERSION, Buffer.from(STORAGE_VERSION)]);
  }
  return records.sort(([a], [b]) => Buffer.compare(a, b));
}

/** Members of the configuration that the state does not know; each would be fatal to an etcd that takes the file. */
export function findUnknownMembers(confState: ConfStateIds, memberIds: ReadonlySet<string>): string[] {
  const ids = [...confState.voters, ...confState.learners, ...confState.votersOutgoing];
  return ids.map(formatId).filter((id) => !memberIds.has(id));
}

export function isBucketName(name: string): name is BucketName {
  return (BUCKETS as readonly string[]).includes(name);
}

function readNumber(reader: BackendReader, key: Uint8Array): number {
  const value = reader.get("meta", key);
  return value === undefined ? 0 : readUint64BE(value, 0);
}

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
}
