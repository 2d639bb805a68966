/**
 * MVCC as the apply thread uses it: the key index, the values of recent revisions in memory, and the current and the
 * compacted revision. Pure: what must be kept is handed to a {@link RevisionSink}, what is no longer in memory is read
 * through a {@link RevisionSource}.
 */

/** Takes what a write produced, in order; on a ring to the storage thread, or straight into a backend. */
export interface RevisionSink {
  /** The encoded mvccpb.KeyValue in `bytes[start, end)`, borrowed. */
  putRevision(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void;
  /** The encoded KeyValue of a tombstone holds field 1 only. */
  putTombstone(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void;
  /** Compaction removes this revision. Removals must become durable in this order: a tombstone comes after what it deleted. */
  deleteRevision(main: number, sub: number, tombstone: boolean): void;
}

/** Reads revisions that have left memory. */
export interface RevisionSource {
  /** Encoded KeyValue, borrowed until the next call, or undefined. Must see everything up to the last {@link MvccStore.committed}. */
  getRevision(main: number, sub: number, tombstone: boolean): Uint8Array | undefined;
}

/** [key, end) as in etcd: `end` null = the single key; `end` = one zero byte = everything from key on. */
export interface KeyRange {
  readonly key: Uint8Array;
  readonly end: Uint8Array | null;
}

/** What the index knows about one live key at some revision; one object is filled again and again. */
export interface KeyMeta {
  /** Number of the key in the index; stable until the key is compacted away. */
  keyId: number;
  createRevision: number;
  modRevision: number;
  /** Sub revision of the last change. */
  sub: number;
  version: number;
  /** int64 lease id as two halves; both 0 = none. */
  leaseLow: number;
  leaseHigh: number;
  /** Length in bytes of the encoded mvccpb.KeyValue. */
  encodedBytes: number;
  /** Where the encoded KeyValue lies in memory; meaning private to the store. */
  location: number;
}

/** A walk over the live keys of a range at one pinned revision, in key order; survives writes between two calls of next. */
export interface RangeCursor {
  /** Fills `meta` with the next live key; false at the end. */
  next(meta: KeyMeta): boolean;
  /** Unpins the revision. Must be called. */
  close(): void;
}

/** The store. Revisions are numbers <= 2^53 - 1. Inside a write txn reads at the current revision see the txn's own changes. */
export interface MvccStore {
  /** Current revision: 1 when empty. */
  readonly revision: number;
  /** Compacted revision, -1 if never. */
  readonly compactRevision: number;

  /** Opens a write txn at main = revision + 1, sub 0. */
  beginTxn(): void;
  /**
   * Puts key `kb[ks, ke)` with value `vb[vs, ve)`; builds the encoded KeyValue once and hands it to the sink. All bytes are
   * borrowed. What was there before is asked with {@link lookup}, before. Returns the key's id, above 0.
   */
  put(
    kb: Uint8Array,
    ks: number,
    ke: number,
    vb: Uint8Array,
    vs: number,
    ve: number,
    leaseLow: number,
    leaseHigh: number,
  ): number;
  /** Tombstones all live keys of the range in key order; returns how many. */
  deleteRange(range: KeyRange): number;
  /** Tombstones these live keys, each named once, in key order. Sorts `keyIds`. */
  deleteKeys(keyIds: Uint32Array): void;
  /** Closes the txn; `revision` grew by one if anything was written. Returns the current revision. */
  endTxn(): number;

  /** Finds a live key at `revision` (0 = current, in a write txn the txn's own state) and fills `meta`. */
  lookup(kb: Uint8Array, ks: number, ke: number, revision: number, meta: KeyMeta): boolean;
  /** Number of live keys of a range at `revision` (0 = current): O(log n) at the current one, plus O(changes since) at an older one. */
  count(range: KeyRange, revision: number): number;
  /** Opens a cursor; pins the revision against physical compaction. */
  openCursor(range: KeyRange, revision: number): RangeCursor;

  /** Length of the key in bytes. */
  keyLength(keyId: number): number;
  /** The key's bytes: returns its length after copying it to `target` at `offset`. */
  copyKey(keyId: number, target: Uint8Array, offset: number): number;
  /** Copies the encoded KeyValue (`meta.encodedBytes` long) from memory or the source to `target` at `offset`; returns the offset behind it. */
  copyKeyValue(meta: KeyMeta, target: Uint8Array, offset: number): number;

  /** Sets the compacted revision (reads below fail from now on). Physical work is left to {@link compactSlice}. */
  compact(revision: number): void;
  /** Does up to about `keysMax` keys' worth of compaction of index and backend (through the sink). Returns true when nothing is left to do. */
  compactSlice(keysMax: number): boolean;
  /** Compaction has work left that it cannot do before open cursors close: calling {@link compactSlice} now would do nothing. */
  readonly compactionWaitsForCursors: boolean;

  /** Storage holds everything up to revision `main`: memory of older values may be reused. */
  committed(main: number): void;
}
