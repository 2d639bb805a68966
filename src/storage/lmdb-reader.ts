/** The read side of the LMDB backend: committed data only, one snapshot between two calls of `refresh`. */
import type { BackendReader, BucketName, RevisionVisitor } from "./backend.ts";
import { describeError } from "./io-error.ts";
import {
  type LmdbEnvironment,
  type LmdbReadOptions,
  type LmdbReadTransaction,
  native,
  openEnvironment,
} from "./lmdb-environment.ts";
import { REVISION_KEY_BYTES, TOMBSTONE_KEY_BYTES, writeRevisionKey } from "./revision-key.ts";

/**
 * Opens a reader on the file that this process's writer has open, from any thread. Open it after the writer: the buckets
 * are created there, and the checks of the file are made there.
 * @throws with the path and the cause
 */
export function openLmdbReader(path: string): BackendReader {
  return new LmdbReader(openEnvironment(path, { readOnly: true }));
}

class LmdbReader implements BackendReader {
  readonly #environment: LmdbEnvironment;
  /**
   * A read transaction of our own. The one that lmdb-js shares between reads is renewed by a timer, which never fires in a
   * thread that sleeps in Atomics.wait: such a thread would see an old snapshot, and leave a timer behind, for ever.
   */
  readonly #transaction: LmdbReadTransaction;
  readonly #options: LmdbReadOptions;
  readonly #putKey = new Uint8Array(REVISION_KEY_BYTES);
  readonly #tombstoneKey = new Uint8Array(TOMBSTONE_KEY_BYTES);
  #closed = false;

  constructor(environment: LmdbEnvironment) {
    this.#environment = environment;
    this.#transaction = environment.root.useReadTransaction();
    this.#options = { transaction: this.#transaction };
  }

  getRevision(main: number, sub: number, tombstone: boolean): Uint8Array | undefined {
    const store = this.#environment.buckets.key;
    const key = tombstone ? this.#tombstoneKey : this.#putKey;
    writeRevisionKey(key, 0, main, sub, tombstone);
    const bytes = store.getBinaryFast(key, this.#options);
    if (bytes === undefined) return undefined;
    return new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, store.lastSize);
  }

  scanRevisions(fromMain: number, visit: RevisionVisitor, fromSub = 0): void {
    const { revisions, buckets } = this.#environment;
    const start = new Uint8Array(REVISION_KEY_BYTES);
    writeRevisionKey(start, 0, fromMain, fromSub, false);
    this.#transaction.renew(); // a cursor cannot be opened on a transaction that refresh has reset
    const records = buckets.key.getRange({ start, transaction: this.#transaction }).iterate();
    revisions.visit = visit;
    revisions.proceed = true;
    try {
      while (revisions.proceed && records.next().done !== true);
    } finally {
      records.return?.();
    }
  }

  get(bucket: BucketName, key: Uint8Array): Uint8Array | undefined {
    return this.#environment.buckets[bucket].getBinary(key, this.#options);
  }

  entries(bucket: BucketName): Array<{ key: Uint8Array; value: Uint8Array }> {
    if (bucket === "key") return this.#revisionEntries();
    this.#transaction.renew();
    const range = this.#environment.buckets[bucket].getRange({
      start: new Uint8Array([0]),
      transaction: this.#transaction,
    });
    const result: Array<{ key: Uint8Array; value: Uint8Array }> = [];
    for (let records = range.iterate(), next = records.next(); next.done !== true; next = records.next()) {
      result.push({ key: next.value.key, value: next.value.value });
    }
    return result;
  }

  #revisionEntries(): Array<{ key: Uint8Array; value: Uint8Array }> {
    const result: Array<{ key: Uint8Array; value: Uint8Array }> = [];
    this.scanRevisions(0, (main, sub, tombstone, bytes, length) => {
      const key = new Uint8Array(tombstone ? TOMBSTONE_KEY_BYTES : REVISION_KEY_BYTES);
      writeRevisionKey(key, 0, main, sub, tombstone);
      result.push({ key, value: Uint8Array.prototype.slice.call(bytes, 0, length) });
      return true;
    });
    return result;
  }

  refresh(): void {
    native.resetTxn(this.#transaction.address);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#transaction.done();
    this.#environment.root.close().catch((error: unknown) => {
      throw describeError(this.#environment.path, "cannot close the database file", error);
    });
  }
}
