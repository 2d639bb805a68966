/**
 * The backend on LMDB. Owns the database file and its only write transaction; the storage thread owns this.
 *
 * One transaction is open from the first change after a commit until the next commit. Readers see nothing of it before,
 * and all of it after. A commit is durable when it returns: LMDB writes the changed pages, syncs, then writes the meta
 * page that makes them the current ones, and syncs that. A process or machine that dies in between finds the last commit.
 *
 * After an error the backend is dead (every call throws the same error): the process ends, and restarts from the last
 * commit and the WAL. Read next: `lmdb-environment.ts` (options), `page-reader.ts` (the read side), `database-file.ts` (checks before).
 */
import { statSync } from "node:fs";
import { dirname } from "node:path";

import { BUCKETS, type BackendReader, type BackendWriter, type BucketName } from "../mvcc/backend.ts";
import { checkDatabaseFile } from "./database-file.ts";
import { freeBytesIn } from "./free-space.ts";
import { describeError } from "./io-error.ts";
import { type LmdbEnvironment, openEnvironment } from "./lmdb-environment.ts";
import { InstructionPut } from "./lmdb-instruction.ts";
import { openLmdbReader } from "./lmdb-reader.ts";
import { META_CONSISTENT_INDEX, META_TERM } from "./meta-keys.ts";
import { writeUint64BE } from "./revision-key.ts";

const APPEND = { append: true };
/** What a record takes in its page beside key and value, and what of the page stays empty. */
const RECORD_OVERHEAD_BYTES = 64;
/** What a commit writes beside the records: branch pages, the small buckets, the list of free pages. */
const COMMIT_OVERHEAD_BYTES = 256 * 1024;

export interface LmdbBackendOptions {
  /** Address space of the map, for tests; the default outgrows every quota. */
  readonly mapBytes?: number;
}

/** The writer, and when it is gone: until then its file is in use, whatever its name has become. */
export interface LmdbWriter extends BackendWriter {
  /** Resolves once LMDB has let go of the file after {@link BackendWriter.close}; rejects when that failed. */
  readonly closed: Promise<void>;
  /** The file has been renamed to `path`. */
  renamed(path: string): void;
}

/**
 * Opens the database file at `path` for writing, or creates it with all buckets. One writer a file and process.
 * @throws DatabaseFileError, with the file untouched, when it is foreign, damaged or truncated; an Error naming the file
 * and the cause when it cannot be opened or written
 */
export function openLmdbBackend(path: string, options: LmdbBackendOptions = {}): LmdbWriter {
  checkDatabaseFile(path);
  return new LmdbBackend(
    openEnvironment(path, options.mapBytes === undefined ? {} : { mapBytes: options.mapBytes }),
  );
}

class LmdbBackend implements LmdbWriter {
  readonly #environment: LmdbEnvironment;
  #path: string;
  readonly #append: InstructionPut | undefined;
  /** The calls that end the open transaction; undefined when none is open. */
  #open: { commit: (value: undefined) => unknown; abort: (reason: unknown) => unknown } | undefined;
  #failure: Error | undefined;
  #closed = false;
  readonly #whenClosed = Promise.withResolvers<void>();
  #inUseBytes = 0;
  /** Room that the open transaction's puts take at most, roughly. */
  #pendingBytes = 0;
  readonly #number = new Uint8Array(8);

  constructor(environment: LmdbEnvironment) {
    this.#environment = environment;
    this.#path = environment.path;
    this.#append = this.#canAppendDirectly() ? new InstructionPut(environment.buckets.key) : undefined;
  }

  putRevision(key: Uint8Array, value: Uint8Array): void {
    this.#begin();
    this.#pendingBytes += key.length + value.length + RECORD_OVERHEAD_BYTES;
    try {
      const { key: store } = this.#environment.buckets;
      const appended =
        this.#append === undefined ? store.putSync(key, value, APPEND) : this.#append.append(key, value);
      if (!appended) store.putSync(key, value); // a replay after a restart: the key is there, or below others
    } catch (error) {
      this.#fail("cannot write to", error);
    }
  }

  deleteRevision(key: Uint8Array): void {
    this.delete("key", key);
  }

  put(bucket: BucketName, key: Uint8Array, value: Uint8Array): void {
    this.#begin();
    try {
      this.#environment.buckets[bucket].putSync(key, value);
    } catch (error) {
      this.#fail("cannot write to", error);
    }
  }

  delete(bucket: BucketName, key: Uint8Array): void {
    this.#begin();
    try {
      this.#environment.buckets[bucket].removeSync(key);
    } catch (error) {
      this.#fail("cannot write to", error);
    }
  }

  commit(consistentIndex: number, term: number): void {
    writeUint64BE(this.#number, 0, consistentIndex);
    this.put("meta", META_CONSISTENT_INDEX, this.#number);
    writeUint64BE(this.#number, 0, term);
    this.put("meta", META_TERM, this.#number);
    try {
      this.#checkFreeSpace();
      this.#inUseBytes = this.#measureInUse();
      const open = this.#open;
      this.#open = undefined;
      open?.commit(undefined);
    } catch (error) {
      this.#fail("cannot commit to", error);
    }
  }

  /**
   * A full disk must be found before LMDB finds it: lmdb 3.5.6 describes a failed write of large pages in a buffer that is too
   * short for the text (mdb_page_flush), and the process aborts without a word. It may be wrong where free pages inside
   * the file would do; the log needs more room than that anyway.
   */
  #checkFreeSpace(): void {
    const freeBytes = freeBytesIn(dirname(this.#path));
    const neededBytes = this.#pendingBytes + COMMIT_OVERHEAD_BYTES;
    this.#pendingBytes = 0;
    if (freeBytes >= neededBytes) return;
    throw new Error(
      `no space left on device: ${freeBytes} bytes are free, the commit takes up to ${neededBytes}`,
    );
  }

  size(): { allocatedBytes: number; inUseBytes: number } {
    return { allocatedBytes: statSync(this.#path).size, inUseBytes: this.#inUseBytes };
  }

  reader(): BackendReader {
    return openLmdbReader(this.#path);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#abort();
    this.#failure ??= new Error(`database file ${this.#path} is closed`);
    this.#environment.root.close().then(this.#whenClosed.resolve, this.#whenClosed.reject);
    // Whoever waits for it sees the rejection.
    this.#whenClosed.promise.catch(() => undefined);
  }

  get closed(): Promise<void> {
    return this.#whenClosed.promise;
  }

  renamed(path: string): void {
    this.#path = path;
  }

  /**
   * lmdb-js keeps a synchronous transaction open while what its callback returned is pending, and settles it in the very
   * call that settles that. So a thenable that we settle ourselves is a plain begin and commit: measured against one
   * callback a ring batch with a commit each, which would need a sync each.
   */
  #begin(): void {
    if (this.#open !== undefined) return;
    if (this.#failure !== undefined) throw this.#failure;
    this.#environment.root.transactionSync(() => ({
      // oxlint-disable-next-line unicorn/no-thenable -- a thenable is what lmdb-js waits for
      then: (commit: (value: undefined) => unknown, abort: (reason: unknown) => unknown) => {
        this.#open = { commit, abort };
      },
    }));
  }

  #abort(): void {
    const open = this.#open;
    this.#open = undefined;
    try {
      open?.abort(undefined);
    } catch {
      // lmdb-js rethrows the reason it was given
    }
  }

  #fail(doing: string, cause: unknown): never {
    this.#abort();
    this.#failure ??= describeError(this.#path, `${doing} database file`, cause);
    throw this.#failure;
  }

  /** Also measures the file, as the first transaction. */
  #canAppendDirectly(): boolean {
    this.#begin();
    try {
      this.#inUseBytes = this.#measureInUse();
      return InstructionPut.probe(this.#environment.buckets.alarm);
    } finally {
      this.#abort();
    }
  }

  /** Bytes of the pages that the buckets use; what the free list holds does not count. Called inside the transaction. */
  #measureInUse(): number {
    let pages = 2;
    let pageSize = 0;
    for (let i = 0; i < BUCKETS.length; i++) {
      const stat = this.#environment.buckets[BUCKETS[i]].db.stat();
      pages += stat.treeBranchPageCount + stat.treeLeafPageCount + stat.overflowPages;
      pageSize = stat.pageSize;
    }
    return pages * pageSize;
  }
}
