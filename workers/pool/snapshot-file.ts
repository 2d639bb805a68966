/**
 * Jobs of the pool that make and read snapshot files. Each opens what it needs and lets go of it before it ends; none holds up the
 * storage thread: LMDB's readers and its writer do not wait for each other. Its threads give way to those that serve.
 */
import { copyDatabase, type DatabaseCopy } from "../../src/storage/copy-database.ts";
import { digestFile } from "../../src/snapshot/digest-file.ts";
import { openLmdbReader } from "../../src/storage/lmdb-reader.ts";
import { buildDatabase } from "../../src/snapshot/install-database.ts";
import {
  type SnapshotContents,
  type SnapshotExpectation,
  verifySnapshot,
} from "../../src/snapshot/read-snapshot.ts";
import { type SnapshotDescription, writeSnapshot } from "../../src/snapshot/snapshot.ts";
import { yieldToOthers } from "./background-thread.ts";

yieldToOthers();

/** A copy works so long between two pauses. */
const WORK_MS = 2;

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

export interface CopyJob extends Cancellable {
  /** LMDB file that this process has open. */
  readonly databasePath: string;
  /** LMDB file to make. */
  readonly target: string;
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

/** Copies what storage has committed into a database without free pages. */
export async function copy({ databasePath, target, cancelled }: CopyJob): Promise<DatabaseCopy> {
  const reader = openLmdbReader(databasePath);
  try {
    return await copyDatabase(reader, target, {
      isCancelled: () => Atomics.load(cancelled, 0) !== 0,
      yieldTo: createPause(),
    });
  } finally {
    reader.close();
  }
}

/**
 * A copy reads and writes as fast as the machine can, and clients wait for the same cores and the same disk: it rests as long as it
 * has worked.
 */
function createPause(): () => void {
  const rest = new Int32Array(new SharedArrayBuffer(4));
  let sinceMs = performance.now();
  return () => {
    const workedMs = performance.now() - sinceMs;
    if (workedMs < WORK_MS) return;
    Atomics.wait(rest, 0, 0, workedMs);
    sinceMs = performance.now();
  };
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
