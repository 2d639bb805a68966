/**
 * The lock of a data directory: one member at a time, released by the kernel when the process ends, however it ends.
 *
 * Node has no flock or fcntl. A lock file with a process id is a guess (ids are reused, and another container's mean
 * nothing here), and a socket is seen by one network namespace only. The SQLite that Node brings takes a true fcntl lock
 * on its file, so an exclusive transaction on an empty database, never written to, is our lock. It takes 2 ms.
 *
 * The lock file must not be opened by anything else in this process: closing any descriptor of it would drop the lock.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";

const SQLITE_BUSY = 5;

/** Somebody else holds the directory. */
export class DirectoryLockedError extends Error {
  override readonly name = "DirectoryLockedError";
}

export class DirectoryLock {
  readonly #database: DatabaseSync;
  readonly #holderPath: string;

  private constructor(database: DatabaseSync, holderPath: string) {
    this.#database = database;
    this.#holderPath = holderPath;
  }

  /**
   * Locks the file at `path`, creating it (empty). `directory` is what messages name.
   * @throws DirectoryLockedError naming the directory and the holder; an Error with path and cause otherwise
   */
  static acquire(path: string, directory: string): DirectoryLock {
    // A member that keeps nothing does without.
    const { DatabaseSync: Database } = process.getBuiltinModule("node:sqlite");
    const holderPath = `${path}.holder`;
    let database: DatabaseSync | undefined;
    try {
      database = new Database(path);
      database.exec("PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY");
      database.exec("BEGIN EXCLUSIVE");
    } catch (error) {
      database?.close();
      if ((error as { errcode?: number }).errcode === SQLITE_BUSY) {
        throw new DirectoryLockedError(
          `data directory ${directory} is in use by another member${describeHolder(holderPath)} (lock file ${path})`,
        );
      }
      throw new Error(
        `cannot lock data directory ${directory} (lock file ${path}): ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
    writeFileSync(holderPath, `${process.pid}\n`, { mode: 0o600 });
    return new DirectoryLock(database, holderPath);
  }

  release(): void {
    if (!this.#database.isOpen) return;
    rmSync(this.#holderPath, { force: true });
    this.#database.close();
  }
}

/** The id is a hint for the operator; the lock itself does not depend on it. */
function describeHolder(holderPath: string): string {
  try {
    return ` (process ${Number.parseInt(readFileSync(holderPath, "utf8"), 10)})`;
  } catch {
    return "";
  }
}
