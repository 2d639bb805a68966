/**
 * The read side of the backend on LMDB: committed data only, one snapshot between two calls of `refresh`. LMDB says which
 * snapshot and keeps it in place (`lmdb-reader.ts`); its pages are read from the file by this folder's own code, because
 * LMDB reads through a memory map, and a map that was read in full counts as memory of the process in full.
 *
 * Why the pages hold still: LMDB writes new copies of pages and never changes old ones, and gives a page that a commit freed
 * to another use only when no reader is pinned at an older commit. While a snapshot is pinned, every page of it stays as it is.
 * Nothing is pinned from `refresh` to the next read, so a thread that sleeps in between keeps no page from being reused.
 * What is kept over such a gap is kept by the rules in `branch-cache.ts` and `leaf-window.ts`.
 *
 * Read next: `tree-cursor.ts` (lookups and walks), `page-layout.ts` (the bytes), `tree-page-check.ts` (damage).
 */
import type { BackendReader, BucketName, RecordVisitor, RevisionVisitor } from "../mvcc/backend.ts";
import { SearchKey } from "./key-search.ts";
import type { PageFile } from "./page-file.ts";
import { treeDepth, treeRoot } from "./page-layout.ts";
import {
  readRevisionMain,
  readRevisionSub,
  REVISION_KEY_BYTES,
  TOMBSTONE_KEY_BYTES,
  writeRevisionKey,
} from "./revision-key.ts";
import { TreeCursor } from "./tree-cursor.ts";

/** Keeps one snapshot of the file in place, and knows where its trees begin. */
export interface SnapshotPin {
  /** Low 32 bits of the number of the commit that wrote the page on which the tree described last lies. */
  readonly stamp: number;
  /**
   * The description of a bucket's tree (`MDB_db`, see `page-layout.ts`) in the snapshot that is pinned. Pins the newest one
   * first if none is. Borrowed until the next call.
   * @throws with the path when there is no such bucket
   */
  describe(bucket: BucketName): Uint8Array;
  /** Gives the snapshot back. */
  release(): void;
  close(): void;
}

export class PageReader implements BackendReader {
  readonly #file: PageFile;
  readonly #pin: SnapshotPin;
  readonly #cursor: TreeCursor;
  /** The bucket that the cursor is open on; undefined as long as nothing is pinned. */
  #bucket: BucketName | undefined;
  readonly #putKey = new SearchKey(new Uint8Array(REVISION_KEY_BYTES));
  readonly #tombstoneKey = new SearchKey(new Uint8Array(TOMBSTONE_KEY_BYTES));
  #closed = false;

  /** Owns both from now on. */
  constructor(file: PageFile, pin: SnapshotPin) {
    this.#file = file;
    this.#pin = pin;
    this.#cursor = new TreeCursor(file);
  }

  getRevision(main: number, sub: number, tombstone: boolean): Uint8Array | undefined {
    if (this.#bucket !== "key") this.#open("key");
    const key = tombstone ? this.#tombstoneKey : this.#putKey;
    writeRevisionKey(key.bytes, 0, main, sub, tombstone);
    key.changed();
    return this.#cursor.find(key) ? this.#cursor.value() : undefined;
  }

  scanRevisions(fromMain: number, visit: RevisionVisitor, fromSub = 0): void {
    this.#open("key");
    const cursor = this.#cursor;
    writeRevisionKey(this.#putKey.bytes, 0, fromMain, fromSub, false);
    this.#putKey.changed();
    let lastMain = -1;
    let lastSub = -1;
    for (let more = cursor.seek(this.#putKey); more; more = cursor.next()) {
      const { bytes, keyAt, keyLength } = cursor;
      const main = readRevisionMain(bytes, keyAt);
      const sub = readRevisionSub(bytes, keyAt);
      const isTombstone = keyLength === TOMBSTONE_KEY_BYTES;
      if (!isTombstone && keyLength !== REVISION_KEY_BYTES)
        throw cursor.damaged(`has a revision key of ${keyLength} bytes`);
      if (main < lastMain || (main === lastMain && sub < lastSub)) {
        throw cursor.damaged(`has revision ${main}/${sub} behind ${lastMain}/${lastSub}`);
      }
      lastMain = main;
      lastSub = sub;
      const value = cursor.value();
      if (!visit(main, sub, isTombstone, value, value.length)) return;
    }
  }

  get(bucket: BucketName, key: Uint8Array): Uint8Array | undefined {
    this.#open(bucket);
    return this.#cursor.find(new SearchKey(key)) ? this.#cursor.value().slice() : undefined;
  }

  scan(bucket: BucketName, visit: RecordVisitor): void {
    this.#open(bucket);
    const cursor = this.#cursor;
    for (let more = cursor.seek(new SearchKey(new Uint8Array(0))); more; more = cursor.next()) {
      visit(cursor.bytes.subarray(cursor.keyAt, cursor.keyAt + cursor.keyLength), cursor.value());
    }
  }

  entries(bucket: BucketName): Array<{ key: Uint8Array; value: Uint8Array }> {
    const result: Array<{ key: Uint8Array; value: Uint8Array }> = [];
    this.scan(bucket, (key, value) => result.push({ key: key.slice(), value: value.slice() }));
    return result;
  }

  refresh(): void {
    if (this.#bucket === undefined) return;
    this.#bucket = undefined;
    this.#pin.release();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#bucket = undefined;
    this.#file.close();
    this.#pin.close();
  }

  /** Pins the newest snapshot unless one is pinned, and opens the cursor on a bucket of it. */
  #open(bucket: BucketName): void {
    if (this.#bucket === bucket) return;
    if (this.#closed) throw new Error(`the reader of database file ${this.#file.path} is closed`);
    const bytes = this.#pin.describe(bucket);
    const description = new DataView(bytes.buffer, bytes.byteOffset);
    this.#cursor.open({ root: treeRoot(description), depth: treeDepth(description), stamp: this.#pin.stamp });
    this.#bucket = bucket;
  }
}
