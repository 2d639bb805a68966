/**
 * Reads a snapshot file record by record and checks that it is what a member can go on from: whole, of a format and a schema
 * that we know, and the state at the index that raft expects. Who fills a database from it must not use that before this has returned.
 */
import { STORAGE_VERSION } from "../base/version.ts";
import { parseConfState } from "../cluster/conf-state.ts";
import { compareVersions } from "../cluster/version.ts";
import type { BucketName } from "../mvcc/backend.ts";
import {
  META_CONF_STATE,
  META_CONSISTENT_INDEX,
  META_STORAGE_VERSION,
  META_TERM,
} from "../storage/meta-keys.ts";
import { REVISION_KEY_BYTES, readUint64BE, TOMBSTONE_KEY_BYTES } from "../storage/revision-key.ts";
import { BoltReader } from "./bolt-reader.ts";
import { findUnknownMembers, isBucketName } from "./snapshot.ts";

/** Where the records go: a database that is being filled. Keys of a bucket ascend; bytes are borrowed. */
export interface SnapshotTarget {
  put(bucket: BucketName, key: Uint8Array, value: Uint8Array): void;
}

/** What a snapshot file says of itself. */
export interface SnapshotContents {
  readonly index: number;
  readonly term: number;
  /** Records of bucket `key`. */
  readonly revisions: number;
  /** Buckets that this version does not know; they are left out. */
  readonly unknownBuckets: readonly string[];
}

/** What the receiver of a file knows of it. */
export interface SnapshotExpectation {
  readonly index: number;
  readonly term: number;
}

/**
 * Reads and checks the whole file, and gives every record to `target`.
 * @throws SnapshotFileError when it is damaged, or not the snapshot that was expected; an error with the path otherwise
 */
export function readSnapshot(
  path: string,
  expected: SnapshotExpectation,
  target: SnapshotTarget,
): SnapshotContents {
  const reader = new BoltReader(path);
  try {
    const unknownBuckets: string[] = [];
    const check = new ContentCheck(reader);
    for (const bucket of reader.buckets()) {
      const { name } = bucket;
      const isKnown = isBucketName(name);
      if (!isKnown) unknownBuckets.push(name);
      reader.scan(bucket, (bytes, keyAt, valueAt, end) => {
        if (!isKnown) return;
        const key = bytes.subarray(keyAt, valueAt);
        const value = bytes.subarray(valueAt, end);
        check.record(name, key, value);
        target.put(name, key, value);
      });
    }
    return { ...check.finish(expected), unknownBuckets };
  } finally {
    reader.close();
  }
}

/** Checks the whole file, and changes nothing. @throws as {@link readSnapshot} */
export function verifySnapshot(path: string, expected: SnapshotExpectation): SnapshotContents {
  return readSnapshot(path, expected, { put: () => {} });
}

/** What the records must say for a member to go on from them. */
class ContentCheck {
  readonly #reader: BoltReader;
  readonly #meta = new Map<string, Uint8Array>();
  readonly #members = new Set<string>();
  #revisions = 0;

  constructor(reader: BoltReader) {
    this.#reader = reader;
  }

  record(bucket: BucketName, key: Uint8Array, value: Uint8Array): void {
    if (bucket === "key") {
      this.#revisions++;
      if (isRevisionKey(key)) return;
      throw this.#reader.file.error(`is damaged: bucket key has a key 0x${Buffer.from(key).toString("hex")}`);
    }
    if (bucket === "meta") this.#meta.set(Buffer.from(key).toString(), value.slice());
    else if (bucket === "members") this.#members.add(Buffer.from(key).toString());
  }

  finish(expected: SnapshotExpectation): { index: number; term: number; revisions: number } {
    const { file } = this.#reader;
    const index = this.#number(META_CONSISTENT_INDEX);
    const term = this.#number(META_TERM);
    if (index !== expected.index || (term !== 0 && term !== expected.term)) {
      throw file.error(
        `holds the state at index ${index}, term ${term}; expected index ${expected.index}, term ${expected.term}`,
      );
    }
    const version = Buffer.from(this.#meta.get(text(META_STORAGE_VERSION)) ?? []).toString();
    if (version !== "" && compareVersions(version, STORAGE_VERSION) > 0) {
      throw file.error(
        `was written by an etcd with storage version ${version}, newer than ${STORAGE_VERSION}`,
      );
    }
    const confState = this.#meta.get(text(META_CONF_STATE));
    const unknown =
      confState === undefined ? [] : findUnknownMembers(parseConfState(confState), this.#members);
    if (unknown.length > 0)
      throw file.error(`has no entry for members ${unknown.join(", ")} of its configuration`);
    return { index, term, revisions: this.#revisions };
  }

  #number(key: Uint8Array): number {
    const value = this.#meta.get(text(key));
    return value?.length === 8 ? readUint64BE(value, 0) : 0;
  }
}

/** Whether these bytes can be a key of bucket `key`. */
export function isRevisionKey(key: Uint8Array): boolean {
  const isTombstone = key.length === TOMBSTONE_KEY_BYTES && key[17] === 0x74;
  return (
    (isTombstone || key.length === REVISION_KEY_BYTES) && key[8] === 0x5f && key[0] === 0 && key[1] < 0x20
  );
}

function text(key: Uint8Array): string {
  return Buffer.from(key).toString();
}
