/**
 * The files of a member, log and database, as a whole: whether they belong together is checked before either is opened, and
 * both are locked while the member runs.
 */
import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Config } from "../src/config/config.ts";
import { findInitialClusterProblem } from "../src/config/initial-cluster.ts";
import { type DataDirectory, dataPaths, openDataDirectory } from "../src/storage/data-dir.ts";
import { DirectoryLock } from "../src/storage/directory-lock.ts";
import { walExists } from "../src/wal/segments.ts";

/** Absolute path of the log's folder. */
export function walDirectory(config: Config): string {
  return config.walDir === "" ? dataPaths(config.dataDir).walPath : resolve(config.walDir);
}

/** True if this member has a log: it knows its cluster, and begins where it ended. */
export function hasLog(config: Config): boolean {
  return !config.inMemory && walExists(walDirectory(config));
}

/**
 * Without a log the flags must describe a cluster that this member can found or join; with one the database must be there too, since
 * the log alone begins where older segments were deleted. Reads only.
 * @throws an Error that says what does not fit
 */
export function checkFiles(config: Config): void {
  if (!hasLog(config)) {
    const problem = findInitialClusterProblem(config);
    if (problem !== undefined) throw new Error(problem);
    return;
  }
  const { databasePath } = dataPaths(config.dataDir);
  if (fileBytes(databasePath) > 0) return;
  // A member writes its database before its log, so no crash leaves a log alone.
  throw new Error(
    `database file (${databasePath}) of the backend is missing, but there is a log in ${walDirectory(config)}: ` +
      `restore the file or the whole data directory; to begin with nothing, remove the log too`,
  );
}

function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The data directory, and a log elsewhere, locked. */
export interface MemberFiles {
  readonly directory: DataDirectory;
  release(): void;
}

/** @throws DirectoryLockedError when another member uses either; an Error naming the directory and the cause otherwise */
export function openFiles(config: Config): MemberFiles {
  const directory = openDataDirectory(config.dataDir);
  if (config.walDir === "") return { directory, release: () => directory.release() };
  const walDir = walDirectory(config);
  try {
    // Beside the folder, which appears by a rename.
    mkdirSync(dirname(walDir), { recursive: true });
    const lock = DirectoryLock.acquire(`${walDir}.lock`, walDir);
    return {
      directory,
      release: () => {
        lock.release();
        directory.release();
      },
    };
  } catch (error) {
    directory.release();
    throw error;
  }
}
