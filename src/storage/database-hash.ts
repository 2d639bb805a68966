/**
 * Maintenance.Hash: the checksum of a whole database, as etcd computes it: CRC-32C over each bucket's name and its records, buckets
 * by name. What differs from member to member is left out: consistent index, term, storage version, and what is ours alone.
 */
import { crc32c } from "../base/crc32c.ts";
import { BUCKETS, type BackendReader } from "../mvcc/backend.ts";
import { META_CONSISTENT_INDEX, META_DATABASE_ID, META_STORAGE_VERSION, META_TERM } from "./meta-keys.ts";
import { TOMBSTONE_KEY_BYTES, writeRevisionKey } from "./revision-key.ts";

const BY_NAME = [...BUCKETS].sort();
const LEFT_OUT = [META_CONSISTENT_INDEX, META_DATABASE_ID, META_STORAGE_VERSION, META_TERM];

/** One computation. Bucket `key` is done in slices; the others are small beside it, and each is done as a whole. */
export class DatabaseHash {
  /** The hash so far; the result once {@link step} has returned true. */
  hash = 0;
  readonly #reader: BackendReader;
  readonly #key = new Uint8Array(TOMBSTONE_KEY_BYTES);
  /** Position in {@link BY_NAME}. */
  #bucket = 0;
  /** Where bucket `key` goes on; 0 = it has not begun. */
  #main = 0;
  #sub = 0;
  #left = 0;

  /** @param reader must keep one snapshot until the end */
  constructor(reader: BackendReader) {
    this.#reader = reader;
  }

  /** Hashes the next bucket, or the next `recordsMax` records of bucket `key`; true when all are done. */
  step(recordsMax: number): boolean {
    const bucket = BY_NAME[this.#bucket];
    if (bucket === "key") {
      if (!this.#stepKey(recordsMax)) return false;
    } else {
      this.#add(Buffer.from(bucket));
      this.#reader.scan(bucket, (key, value) => {
        if (bucket === "meta" && LEFT_OUT.some((name) => Buffer.compare(name, key) === 0)) return;
        this.#add(key);
        this.#add(value);
      });
    }
    return ++this.#bucket === BY_NAME.length;
  }

  #stepKey(recordsMax: number): boolean {
    if (this.#main === 0) this.#add(Buffer.from("key"));
    this.#left = recordsMax;
    let done = true;
    this.#reader.scanRevisions(
      this.#main,
      (main, sub, tombstone, bytes, length) => {
        this.#main = main;
        this.#sub = sub;
        if (this.#left-- === 0) return (done = false);
        const keyLength = writeRevisionKey(this.#key, 0, main, sub, tombstone);
        this.hash = crc32c(crc32c(this.hash, this.#key, 0, keyLength), bytes, 0, length);
        return true;
      },
      this.#sub,
    );
    return done;
  }

  #add(bytes: Uint8Array): void {
    this.hash = crc32c(this.hash, bytes, 0, bytes.length);
  }
}
