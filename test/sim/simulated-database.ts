/**
 * A member's database: the product's backend in memory beneath the real storage loop, which forgets what was not committed when
 * the process dies, and can be copied as a whole, as a snapshot is.
 */

import { type BackendReader, type BackendWriter, BUCKETS, type BucketName } from "../../src/mvcc/backend.ts";
import { META_CONSISTENT_INDEX } from "../../src/storage/meta-keys.ts";
import { openMemoryBackend } from "../../src/storage/memory-backend.ts";
import { type RecoveredState, recover } from "../../src/storage/recover.ts";

/** All that a database holds, copied: what a snapshot file holds. */
export interface DatabaseImage {
  readonly consistentIndex: number;
  readonly term: number;
  readonly confState: Uint8Array | undefined;
  readonly buckets: ReadonlyMap<BucketName, ReadonlyArray<{ key: Uint8Array; value: Uint8Array }>>;
}

export class SimulatedDatabase {
  #backend: BackendWriter = openMemoryBackend();

  /** A writer for one life of the process. What it has not committed is gone with it. */
  open(): BackendWriter {
    return new UncommittedWriter(() => this.#backend);
  }

  /** Sees what is committed now; after {@link replace} it must be opened anew. */
  reader(): BackendReader {
    return this.#backend.reader();
  }

  recovered(): RecoveredState {
    return recover(this.#backend.reader());
  }

  image(): DatabaseImage {
    const reader = this.#backend.reader();
    const { consistentIndex, term, confState } = recover(reader);
    const buckets = new Map(BUCKETS.map((name) => [name, reader.entries(name)]));
    return { consistentIndex, term, confState, buckets };
  }

  /** Installs an image, all at once. */
  replace(image: DatabaseImage): void {
    const backend = openMemoryBackend();
    for (const [name, pairs] of image.buckets) {
      for (const { key, value } of pairs) {
        if (name === "key") backend.putRevision(key, value);
        else if (key !== META_CONSISTENT_INDEX) backend.put(name, key, value);
      }
    }
    backend.commit(image.consistentIndex, image.term);
    this.#backend = backend;
  }
}

/** Keeps changes to itself until they are committed. */
class UncommittedWriter implements BackendWriter {
  readonly #backend: () => BackendWriter;
  #changes: Array<(backend: BackendWriter) => void> = [];

  constructor(backend: () => BackendWriter) {
    this.#backend = backend;
  }

  putRevision(key: Uint8Array, value: Uint8Array): void {
    const [k, v] = [key.slice(), value.slice()];
    this.#changes.push((backend) => backend.putRevision(k, v));
  }

  deleteRevision(key: Uint8Array): void {
    const k = key.slice();
    this.#changes.push((backend) => backend.deleteRevision(k));
  }

  put(bucket: BucketName, key: Uint8Array, value: Uint8Array): void {
    const [k, v] = [key.slice(), value.slice()];
    this.#changes.push((backend) => backend.put(bucket, k, v));
  }

  delete(bucket: BucketName, key: Uint8Array): void {
    const k = key.slice();
    this.#changes.push((backend) => backend.delete(bucket, k));
  }

  commit(consistentIndex: number, term: number): void {
    const backend = this.#backend();
    for (const change of this.#changes) change(backend);
    this.#changes = [];
    backend.commit(consistentIndex, term);
  }

  size(): { allocatedBytes: number; inUseBytes: number } {
    return this.#backend().size();
  }

  reader(): BackendReader {
    return this.#backend().reader();
  }

  close(): void {}
}
