/**
 * Opens the read side on a file that this process's writer has open: LMDB pins the snapshot and says where its trees begin,
 * `page-reader.ts` reads them.
 *
 * That LMDB is asked, and not the meta pages, saves two proofs: that the snapshot found there is one that the pin protects
 * (the newest may be newer than the pin), and that no half of a meta page was being written meanwhile.
 */
import { statSync } from "node:fs";

import { BUCKETS, type BackendReader, type BucketName } from "../mvcc/backend.ts";
import { describeError } from "./io-error.ts";
import {
  type LmdbReadOptions,
  type LmdbReadTransaction,
  type LmdbStore,
  native,
  openMainTree,
} from "./lmdb-environment.ts";
import { PageFile } from "./page-file.ts";
import { TREE_BYTES } from "./page-layout.ts";
import { PageReader, type SnapshotPin } from "./page-reader.ts";

/**
 * Opens a reader on the file that this process's writer has open, from any thread. Open it after the writer: the buckets
 * are created there, and the checks of the file are made there.
 * @throws with the path and the cause
 */
export function openLmdbReader(path: string): BackendReader {
  for (;;) {
    // Another file may take the place of this one meanwhile: then the snapshot would be of one, and the pages of the other.
    const before = statSync(path, BIG_INTEGERS).ino;
    const reader = openOnce(path);
    if (statSync(path, BIG_INTEGERS).ino === before) return reader;
    reader.close();
  }
}

const BIG_INTEGERS = { bigint: true } as const;

function openOnce(path: string): BackendReader {
  const pin = new LmdbPin(path);
  try {
    return new PageReader(new PageFile(path, pin.pageBytes), pin);
  } catch (error) {
    pin.close();
    throw error;
  }
}

class LmdbPin implements SnapshotPin {
  readonly pageBytes: number;
  stamp = 0;
  readonly #path: string;
  /** The tree whose records describe the buckets' trees. LMDB reads it through its map: one page a snapshot. */
  readonly #main: LmdbStore;
  /**
   * A read transaction of our own. The one that lmdb-js shares between reads is renewed by a timer, which never fires in a
   * thread that sleeps in Atomics.wait: such a thread would see an old snapshot, and leave a timer behind, for ever.
   */
  readonly #transaction: LmdbReadTransaction;
  readonly #options: LmdbReadOptions;
  /** The buckets' names as LMDB files them: with a zero byte at the end. */
  readonly #names = new Map(BUCKETS.map((name) => [name, Buffer.from(`${name}\0`)]));

  constructor(path: string) {
    this.#path = path;
    this.#main = openMainTree(path);
    this.#transaction = this.#main.useReadTransaction();
    this.#options = { transaction: this.#transaction };
    this.pageBytes = this.#main.db.stat().pageSize;
    this.release();
  }

  describe(bucket: BucketName): Uint8Array {
    // Reading renews a transaction that was reset, and that is what pins the newest snapshot.
    const description = this.#main.getBinaryFast(this.#names.get(bucket) as Uint8Array, this.#options);
    if (description === undefined || this.#main.lastSize !== TREE_BYTES) {
      throw new Error(`database file ${this.#path} has no bucket ${bucket}`);
    }
    this.stamp = native.getLastTxnId();
    return description;
  }

  release(): void {
    native.resetTxn(this.#transaction.address);
  }

  close(): void {
    this.#transaction.done();
    this.#main.close().catch((error: unknown) => {
      throw describeError(this.#path, "cannot close the database file", error);
    });
  }
}
