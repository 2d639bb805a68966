/**
 * A reader of the member's database that follows when another file takes its place (a defragmentation, an installed snapshot):
 * storage moves a generation that all threads share, before it acknowledges the first commit that is in the new file alone, and
 * each reader opens the new one when it is next told to look at what is committed.
 */
import type { BackendReader, BucketName, RecordVisitor, RevisionVisitor } from "../mvcc/backend.ts";
import { openLmdbReader } from "./lmdb-reader.ts";

/**
 * Opens a reader on the file at `path`, whichever it is. As {@link openLmdbReader}, but for `refresh`, which may open another file.
 * @throws with the path and the cause
 */
export function openFollowingReader(path: string, generation: SharedArrayBuffer): BackendReader {
  return new FollowingReader(path, new Int32Array(generation));
}

class FollowingReader implements BackendReader {
  readonly #path: string;
  readonly #generation: Int32Array;
  #opened: number;
  #reader: BackendReader;

  constructor(path: string, generation: Int32Array) {
    this.#path = path;
    this.#generation = generation;
    this.#opened = Atomics.load(generation, 0);
    this.#reader = openLmdbReader(path);
  }

  getRevision(main: number, sub: number, tombstone: boolean): Uint8Array | undefined {
    return this.#reader.getRevision(main, sub, tombstone);
  }

  scanRevisions(fromMain: number, visit: RevisionVisitor, fromSub?: number): void {
    this.#reader.scanRevisions(fromMain, visit, fromSub);
  }

  get(bucket: BucketName, key: Uint8Array): Uint8Array | undefined {
    return this.#reader.get(bucket, key);
  }

  scan(bucket: BucketName, visit: RecordVisitor): void {
    this.#reader.scan(bucket, visit);
  }

  entries(bucket: BucketName): Array<{ key: Uint8Array; value: Uint8Array }> {
    return this.#reader.entries(bucket);
  }

  refresh(): void {
    const current = Atomics.load(this.#generation, 0);
    if (current === this.#opened) return this.#reader.refresh();
    const next = openLmdbReader(this.#path);
    this.#reader.close();
    this.#reader = next;
    // Read before the file was opened: should it have changed again since, the next look finds that.
    this.#opened = current;
  }

  close(): void {
    this.#reader.close();
  }
}
