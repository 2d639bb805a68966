/**
 * Opens LMDB the way both sides of the backend need it: binary keys and values, one database an etcd bucket, and no more
 * of lmdb-js than its bindings (no msgpack, no cache, no batching of its own).
 *
 * Every open of the same file in one process shares one environment underneath, whatever thread it happens in, and the
 * memory map with it. The file is created by the writer; readers are opened after it.
 */
import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";

import type * as Lmdb from "lmdb";

import { BUCKETS, type BucketName } from "../mvcc/backend.ts";
import { describeError } from "./io-error.ts";

/**
 * Address space reserved for the map, not memory and not disk: etcd reserves 10 GiB, we reserve more than any supported
 * quota, so that a map is never replaced under a reader. Beyond it LMDB grows the map by itself.
 */
const MAP_BYTES = 64 * 1024 * 1024 * 1024;
/** Two read transactions a reader (its own, and lmdb-js's while opening), for every thread and the pool. */
const READERS_MAX = 126;
const DATABASES_MAX = 16;
const FILE_MODE = 0o600;

/** The parts of a database of lmdb-js that are used here, some of which its own types leave out. */
export interface LmdbStore {
  getBinary(key: Uint8Array, options?: LmdbReadOptions): Uint8Array | undefined;
  /** Returns a long-lived buffer that the next read overwrites; its length is in {@link lastSize}, not in the buffer. */
  getBinaryFast(key: Uint8Array, options?: LmdbReadOptions): Uint8Array | undefined;
  readonly lastSize: number;
  putSync(key: Uint8Array, value: Uint8Array, options?: { append: boolean }): boolean;
  removeSync(key: Uint8Array): boolean;
  transactionSync(callback: () => unknown): unknown;
  useReadTransaction(): LmdbReadTransaction;
  openDB(name: string, options: object): LmdbStore | undefined;
  close(): Promise<void>;
  readonly env: { readonly address: number };
  readonly db: {
    readonly dbi: number;
    stat(): {
      pageSize: number;
      treeBranchPageCount: number;
      treeLeafPageCount: number;
      overflowPages: number;
    };
  };
}

export interface LmdbReadTransaction {
  readonly address: number;
  done(): void;
}

export interface LmdbReadOptions {
  readonly transaction: LmdbReadTransaction;
}

/** The addon's own functions, for what lmdb-js does not offer, or only once an event loop turn, or at twice the cost. */
interface NativeFunctions {
  /** Carries out the write instruction at an address, inside the open write transaction. */
  write(environment: number, instruction: number): void;
  getAddress(buffer: ArrayBuffer): number;
  /** Gives the snapshot of a read transaction back; the next read through it takes the newest. */
  resetTxn(transaction: number): void;
  /** Low 32 bits of the txn in the page on which this thread's last read found its record. */
  getLastTxnId(): number;
}

/** There once a file was opened. */
export let native: NativeFunctions;
let lmdb: typeof Lmdb | undefined;

/**
 * Loaded by the first open: threads of a member in memory do without. As CommonJS, which is one file and not twelve: half the
 * time of the ES modules.
 */
function loadLmdb(): typeof Lmdb {
  if (lmdb !== undefined) return lmdb;
  lmdb = createRequire(import.meta.url)("lmdb") as typeof Lmdb;
  native = (lmdb as unknown as { nativeAddon: NativeFunctions }).nativeAddon;
  return lmdb;
}

/** One open of the environment. */
export interface LmdbEnvironment {
  readonly path: string;
  readonly root: LmdbStore;
  readonly buckets: Record<BucketName, LmdbStore>;
}

/** Opens the file at `path` for writing, creating it and all buckets. @throws with the path and the cause */
export function openEnvironment(path: string, options: { mapBytes?: number }): LmdbEnvironment {
  try {
    assertWritable(path);
    const root = openRoot(path, { readOnly: false, mapBytes: options.mapBytes ?? MAP_BYTES });
    const buckets = {} as Record<BucketName, LmdbStore>;
    for (const name of BUCKETS) buckets[name] = openBucket(root, name, path);
    return { path, root, buckets };
  } catch (error) {
    throw describeError(path, "cannot open the database file", error);
  }
}

/**
 * Opens the file at `path` for reading, and of its trees only the one that describes the others: lmdb-js opening a bucket
 * in a reader would race with the writer's thread. @throws with the path and the cause
 */
export function openMainTree(path: string): LmdbStore {
  try {
    return openRoot(path, { readOnly: true, mapBytes: MAP_BYTES });
  } catch (error) {
    throw describeError(path, "cannot open the database file", error);
  }
}

function openRoot(path: string, options: { readOnly: boolean; mapBytes: number }): LmdbStore {
  return loadLmdb().open(path, {
    noSubdir: true,
    readOnly: options.readOnly,
    mapSize: options.mapBytes,
    maxReaders: READERS_MAX,
    maxDbs: DATABASES_MAX,
    permissionsMode: FILE_MODE,
    // lmdb-js's own way of committing before syncing needs a third meta page and trusts it after a crash; two ordered
    // syncs a commit, ten times a second, cost nothing next to that doubt.
    overlappingSync: false,
    remapChunks: false,
    encoding: "binary",
    keyEncoding: "binary",
  } as Lmdb.RootDatabaseOptions) as unknown as LmdbStore;
}

function openBucket(root: LmdbStore, name: BucketName, path: string): LmdbStore {
  const store = root.openDB(name, { encoding: "binary", keyEncoding: "binary" });
  if (store === undefined) throw new Error(`${path} has no bucket ${name}`);
  return store;
}

/** LMDB's own complaint would not say which file it means, nor leave a read-only directory without traces. */
function assertWritable(path: string): void {
  accessSync(dirname(path), constants.W_OK | constants.X_OK);
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
