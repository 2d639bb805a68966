/**
 * A snapshot file becomes the member's database, in two steps between which a crash may come at any point:
 *
 * ```
 *   build    <index>.snap.db ──read, checked──▶ tmp-install-<index>     (the old database serves on; leftovers are deleted at start)
 *   put      tmp-install-<index> ──rename──▶ db, directory synced        (nobody has the old one open for writing any more)
 * ```
 * Until the rename the old database is whole and in place, and the file is still there for the next attempt.
 */
import { randomBytes } from "node:crypto";
import { renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";

import { freeBytesIn } from "../storage/free-space.ts";
import { syncDirectory } from "../storage/sync-directory.ts";
import { openLmdbBackend } from "../storage/lmdb-backend.ts";
import { META_DATABASE_ID } from "../storage/meta-keys.ts";
import { removeDatabase } from "../storage/remove-database.ts";
import { readSnapshot, type SnapshotContents, type SnapshotExpectation } from "./read-snapshot.ts";
import { SnapshotCancelledError } from "./snapshot.ts";

/** Bytes of records a commit: LMDB keeps what is not committed in memory. */
const COMMIT_BYTES = 32 * 1024 * 1024;
/** What LMDB needs more than bbolt for the same records, and what must stay free for the log. */
const GROWTH_FACTOR = 1.25;
const FREE_BYTES_MIN = 96 * 1024 * 1024;
const DATABASE_ID_BYTES = 16;
const RECORD_OVERHEAD_BYTES = 32;
const RECORDS_PER_CHECK = 4096;

/**
 * Builds a database from the snapshot file at `path`, durable when this resolves. It has a new id, so that no index checkpoint
 * of another database is taken for its own.
 * @throws with the path and the cause when the file is not the snapshot expected, or there is no room; nothing is left behind
 */
export async function buildDatabase(
  path: string,
  target: string,
  expected: SnapshotExpectation,
  isCancelled: () => boolean = () => false,
): Promise<SnapshotContents> {
  removeDatabase(target);
  checkFreeSpace(path, target);
  const backend = openLmdbBackend(target);
  let pendingBytes = 0;
  let records = 0;
  let built = false;
  try {
    const contents = readSnapshot(path, expected, {
      put: (bucket, key, value) => {
        if (++records % RECORDS_PER_CHECK === 0 && isCancelled()) {
          throw new SnapshotCancelledError(`the installation of ${path} is cancelled`);
        }
        if (bucket === "key") backend.putRevision(key, value);
        else backend.put(bucket, key, value);
        pendingBytes += key.length + value.length + RECORD_OVERHEAD_BYTES;
        if (pendingBytes < COMMIT_BYTES) return;
        pendingBytes = 0;
        backend.commit(0, 0);
      },
    });
    backend.put("meta", META_DATABASE_ID, randomBytes(DATABASE_ID_BYTES));
    backend.commit(expected.index, expected.term);
    built = true;
    return contents;
  } finally {
    backend.close();
    await backend.closed;
    if (!built) removeDatabase(target);
  }
}

/**
 * Puts a database that {@link buildDatabase} made in the place of `databasePath`, durably. Nobody may write the old one any more; who
 * still reads it keeps it.
 * @throws with the path and the cause
 */
export function putDatabase(built: string, databasePath: string): void {
  // The lock file holds LMDB's table of readers: the new file begins with its own.
  rmSync(`${databasePath}-lock`, { force: true });
  renameSync(built, databasePath);
  rmSync(`${built}-lock`, { force: true });
  syncDirectory(dirname(databasePath));
}

/** A full disk is told before anything is written. @throws with the figures */
export function checkFreeSpace(path: string, target: string): void {
  const freeBytes = freeBytesIn(dirname(target));
  const neededBytes = Math.ceil(statSync(path).size * GROWTH_FACTOR) + FREE_BYTES_MIN;
  if (freeBytes >= neededBytes) return;
  throw new Error(
    `cannot install snapshot file ${path}: no space left on device: ${freeBytes} bytes are free, ${neededBytes} are needed`,
  );
}
