/**
 * The MVCC store: what the apply thread knows of keys and revisions. It owns the key index (flat typed arrays), the encoded
 * KeyValues of recent revisions in memory, and the current and the compacted revision. It never does I/O, keeps no clock and
 * checks no request: the caller validates, then calls. A write hands its revisions to the sink in order, inside the call.
 *
 * Parts, in the order to read them: store.ts (the contract), key-table.ts (a record a key), key-hash.ts and key-tree.ts (from
 * key bytes to records), history.ts (older revisions), mvcc-writer.ts, mvcc-state.ts (reading one key as of a revision), key-cursor.ts,
 * value-arena.ts, compactor.ts, restore.ts and checkpoint.ts (starting again), hash-kv.ts.
 */
import { assert } from "../base/assert.ts";
import { copyBytes } from "../base/copy-bytes.ts";
import {
  loadState,
  readHeader,
  serializeState,
  type BackendRevisions,
  type CheckpointRefusal,
} from "./checkpoint.ts";
import { Compactor } from "./compactor.ts";
import { MvccWriter, UNCOMMITTED_BYTES_MAX } from "./mvcc-writer.ts";
import { sortRevisions, type KeepSet } from "./hash-kv.ts";
import { KeyCursor } from "./key-cursor.ts";
import { KEY_MASK, KEY_SHIFT, KEY_WORDS, LEASE_HIGH, LEASE_LOW } from "./key-table.ts";
import { ALL_SUBS, LATEST, MvccState, READ_THROUGH } from "./mvcc-state.ts";
import { compareProbes } from "./probe.ts";
import { Restorer, type RestoredRevisions } from "./restore.ts";
import type { KeyMeta, KeyRange, MvccStore, RangeCursor, RevisionSink, RevisionSource } from "./store.ts";
import { VALUE_CHUNK_BYTES, ValueArena } from "./value-arena.ts";

export interface MvccOptions {
  /** Must see every revision up to the last {@link MvccStore.committed}. */
  readonly source: RevisionSource;
  readonly sink: RevisionSink;
  /** Budget for values in memory; at least two chunks are used. */
  readonly valueBytesMax: number;
  /** Secret of the process, against keys made to collide. */
  readonly hashSeed?: number;
  /** Default {@link UNCOMMITTED_BYTES_MAX}. */
  readonly uncommittedBytesMax?: number;
  /** For tests: size of a value chunk, a power of two. */
  readonly valueChunkBytes?: number;
}

/** A {@link KeyMeta} to be filled. */
export function createKeyMeta(): KeyMeta {
  return {
    keyId: 0,
    createRevision: 0,
    modRevision: 0,
    sub: 0,
    version: 0,
    leaseLow: 0,
    leaseHigh: 0,
    encodedBytes: 0,
    location: -1,
  };
}

export function createMvccStore(options: MvccOptions): Mvcc {
  return new Mvcc(options);
}

export class Mvcc implements MvccStore {
  readonly #options: MvccOptions;
  #state: MvccState;
  #writer: MvccWriter;
  #compactor: Compactor;
  #restorer: Restorer;
  readonly #uncommittedBytesMax: number;

  constructor(options: MvccOptions) {
    this.#options = options;
    this.#state = this.#newState(options.hashSeed ?? 0x9747_b28c);
    this.#writer = new MvccWriter(this.#state);
    this.#compactor = new Compactor(this.#state);
    this.#restorer = new Restorer(this.#state);
    this.#uncommittedBytesMax = options.uncommittedBytesMax ?? UNCOMMITTED_BYTES_MAX;
  }

  get revision(): number {
    return this.#state.revision;
  }

  get compactRevision(): number {
    return this.#state.compactRevision;
  }

  /** Live keys at the current revision. */
  get liveKeys(): number {
    return this.#state.tree.live;
  }

  /** Bytes of values that storage has not committed, in whole chunks. */
  get uncommittedBytes(): number {
    return this.#state.values.uncommittedBytes;
  }

  /** The apply loop must let storage catch up before the next txn. */
  get needsCommit(): boolean {
    return this.#state.values.uncommittedBytes > this.#uncommittedBytesMax;
  }

  beginTxn(): void {
    this.#writer.beginTxn();
  }

  endTxn(): number {
    return this.#writer.endTxn();
  }

  put(
    kb: Uint8Array,
    ks: number,
    ke: number,
    vb: Uint8Array,
    vs: number,
    ve: number,
    leaseLow: number,
    leaseHigh: number,
  ): number {
    return this.#writer.put(kb, ks, ke, vb, vs, ve, leaseLow, leaseHigh);
  }

  deleteRange(range: KeyRange): number {
    return this.#writer.deleteRange(range);
  }

  deleteKeys(keyIds: Uint32Array): void {
    this.#writer.deleteKeys(keyIds);
  }

  /** Hands all live keys that were put with a lease to `visit`, in no order. O(keys), a few nanoseconds each. */
  visitLeased(visit: (keyId: number, leaseLow: number, leaseHigh: number) => void): void {
    const { pool } = this.#state.table;
    for (let id = 1; id < pool.used; id++) {
      const words = pool.words[id >>> KEY_SHIFT];
      const at = (id & KEY_MASK) * KEY_WORDS;
      const low = words[at + LEASE_LOW];
      const high = words[at + LEASE_HIGH];
      // Tombstones and free records have none.
      if ((low | high) !== 0) visit(id, low, high);
    }
  }

  lookup(kb: Uint8Array, ks: number, ke: number, revision: number, meta: KeyMeta): boolean {
    const id = this.#state.find(kb, ks, ke);
    return id !== 0 && this.#state.resolve(id, revision === 0 ? LATEST : revision, ALL_SUBS, meta);
  }

  count(range: KeyRange, revision: number): number {
    const state = this.#state;
    const main = revision === 0 ? LATEST : revision;
    if (range.end === null) {
      const id = state.find(range.key, 0, range.key.length);
      return id !== 0 && state.sizeAt(id, main, ALL_SUBS) > 0 ? 1 : 0;
    }
    if (main < state.newestMain && !state.log.reaches(main)) {
      return this.measure(range, revision, LATEST, { keys: 0, encodedBytes: 0 }).keys;
    }
    const { tree, probe, endProbe } = state;
    const bounded = state.setBounds(range);
    if (bounded && compareProbes(probe, endProbe) >= 0) return 0;
    const now = (bounded ? tree.rank(endProbe) : tree.live) - tree.rank(probe);
    return main >= state.newestMain ? now : now - state.log.growth(main, probe, bounded ? endProbe : null);
  }

  /**
   * Walks a range without reading values: number of live keys at `revision` (0 = current) and the sum of their encodedBytes.
   * Stops at `keysMax` keys. Fills and returns `into`.
   */
  measure<T extends { keys: number; encodedBytes: number }>(
    range: KeyRange,
    revision: number,
    keysMax: number,
    into: T,
  ): T {
    const cursor = this.openCursor(range, revision) as KeyCursor;
    into.keys = 0;
    into.encodedBytes = 0;
    while (into.keys < keysMax) {
      const bytes = cursor.nextSize();
      if (bytes === 0) break;
      into.keys++;
      into.encodedBytes += bytes;
    }
    cursor.close();
    return into;
  }

  /** Inside a write txn a cursor at revision 0 sees what the txn has written so far, and nothing it writes later. */
  openCursor(range: KeyRange, revision: number): RangeCursor {
    const state = this.#state;
    const main = revision === 0 ? state.newestMain : revision;
    assert(
      main >= state.compactRevision,
      "a cursor below the compacted revision",
      main,
      state.compactRevision,
    );
    return new KeyCursor(state, range, main, main === state.txnMain ? state.txnSub : ALL_SUBS);
  }

  keyLength(keyId: number): number {
    return this.#state.table.lengthOf(keyId);
  }

  copyKey(keyId: number, target: Uint8Array, offset: number): number {
    return this.#state.table.copyKey(keyId, target, offset);
  }

  copyKeyValue(meta: KeyMeta, target: Uint8Array, offset: number): number {
    const { values } = this.#state;
    const end = offset + meta.encodedBytes;
    if (values.has(meta.location)) {
      const from = meta.location % values.chunkBytes;
      copyBytes(values.memoryOf(meta.location), from, from + meta.encodedBytes, target, offset);
      return end;
    }
    const bytes = this.#state.readSource(meta);
    copyBytes(bytes, 0, bytes.length, target, offset);
    if (meta.location !== READ_THROUGH) this.#state.promote(meta, target, offset);
    return end;
  }

  compact(revision: number): void {
    const state = this.#state;
    assert(
      revision > state.compactRevision && revision <= state.revision,
      "compact out of range",
      revision,
      state.compactRevision,
      state.revision,
    );
    state.compactRevision = revision;
  }

  compactSlice(keysMax: number): boolean {
    assert(this.#state.txnMain === 0, "compaction inside a write txn");
    return this.#compactor.slice(keysMax);
  }

  /** Compaction has work left that it cannot do before open cursors close. */
  get compactionWaitsForCursors(): boolean {
    return this.#compactor.waitsForPins;
  }

  committed(main: number): void {
    this.#state.values.committed(main);
  }

  /**
   * At start, instead of writes: takes one record of bucket `key`, in ascending order (after a checkpoint: those above its
   * revision). False if the record is malformed or out of order; the store is unusable then.
   */
  restoreRevision(main: number, sub: number, tombstone: boolean, encodedKeyValue: Uint8Array): boolean {
    return this.#restorer.add(main, sub, tombstone, encodedKeyValue);
  }

  /** Ends a restore, before which nothing may be read: sets the revisions, and leaves an unfinished compaction to {@link compactSlice}. */
  finishRestore(revisions: RestoredRevisions): void {
    this.#restorer.finish(revisions);
  }

  /**
   * The index as raw memory, borrowed until the next write. Write it to a file with a checksum, and only when storage has
   * committed {@link revision} and the deletions of compaction so far.
   */
  serialize(): Uint8Array[] {
    assert(this.#state.txnMain === 0, "checkpoint inside a write txn");
    this.#compactor.settle();
    return serializeState(this.#state);
  }

  /** Replaces the content of a new store by a checkpoint; then restore what is newer and call {@link finishRestore}. */
  loadCheckpoint(
    chunks: readonly Uint8Array[],
    backend: BackendRevisions,
  ): { revision: number; refusal?: undefined } | { refusal: CheckpointRefusal } {
    const read = readHeader(chunks, backend);
    if ("refusal" in read) return read;
    const state = this.#newState(read.hashSeed);
    if (!loadState(state, read.header, chunks)) return { refusal: "lengths" };
    this.#state = state;
    this.#writer = new MvccWriter(state);
    this.#compactor = new Compactor(state);
    this.#restorer = new Restorer(state);
    this.#restorer.startAfter(state.revision);
    return { revision: state.revision };
  }

  #newState(hashSeed: number): MvccState {
    const { source, sink, valueBytesMax, valueChunkBytes } = this.#options;
    return new MvccState(
      source,
      sink,
      new ValueArena(valueBytesMax, valueChunkBytes ?? VALUE_CHUNK_BYTES),
      hashSeed,
    );
  }

  /** What HashKV has to know of the index for the hash at `revision` (0 = current). O(keys). */
  hashKeepSet(revision: number): KeepSet {
    const { compactRevision, revision: current } = this.#state;
    const main = revision === 0 ? current : revision;
    const counted =
      compactRevision < 0
        ? null
        : (this.#compactedRevisions(main) ?? this.#compactedRevisions(compactRevision));
    const revisions = counted ?? { mains: new Float64Array(0), subs: new Uint32Array(0) };
    sortRevisions(revisions.mains, revisions.subs);
    return { revision: main, compactRevision, ...revisions };
  }

  /** The newest revisions of keys live at `main`, as far as they are at or below the compacted one; null if no key is live. */
  #compactedRevisions(main: number): { mains: Float64Array; subs: Uint32Array } | null {
    const { table, compactRevision } = this.#state;
    const meta = createKeyMeta();
    let anyLive = false;
    let kept = 0;
    const mains = new Float64Array(table.pool.live);
    const subs = new Uint32Array(mains.length);
    const cursor = this.openCursor({ key: FIRST_KEY, end: NO_END }, main) as KeyCursor;
    while (cursor.nextRevision(meta)) {
      anyLive = true;
      if (meta.modRevision > compactRevision) continue;
      mains[kept] = meta.modRevision;
      subs[kept++] = meta.sub;
    }
    cursor.close();
    return anyLive ? { mains: mains.slice(0, kept), subs: subs.slice(0, kept) } : null;
  }

  /** Figures for metrics and tests. Bytes are what is allocated. */
  stats(): MvccStats {
    const { table, tree, hash, history, values, queue, pins } = this.#state;
    return {
      keys: table.pool.live,
      liveKeys: tree.live,
      olderRevisions: history.pool.live,
      openCursors: pins.length,
      keyRecordBytes: table.pool.allocatedBytes,
      keyArenaBytes: table.arena.allocatedBytes,
      keyArenaFreeBytes: table.arena.freeWords * 4,
      hashBytes: hash.allocatedBytes,
      treeBytes: tree.leaves.allocatedBytes + tree.inners.allocatedBytes,
      historyBytes: history.pool.allocatedBytes,
      queueBytes: queue.allocatedBytes,
      valueBytes: values.allocatedBytes,
    };
  }
}

/** Also before the key that is a zero byte: a restored history may have an empty key (see restore.ts), which no request can name. */
const FIRST_KEY = new Uint8Array(0);
const NO_END = new Uint8Array(1);

export interface MvccStats {
  /** Keys in the index, tombstoned ones included. */
  keys: number;
  liveKeys: number;
  olderRevisions: number;
  openCursors: number;
  keyRecordBytes: number;
  keyArenaBytes: number;
  keyArenaFreeBytes: number;
  hashBytes: number;
  treeBytes: number;
  historyBytes: number;
  queueBytes: number;
  valueBytes: number;
}
