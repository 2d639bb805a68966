/**
 * What the rest of the member sees of the storage engine, written once for LMDB (`src/storage/lmdb-backend.ts`) and for memory
 * (`src/storage/memory-backend.ts`). The storage thread owns the writer; the apply and watch threads hold readers.
 */

/** Buckets, under etcd's names; the position in this list is the number in ring records. */
export const BUCKETS = [
  "key",
  "lease",
  "auth",
  "authUsers",
  "authRoles",
  "members",
  "members_removed",
  "cluster",
  "alarm",
  "meta",
] as const;
export type BucketName = (typeof BUCKETS)[number];

/**
 * Takes one record of bucket `key`; returns false to end the scan after it. The KeyValue is `bytes[0, length)`, borrowed
 * until the call returns; `bytes` may be longer.
 */
export type RevisionVisitor = (
  main: number,
  sub: number,
  tombstone: boolean,
  bytes: Uint8Array,
  length: number,
) => boolean;

/** Takes one record of a bucket; both are borrowed until the call returns. */
export type RecordVisitor = (key: Uint8Array, value: Uint8Array) => void;

/** Read side: sees only what was committed. */
export interface BackendReader {
  /**
   * The stored KeyValue bytes of one revision, or undefined. `tombstone` picks the 18-byte key.
   * The bytes are borrowed until the next call on this reader.
   */
  getRevision(main: number, sub: number, tombstone: boolean): Uint8Array | undefined;
  /**
   * Records of bucket `key` from (`fromMain`, `fromSub`) on, ascending, until `visit` returns false or none is left.
   * To scan in slices, stop after a record and start the next scan at (main, sub + 1). The visitor must not use this reader.
   */
  scanRevisions(fromMain: number, visit: RevisionVisitor, fromSub?: number): void;
  /** Value of any bucket; copied. */
  get(bucket: BucketName, key: Uint8Array): Uint8Array | undefined;
  /** Hands all pairs of a bucket to `visit`, ascending. The visitor must not use this reader. */
  scan(bucket: BucketName, visit: RecordVisitor): void;
  /** All pairs of a bucket, ascending; copied. */
  entries(bucket: BucketName): Array<{ key: Uint8Array; value: Uint8Array }>;
  /** Lets the reader see newer commits. A thread that blocks in Atomics.wait must call it once a batch (LMDB pins pages otherwise). */
  refresh(): void;
  close(): void;
}

/** Write side: everything between two commits is one transaction. */
export interface BackendWriter {
  /** Key of bucket `key` (17 or 18 bytes) and value, borrowed. Keys ascend except after a restart's replay. */
  putRevision(key: Uint8Array, value: Uint8Array): void;
  deleteRevision(key: Uint8Array): void;
  put(bucket: BucketName, key: Uint8Array, value: Uint8Array): void;
  delete(bucket: BucketName, key: Uint8Array): void;
  /** Writes consistent_index and term into `meta` and commits everything since the last commit, durably. Throws on I/O errors. */
  commit(consistentIndex: number, term: number): void;
  /** Bytes of the file, and bytes of it that hold data. */
  size(): { allocatedBytes: number; inUseBytes: number };
  reader(): BackendReader;
  close(): void;
}
