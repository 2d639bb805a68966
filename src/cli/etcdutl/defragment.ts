/** Makes the database file of a member that does not run as small as what it holds. */
import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { syncDirectory } from "../../storage/sync-directory.ts";
import { copyDatabase } from "../../storage/copy-database.ts";
import { removeDatabase } from "../../storage/remove-database.ts";
import { type DataDirectory, dataPaths, openDataDirectory } from "../../storage/data-dir.ts";
import { checkDatabaseFile } from "../../storage/database-file.ts";
import { DirectoryLockedError } from "../../storage/directory-lock.ts";
import { openLmdbReader } from "../../storage/lmdb-reader.ts";
import { goQuote } from "../common/go-quote.ts";
import { ProgressBar } from "../common/progress-bar.ts";
import { printErrorLine } from "../common/terminal.ts";
import { consoleLog } from "./console-log.ts";

/** How long a member that holds the directory is waited for without a word, and the pause between two looks. */
const SILENT_MS = 1000;
const LOOK_MS = 200;

/** Defragments, waiting for a member that still runs. Rejects with an Error that names file and cause. */
export async function defragmentDirectory(dataDir: string): Promise<void> {
  const { databasePath } = dataPaths(dataDir);
  if (!existsSync(databasePath)) throw new Error(`there is no database ${databasePath}`);
  const directory = await lockDirectory(dataDir, databasePath);
  try {
    await defragmentFile(databasePath);
  } finally {
    directory.release();
  }
}

async function lockDirectory(dataDir: string, databasePath: string): Promise<DataDirectory> {
  const startedMs = performance.now();
  let told = false;
  for (;;) {
    try {
      // What little room the copy needs is checked with it.
      return openDataDirectory(dataDir, { freeBytesMin: 0 });
    } catch (error) {
      if (!(error instanceof DirectoryLockedError)) throw error;
    }
    if (!told && performance.now() - startedMs >= SILENT_MS) {
      told = true;
      printErrorLine(
        `waiting for etcd to close and release its lock on ${goQuote(databasePath)}. ` +
          "To defrag a running etcd instance, use `etcdctl defrag` instead.",
      );
    }
    await sleep(LOOK_MS);
  }
}

/** The copy takes the place of the file by a rename: a crash leaves one of the two, whole. */
async function defragmentFile(databasePath: string): Promise<void> {
  const copy = `${databasePath}.tmp`;
  const before = statSync(databasePath).size;
  const startedMs = performance.now();
  consoleLog("info", "defragmenting", { path: databasePath, "current-db-size-bytes": before });
  try {
    await copyTo(copy, databasePath);
    rmSync(`${databasePath}-lock`, { force: true });
    renameSync(copy, databasePath);
    syncDirectory(dirname(databasePath));
  } finally {
    removeDatabase(copy);
  }
  consoleLog("info", "finished defragmenting directory", {
    path: databasePath,
    "current-db-size-bytes-diff": statSync(databasePath).size - before,
    "current-db-size-bytes": statSync(databasePath).size,
    took: `${Math.round(performance.now() - startedMs)}ms`,
  });
}

async function copyTo(copy: string, databasePath: string): Promise<void> {
  if (checkDatabaseFile(databasePath) === undefined) throw new Error(`${databasePath} is empty`);
  const reader = openLmdbReader(databasePath);
  const bar = new ProgressBar({ format: (records) => `${records} records` });
  try {
    await copyDatabase(reader, copy, { yieldTo: () => bar.add(RECORDS_A_CALL) });
  } finally {
    bar.finish();
    reader.close();
  }
}

/** How many records the copy makes between two calls of `yieldTo`. */
const RECORDS_A_CALL = 256;
