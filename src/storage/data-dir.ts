/**
 * The data directory, laid out as etcd's: `member/wal`, `member/snap` with the database file in it, and the index
 * checkpoint beside that. It is locked while a member uses it, and checked before anything is written: what would fail
 * under load (no permission, read-only file system, no space) fails at start, with a message that names it.
 */
import { accessSync, constants, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

import { syncDirectory } from "./sync-directory.ts";
import { DirectoryLock } from "./directory-lock.ts";
import { freeBytesIn } from "./free-space.ts";

/** The next WAL segment is preallocated (64 MB, as etcd's) and LMDB needs room beside it. */
const FREE_BYTES_MIN = 96 * 1024 * 1024;
const DIRECTORY_MODE = 0o700;

/** The paths in a data directory, all absolute. */
export interface DataPaths {
  readonly path: string;
  readonly walPath: string;
  readonly snapPath: string;
  /** The LMDB file. A Go etcd has its own under this name; either refuses the other's. */
  readonly databasePath: string;
  readonly checkpointPath: string;
}

/** Where things are in the data directory at `path`; nothing is looked at. */
export function dataPaths(path: string): DataPaths {
  const root = resolve(path);
  const member = join(root, "member");
  const snapPath = join(member, "snap");
  return {
    path: root,
    walPath: join(member, "wal"),
    snapPath,
    databasePath: join(snapPath, "db"),
    checkpointPath: join(snapPath, "index.ckpt"),
  };
}

/** A locked data directory. */
export interface DataDirectory extends DataPaths {
  /** What the operator should know, in etcd's words; for the log. */
  readonly warnings: readonly string[];
  /** Unlocks. The kernel does it too when the process ends. */
  release(): void;
}

/**
 * Creates the directory if needed (mode 0700), locks it and checks that it can be written to.
 * @throws DirectoryLockedError when another member uses it; an Error naming the directory and the cause otherwise
 */
export function openDataDirectory(path: string, options: { freeBytesMin?: number } = {}): DataDirectory {
  const paths = dataPaths(path);
  const { path: root, walPath, snapPath } = paths;
  const member = dirname(snapPath);
  const warnings: string[] = [];
  for (const directory of [root, member, walPath, snapPath]) createDirectory(directory, root, warnings);
  checkFreeSpace(root, options.freeBytesMin ?? FREE_BYTES_MIN);
  const lock = DirectoryLock.acquire(join(member, "lock"), root);
  removeTemporaryFiles(snapPath);
  return { ...paths, warnings, release: () => lock.release() };
}

function createDirectory(directory: string, root: string, warnings: string[]): void {
  try {
    if (directory === root) mkdirSync(dirname(root), { recursive: true });
    mkdirSync(directory, { mode: DIRECTORY_MODE });
    syncDirectory(dirname(directory));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw directoryError(root, error);
  }
  try {
    const stat = statSync(directory);
    if (!stat.isDirectory()) throw new Error(`${directory} is not a directory`);
    const mode = stat.mode & 0o777;
    if (mode !== DIRECTORY_MODE && directory === root) warnings.push(describeMode(directory, mode));
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw directoryError(root, error);
  }
}

function directoryError(root: string, cause: unknown): Error {
  return new Error(`cannot use data directory ${root}: ${(cause as Error).message}`, { cause });
}

function describeMode(directory: string, mode: number): string {
  const letters = [mode >> 6, mode >> 3, mode].map((bits) => {
    return `${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${bits & 1 ? "x" : "-"}`;
  });
  return (
    `directory "${directory}" exist, but the permission is "d${letters.join("")}". The recommended permission is ` +
    `"-rwx------" to prevent possible unprivileged access to the data`
  );
}

function checkFreeSpace(root: string, bytesMin: number): void {
  const freeBytes = freeBytesIn(root);
  if (freeBytes >= bytesMin) return;
  throw new Error(
    `data directory ${root} has ${freeBytes} bytes of free space, at least ${bytesMin} are needed`,
  );
}

/** What a crash left half written; never the only copy of anything. */
function removeTemporaryFiles(snapPath: string): void {
  for (const name of readdirSync(snapPath)) {
    if (name.startsWith("tmp") || name.endsWith(".tmp"))
      rmSync(join(snapPath, name), { force: true, recursive: true });
  }
}
