/**
 * The files in the snapshot directory that peers have sent, `<index>.snap.db`, and which of them is of use: the one that the log
 * has a marker for and the database does not hold yet. Everything else is left over from a transfer that came to nothing.
 */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { snapshotFileName } from "../raft/snapshot-service.ts";
import { nodeFileSystem } from "../wal/node-file-system.ts";
import { walExists } from "../wal/segments.ts";
import type { SnapshotExpectation } from "./read-snapshot.ts";

const NAME = /^([0-9a-f]{16})\.snap\.db$/;

/** Where a snapshot's database is built: beside the one that it will replace. */
export function installPath(snapDir: string, index: number): string {
  return join(snapDir, `tmp-install-${index}`);
}

/** Indexes of the files in `snapDir`, descending. */
function receivedIndexes(snapDir: string): number[] {
  return readdirSync(snapDir)
    .map((name) => NAME.exec(name)?.[1])
    .filter((hex) => hex !== undefined)
    .map((hex) => Number.parseInt(hex, 16))
    .sort((a, b) => b - a);
}

/**
 * The snapshot that a crash has kept from being installed, or null. To be called at start, with what the database holds.
 * @throws WalError when the log cannot be read
 */
export async function findPendingInstall(
  snapDir: string,
  walDir: string,
  consistentIndex: number,
): Promise<SnapshotExpectation | null> {
  const candidates = receivedIndexes(snapDir).filter((index) => index > consistentIndex);
  if (candidates.length === 0 || !walExists(walDir)) return null;
  // Few starts find such a file.
  const { readWal } = await import("../wal/recovery.ts");
  for (const index of candidates) {
    // Read from there on: what the log holds before may end far below.
    const { snapshots } = readWal(nodeFileSystem, walDir, index).contents;
    const marker = snapshots.find((each) => each.index === index);
    if (marker !== undefined) return { index, term: marker.term };
  }
  return null;
}

/** Deletes the received files up to `index`; returns their number. What cannot be deleted costs space only. */
export function removeReceived(snapDir: string, index: number): number {
  const old = receivedIndexes(snapDir).filter((each) => each <= index);
  for (const each of old) rmSync(join(snapDir, snapshotFileName(each)), { force: true });
  return old.length;
}
