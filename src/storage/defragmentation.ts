/**
 * The second half of a defragmentation, in the storage thread: a copy of the database (`copy-database.ts`) is brought up to date
 * in slices between two turns of the loop, and then takes the database's place.
 *
 * ```
 *   track changes ─▶ copy, elsewhere ─▶ slices: new revisions, deletions, other keys ─▶ last commit, rename, swap
 * ```
 * Until the rename the old file has everything, and what was made of the new one is deleted at the next start. The rename takes
 * place behind the copy's last durable commit, so either file is whole whenever the process dies.
 * Who reads the old file keeps it until he looks at the generation (`following-reader.ts`), which moves with the swap.
 */
import { renameSync } from "node:fs";
import { dirname } from "node:path";

import type { BackendReader } from "../mvcc/backend.ts";
import { syncDirectory } from "./sync-directory.ts";
import type { ChangeTracker } from "./change-tracker.ts";
import type { LmdbWriter } from "./lmdb-backend.ts";
import { TOMBSTONE_KEY_BYTES, writeRevisionKey } from "./revision-key.ts";

/** Records of one slice: a few milliseconds. */
const SLICE_RECORDS = 2000;
/** Bytes of records between two commits of the copy. */
const COMMIT_BYTES = 2 * 1024 * 1024;
const RECORD_OVERHEAD_BYTES = 32;
/** What may be left for the last step, during which nothing else is committed. */
const LAST_STEP_RECORDS = SLICE_RECORDS;

export interface DefragmentationOptions {
  /** The copy, open. */
  readonly next: LmdbWriter;
  /** Reads what is committed to the old database. Closed here. */
  readonly reader: BackendReader;
  /** Has noted all changes since before the copy was begun. */
  readonly tracker: ChangeTracker;
  /** Newest revision that the copy had when it was made. */
  readonly revision: number;
  readonly target: string;
  readonly databasePath: string;
}

/** Where the state of the loop comes from that the last commit needs. */
export interface SwapLoop {
  /** Commits everything taken so far; false if the loop is inside an entry, whose end must come first. */
  commitNow(): boolean;
  readonly consistentIndex: number;
  readonly term: number;
  /** Writes to `next` from now on, and tells everybody again what is committed. */
  swapBackend(next: LmdbWriter): void;
}

export class Defragmentation {
  readonly #options: DefragmentationOptions;
  /** Where the copying of new revisions goes on. */
  #main: number;
  #sub = 0;
  #pendingBytes = 0;
  readonly #key = new Uint8Array(TOMBSTONE_KEY_BYTES);
  #closed = false;
  /** See {@link Defragmentation.mayGoBack}. */
  #replaced = false;

  constructor(options: DefragmentationOptions) {
    this.#options = options;
    this.#main = options.revision + 1;
  }

  /**
   * One slice of catching up. Returns true when little enough is left for {@link finish}.
   * @throws with the file and the cause; the old database is as it was
   */
  step(): boolean {
    const { tracker, reader } = this.#options;
    if (tracker.overflowed) {
      throw new Error(
        "the database changed faster than it could be defragmented; try again when there is less to do",
      );
    }
    reader.refresh();
    const records = this.#copy(SLICE_RECORDS);
    if (this.#pendingBytes >= COMMIT_BYTES) this.#commitCopy(0, 0);
    reader.refresh(); // the file's pages are not kept from being reused between two slices
    return records < SLICE_RECORDS && tracker.pending <= LAST_STEP_RECORDS;
  }

  /**
   * False once the copy has the database's name. Whatever fails then must end the process: what the old file takes from there on has
   * no name any more and would be gone with the next start, although it counts as committed and the log lets go of it.
   */
  get mayGoBack(): boolean {
    return !this.#replaced;
  }

  /**
   * Takes over what is left and puts the copy in the database's place. False: not now, the loop is inside an entry.
   * @throws with the file and the cause; {@link mayGoBack} says what that means
   */
  finish(loop: SwapLoop): boolean {
    const { next, reader, target, databasePath } = this.#options;
    if (!loop.commitNow()) return false;
    reader.refresh();
    while (this.#copy(SLICE_RECORDS) > 0);
    reader.close();
    this.#commitCopy(loop.consistentIndex, loop.term);
    renameSync(target, databasePath);
    this.#replaced = true;
    // The lock file holds the table of readers of the file beside it.
    renameSync(`${target}-lock`, `${databasePath}-lock`);
    syncDirectory(dirname(databasePath));
    next.renamed(databasePath);
    this.#closed = true;
    loop.swapBackend(next);
    return true;
  }

  /** Gives the copy up, unless it has taken the database's place. */
  async abandon(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.reader.close();
    this.#options.next.close();
    await this.#options.next.closed;
  }

  /** Takes over up to `max` of each kind of change; returns how many in all. */
  #copy(max: number): number {
    const { next, tracker, reader } = this.#options;
    const revisions = this.#copyRevisions(max);
    const deletions = tracker.takeDeletions(max, (key) => next.deleteRevision(key));
    const keys = tracker.takeKeys(max, (bucket, key) => {
      const value = reader.get(bucket, key);
      if (value === undefined) next.delete(bucket, key);
      else next.put(bucket, key, value);
      this.#pendingBytes += key.length + (value?.length ?? 0) + RECORD_OVERHEAD_BYTES;
    });
    this.#pendingBytes += deletions * RECORD_OVERHEAD_BYTES;
    return revisions + deletions + keys;
  }

  #copyRevisions(max: number): number {
    const { next, reader } = this.#options;
    let count = 0;
    reader.scanRevisions(
      this.#main,
      (main, sub, tombstone, bytes, length) => {
        const keyLength = writeRevisionKey(this.#key, 0, main, sub, tombstone);
        next.putRevision(this.#key.subarray(0, keyLength), bytes.subarray(0, length));
        this.#pendingBytes += keyLength + length + RECORD_OVERHEAD_BYTES;
        this.#main = main;
        this.#sub = sub + 1;
        return ++count < max;
      },
      this.#sub,
    );
    return count;
  }

  #commitCopy(index: number, term: number): void {
    this.#options.next.commit(index, term);
    this.#pendingBytes = 0;
  }
}
