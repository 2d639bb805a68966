/**
 * Jobs of the pool that make and read snapshot files. Each opens what it needs and lets go of it before it ends; none holds up the
 * storage thread: LMDB's readers and its writer do not wait for each other.
 */
import { digestFile } from "../../src/snapshot/digest-file.ts";
import { openLmdbReader } from "../../src/storage/lmdb-reader.ts";
import { buildDatabase } from "../../src/snapshot/install-database.ts";
import {
  type SnapshotContents,
  type SnapshotExpectation,
  verifySnapshot,
} from "../../src/snapshot/read-snapshot.ts";
import { type SnapshotDescription, writeSnapshot } from "../../src/snapshot/snapshot.ts";

/** What all jobs have in common. */
interface Cancellable {
  /** Its first word is set to 1 when the result is not wanted any more. */
  readonly cancelled: Int32Array;
}

export interface WriteJob extends Cancellable {
  /** LMDB file that this process has open. */
  readonly databasePath: string;
  /** The file to write. */
  readonly path: string;
}

export interface DigestJob extends Cancellable {
  readonly path: string;
}

export interface BuildJob extends Cancellable {
  /** Snapshot file. */
  readonly path: string;
  /** LMDB file to make from it. */
  readonly target: string;
  readonly expected: SnapshotExpectation;
}

export interface VerifyJob {
  readonly path: string;
  readonly expected: SnapshotExpectation;
}

/** Writes a snapshot of what storage has committed. */
export function write({ databasePath, path, cancelled }: WriteJob): SnapshotDescription {
  const reader = openLmdbReader(databasePath);
  try {
    return writeSnapshot(reader, path, { isCancelled: () => Atomics.load(cancelled, 0) !== 0 });
  } finally {
    reader.close();
  }
}

/** SHA-256 of a file. */
export function digest({ path, cancelled }: DigestJob): Uint8Array {
  return digestFile(path, () => Atomics.load(cancelled, 0) !== 0);
}

/** Makes a database of a snapshot file; the file is checked on the way. */
export function build({ path, target, expected, cancelled }: BuildJob): Promise<SnapshotContents> {
  return buildDatabase(path, target, expected, () => Atomics.load(cancelled, 0) !== 0);
}

/** Checks a snapshot file. */
export function verify({ path, expected }: VerifyJob): SnapshotContents {
  return verifySnapshot(path, expected);
}
