/**
 * What has changed in a database since a copy of it was begun, so that the copy can be brought up to date: revisions that were
 * deleted, and keys of the other buckets. New revisions need no notes, they stand at the end of bucket `key`.
 *
 * Changes can be read from the database only once they are committed, so there are two of everything: what belongs to the
 * transaction that is open, and what is committed and waits to be taken over.
 */
import { assert } from "../base/assert.ts";
import { BUCKETS, type BucketName } from "../mvcc/backend.ts";
import { REVISION_KEY_BYTES, TOMBSTONE_KEY_BYTES } from "./revision-key.ts";

/** Notes kept at most: about 200 MB. A copy that is overtaken by more changes than that is given up. */
const NOTES_MAX = 8_000_000;
/** A length byte, and the longer of the two kinds of revision keys. */
const DELETION_BYTES = 1 + TOMBSTONE_KEY_BYTES;
const DELETIONS_FIRST = 1024;

/** Keys of one bucket as Latin-1 text. */
type DirtyKeys = Map<BucketName, Set<string>>;

export class ChangeTracker {
  /** Deleted revisions, one row each, in the order in which they were deleted. */
  #deletions = new Uint8Array(DELETIONS_FIRST * DELETION_BYTES);
  #deleted = 0;
  /** Rows that are committed, and rows that have been taken over. */
  #committedDeletions = 0;
  #takenDeletions = 0;
  #open: DirtyKeys = new Map();
  readonly #committed: DirtyKeys = new Map();
  #notes = 0;

  /** There were more changes than can be noted: the copy cannot be brought up to date any more. */
  get overflowed(): boolean {
    return this.#notes > NOTES_MAX;
  }

  /** Committed changes that have not been taken over. */
  get pending(): number {
    let keys = 0;
    for (const set of this.#committed.values()) keys += set.size;
    return this.#committedDeletions - this.#takenDeletions + keys;
  }

  /** A revision was deleted; `key` is its key in bucket `key`, borrowed. */
  noteDeletion(key: Uint8Array): void {
    assert(
      key.length === REVISION_KEY_BYTES || key.length === TOMBSTONE_KEY_BYTES,
      "length of a revision key",
      key.length,
    );
    if (++this.#notes > NOTES_MAX) return;
    const at = this.#deleted * DELETION_BYTES;
    if (at + DELETION_BYTES > this.#deletions.length) {
      const grown = new Uint8Array(this.#deletions.length * 2);
      grown.set(this.#deletions);
      this.#deletions = grown;
    }
    this.#deletions[at] = key.length;
    this.#deletions.set(key, at + 1);
    this.#deleted++;
  }

  /** A key of another bucket was put or deleted. */
  noteKey(bucket: BucketName, key: Uint8Array): void {
    let keys = this.#open.get(bucket);
    if (keys === undefined) this.#open.set(bucket, (keys = new Set()));
    const before = keys.size;
    keys.add(Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1"));
    this.#notes += keys.size - before;
  }

  /** Everything noted so far is committed. */
  noteCommit(): void {
    this.#committedDeletions = this.#deleted;
    for (const [bucket, keys] of this.#open) {
      const committed = this.#committed.get(bucket);
      if (committed === undefined) this.#committed.set(bucket, keys);
      else for (const key of keys) committed.add(key);
    }
    this.#open = new Map();
  }

  /** Hands over up to `max` committed deletions, oldest first; the key is borrowed. Returns how many. */
  takeDeletions(max: number, visit: (key: Uint8Array) => void): number {
    const end = Math.min(this.#takenDeletions + max, this.#committedDeletions);
    const count = end - this.#takenDeletions;
    for (; this.#takenDeletions < end; this.#takenDeletions++) {
      const at = this.#takenDeletions * DELETION_BYTES;
      visit(this.#deletions.subarray(at + 1, at + 1 + this.#deletions[at]));
    }
    return count;
  }

  /** Hands over up to `max` committed keys of the other buckets. Returns how many. */
  takeKeys(max: number, visit: (bucket: BucketName, key: Uint8Array) => void): number {
    let count = 0;
    for (const bucket of BUCKETS) {
      const keys = this.#committed.get(bucket);
      if (keys === undefined) continue;
      for (const key of keys) {
        if (count === max) return count;
        keys.delete(key);
        visit(bucket, Buffer.from(key, "latin1"));
        count++;
      }
    }
    return count;
  }
}
