/**
 * HashKV: the checksum of the key-value history by which members compare themselves, equal to etcd's bit for bit. CRC-32C
 * over the name of bucket `key` and its records in order: raw bucket key, then the stored KeyValue.
 *
 * Members compact at their own pace, so records that a compaction to C deletes must not count whether they are still
 * there or not: of what is at or below C, only the revisions that C keeps are hashed, and a tombstone at C never is.
 */
import { crc32c } from "../base/crc32c.ts";
import type { BackendReader } from "../mvcc/backend.ts";
import { TOMBSTONE_KEY_BYTES, writeRevisionKey } from "./revision-key.ts";

export interface HashKvOptions {
  /** Newest main revision that counts. */
  readonly revision: number;
  /** The compacted revision C; -1 if never compacted. */
  readonly compactRevision: number;
  /** Whether (main, sub), at or below C, counts: see KeepSet in `src/mvcc/hash-kv.ts`. Asked in ascending order. */
  readonly keeps: (main: number, sub: number) => boolean;
}

const BUCKET_NAME = Uint8Array.from([0x6b, 0x65, 0x79]);

/** One computation, done in slices so that other work can go between. */
export class HashKv {
  /** The hash so far; the result once {@link step} has returned true. */
  hash = crc32c(0, BUCKET_NAME, 0, BUCKET_NAME.length);
  readonly #reader: Pick<BackendReader, "scanRevisions">;
  readonly #options: HashKvOptions;
  readonly #key = new Uint8Array(TOMBSTONE_KEY_BYTES);
  #main = 0;
  #sub = 0;
  #left = 0;
  #done = false;

  /** @param reader must keep one snapshot until the end: do not `refresh` it between steps */
  constructor(reader: Pick<BackendReader, "scanRevisions">, options: HashKvOptions) {
    this.#reader = reader;
    this.#options = options;
  }

  /** Hashes up to `recordsMax` records; true when all are done. */
  step(recordsMax: number): boolean {
    if (this.#done) return true;
    this.#left = recordsMax;
    this.#done = true;
    this.#reader.scanRevisions(this.#main, this.#visit, this.#sub);
    return this.#done;
  }

  readonly #visit = (
    main: number,
    sub: number,
    tombstone: boolean,
    bytes: Uint8Array,
    length: number,
  ): boolean => {
    if (main > this.#options.revision) return false;
    if (this.#left-- === 0) {
      this.#done = false;
      this.#main = main;
      this.#sub = sub;
      return false;
    }
    if (!this.#counts(main, sub, tombstone)) return true;
    const keyLength = writeRevisionKey(this.#key, 0, main, sub, tombstone);
    this.hash = crc32c(crc32c(this.hash, this.#key, 0, keyLength), bytes, 0, length);
    return true;
  };

  #counts(main: number, sub: number, tombstone: boolean): boolean {
    const { compactRevision, keeps } = this.#options;
    if (main > compactRevision) return true;
    if (main === compactRevision && tombstone) return false;
    return keeps(main, sub);
  }
}
