/**
 * The parts of the store that its operations share, and how one key is read as of a revision.
 *
 * A point of view is a pair (main, subEnd): everything below `main`, and of `main` itself the changes with sub < subEnd. So
 * that a cursor opened inside a write txn does not see what the txn writes after it.
 */
import { assert } from "../base/assert.ts";
import { copyBytes } from "../base/copy-bytes.ts";
import { ChangeLog } from "./change-log.ts";
import { BYTES_MASK, History, LEASED, TOMBSTONE } from "./history.ts";
import { IdQueue } from "./id-queue.ts";
import { KeyHash } from "./key-hash.ts";
import {
  CREATE_REVISION,
  ENCODED_BYTES,
  HISTORY,
  KEY_DOUBLES,
  KEY_LENGTH,
  KEY_MASK,
  KEY_SHIFT,
  KEY_WORDS,
  KeyTable,
  LEASE_HIGH,
  LEASE_LOW,
  LOCATION,
  MOD_REVISION,
  QUEUED,
  SUB,
  VERSION,
} from "./key-table.ts";
import { KeyTree } from "./key-tree.ts";
import { KeyValueReader } from "./key-value.ts";
import { isUnbounded, Probe } from "./probe.ts";
import type { KeyMeta, KeyRange, RevisionSink, RevisionSource } from "./store.ts";
import type { ValueArena } from "./value-arena.ts";

/** Sees every change of its main. */
export const ALL_SUBS = 2 ** 32;
/** Sees everything. */
export const LATEST = Number.MAX_SAFE_INTEGER;
/** Location in a KeyMeta from a long walk: read it from the source, and leave the values in memory alone. */
export const READ_THROUGH = -2;

/** A point of view that physical compaction has to respect. */
export interface Pin {
  readonly main: number;
  readonly subEnd: number;
  /** Position in {@link MvccState.pins}. */
  pinIndex: number;
}

export class MvccState {
  readonly source: RevisionSource;
  readonly sink: RevisionSink;
  readonly hashSeed: number;
  readonly table = new KeyTable();
  readonly hash = new KeyHash(this.table);
  readonly tree = new KeyTree(this.table);
  readonly history = new History();
  readonly log = new ChangeLog(this.table);
  readonly values: ValueArena;
  /** Keys with older revisions or a tombstone: those that compaction has to look at. Their records say QUEUED. */
  readonly queue = new IdQueue();
  readonly pins: Pin[] = [];
  /** Current and compacted revision, and the one up to which compaction has been carried out; -1 = never. */
  revision = 1;
  compactRevision = -1;
  physicalRevision = -1;
  /** The open write txn: its revision and the sub of its next change; main 0 = none. */
  txnMain = 0;
  txnSub = 0;
  /** Scratch for one operation. */
  readonly probe = new Probe();
  readonly endProbe = new Probe();
  readonly reader = new KeyValueReader();

  constructor(source: RevisionSource, sink: RevisionSink, values: ValueArena, hashSeed: number) {
    this.source = source;
    this.sink = sink;
    this.values = values;
    this.hashSeed = hashSeed;
  }

  /** Id of key `kb[ks, ke)`, which is left in {@link probe} with its hash; 0 if the index does not know it. */
  find(kb: Uint8Array, ks: number, ke: number): number {
    this.probe.set(kb, ks, ke);
    this.probe.computeHash(this.hashSeed);
    return this.hash.find(this.probe);
  }

  /** Newest revision a reader can see now: the open txn's own, or the current one. */
  get newestMain(): number {
    return this.txnMain !== 0 ? this.txnMain : this.revision;
  }

  /** Fills `meta` with key `id` as seen from (main, subEnd); false if it is not live there. */
  resolve(id: number, main: number, subEnd: number, meta: KeyMeta): boolean {
    const words = this.table.pool.words[id >>> KEY_SHIFT];
    const doubles = this.table.pool.doubles[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const double = (id & KEY_MASK) * KEY_DOUBLES;
    const modRevision = doubles[double + MOD_REVISION];
    if (modRevision > main || (modRevision === main && words[at + SUB] >= subEnd)) {
      return this.#resolveOlder(id, main, subEnd, meta);
    }
    const version = doubles[double + VERSION];
    if (version === 0) return false;
    meta.keyId = id;
    meta.createRevision = doubles[double + CREATE_REVISION];
    meta.modRevision = modRevision;
    meta.sub = words[at + SUB];
    meta.version = version;
    meta.leaseLow = words[at + LEASE_LOW];
    meta.leaseHigh = words[at + LEASE_HIGH];
    meta.encodedBytes = words[at + ENCODED_BYTES];
    meta.location = doubles[double + LOCATION];
    return true;
  }

  /** Length of the KeyValue of key `id` as seen from (main, subEnd), 0 if it is not live there. Reads no value. */
  sizeAt(id: number, main: number, subEnd: number): number {
    const words = this.table.pool.words[id >>> KEY_SHIFT];
    const doubles = this.table.pool.doubles[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const double = (id & KEY_MASK) * KEY_DOUBLES;
    const modRevision = doubles[double + MOD_REVISION];
    if (modRevision < main || (modRevision === main && words[at + SUB] < subEnd)) {
      return doubles[double + VERSION] === 0 ? 0 : words[at + ENCODED_BYTES];
    }
    const slot = this.#slotAt(words[at + HISTORY], main, subEnd);
    return slot === 0 || this.history.isTombstone(slot) ? 0 : this.history.bytes(slot) & BYTES_MASK;
  }

  /** As {@link resolve}, but fills only key id, mod revision and sub, and reads no value. */
  revisionAt(id: number, main: number, subEnd: number, meta: KeyMeta): boolean {
    const words = this.table.pool.words[id >>> KEY_SHIFT];
    const doubles = this.table.pool.doubles[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const double = (id & KEY_MASK) * KEY_DOUBLES;
    meta.keyId = id;
    meta.modRevision = doubles[double + MOD_REVISION];
    meta.sub = words[at + SUB];
    if (meta.modRevision < main || (meta.modRevision === main && meta.sub < subEnd))
      return doubles[double + VERSION] !== 0;
    const slot = this.#slotAt(words[at + HISTORY], main, subEnd);
    if (slot === 0 || this.history.isTombstone(slot)) return false;
    meta.modRevision = this.history.main(slot);
    meta.sub = this.history.sub(slot);
    return true;
  }

  /** The newest of the older revisions from `slot` on that (main, subEnd) sees, or 0. */
  #slotAt(slot: number, main: number, subEnd: number): number {
    const history = this.history;
    while (slot !== 0) {
      const slotMain = history.main(slot);
      if (slotMain < main || (slotMain === main && history.sub(slot) < subEnd)) return slot;
      slot = history.next(slot);
    }
    return 0;
  }

  #resolveOlder(id: number, main: number, subEnd: number, meta: KeyMeta): boolean {
    const history = this.history;
    const words = this.table.pool.words[id >>> KEY_SHIFT];
    const first = words[(id & KEY_MASK) * KEY_WORDS + HISTORY];
    const slot = this.#slotAt(first, main, subEnd);
    if (slot === 0 || history.isTombstone(slot)) return false;
    const bytes = history.bytes(slot);
    meta.keyId = id;
    meta.modRevision = history.main(slot);
    meta.sub = history.sub(slot);
    meta.encodedBytes = bytes & BYTES_MASK;
    meta.location = history.location(slot);
    const doubles = this.table.pool.doubles[id >>> KEY_SHIFT];
    const double = (id & KEY_MASK) * KEY_DOUBLES;
    const version = history.version(slot);
    // A slot holds neither lease nor create revision; without a lease and in the current generation both are known.
    if (
      (bytes & LEASED) === 0 &&
      version !== 0 &&
      meta.modRevision >= doubles[double + CREATE_REVISION] &&
      doubles[double + VERSION] > version
    ) {
      meta.createRevision = doubles[double + CREATE_REVISION];
      meta.version = version;
      meta.leaseLow = 0;
      meta.leaseHigh = 0;
      return true;
    }
    this.#readFields(meta);
    return true;
  }

  /** Fills create revision, version and lease of `meta` from its KeyValue. */
  #readFields(meta: KeyMeta): void {
    const reader = this.reader;
    let read: boolean;
    if (this.values.has(meta.location)) {
      const from = meta.location % this.values.chunkBytes;
      read = reader.read(this.values.memoryOf(meta.location), from, from + meta.encodedBytes);
    } else {
      const bytes = this.readSource(meta);
      read = reader.read(bytes, 0, bytes.length);
    }
    assert(read, "a stored KeyValue is malformed", meta.modRevision, meta.sub);
    meta.createRevision = reader.createRevision;
    meta.version = reader.version;
    meta.leaseLow = reader.leaseLow;
    meta.leaseHigh = reader.leaseHigh;
  }

  /** The KeyValue of `meta` from the source; borrowed. */
  readSource(meta: KeyMeta): Uint8Array {
    const bytes = this.source.getRevision(meta.modRevision, meta.sub, false);
    assert(
      bytes !== undefined,
      "the backend lacks a revision that the index knows",
      meta.modRevision,
      meta.sub,
    );
    assert(
      bytes.length === meta.encodedBytes,
      "index and backend differ in the size of a revision",
      meta.modRevision,
      meta.sub,
      meta.encodedBytes,
      bytes.length,
    );
    return bytes;
  }

  /** Takes a value that was just read from the source into memory, if it is its key's current one and there is room. */
  promote(meta: KeyMeta, bytes: Uint8Array, start: number): void {
    const words = this.table.pool.words[meta.keyId >>> KEY_SHIFT];
    const doubles = this.table.pool.doubles[meta.keyId >>> KEY_SHIFT];
    const double = (meta.keyId & KEY_MASK) * KEY_DOUBLES;
    if (doubles[double + MOD_REVISION] !== meta.modRevision || doubles[double + VERSION] === 0) return;
    if (words[(meta.keyId & KEY_MASK) * KEY_WORDS + SUB] !== meta.sub) return;
    if (!this.values.mayTakeBack(meta.encodedBytes)) return;
    const location = this.values.allocate(meta.encodedBytes, 0);
    copyBytes(bytes, start, start + meta.encodedBytes, this.values.memory, this.values.offset);
    doubles[double + LOCATION] = location;
    meta.location = location;
  }

  /** Moves the last change of key `id` to its older revisions, and queues the key for compaction. */
  pushHistory(id: number): void {
    const words = this.table.pool.words[id >>> KEY_SHIFT];
    const doubles = this.table.pool.doubles[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const double = (id & KEY_MASK) * KEY_DOUBLES;
    const version = doubles[double + VERSION];
    let bytes = words[at + ENCODED_BYTES];
    if (version === 0) bytes |= TOMBSTONE;
    else if ((words[at + LEASE_LOW] | words[at + LEASE_HIGH]) !== 0) bytes |= LEASED;
    words[at + HISTORY] = this.history.push(
      words[at + HISTORY],
      doubles[double + MOD_REVISION],
      words[at + SUB],
      bytes,
      version,
      doubles[double + LOCATION],
    );
    this.enqueue(id);
  }

  enqueue(id: number): void {
    const words = this.table.pool.words[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS + KEY_LENGTH;
    if (words[at] >= QUEUED) return;
    words[at] |= QUEUED;
    this.queue.push(id);
  }

  pin(pin: Pin): void {
    pin.pinIndex = this.pins.push(pin) - 1;
  }

  unpin(pin: Pin): void {
    const last = this.pins.pop() as Pin;
    if (last !== pin) {
      this.pins[pin.pinIndex] = last;
      last.pinIndex = pin.pinIndex;
    }
  }

  /** Highest revision that may be compacted physically without taking anything from a pin. */
  compactableRevision(): number {
    let revision = this.compactRevision;
    for (const pin of this.pins) {
      revision = Math.min(revision, pin.subEnd === ALL_SUBS ? pin.main : pin.main - 1);
    }
    return revision;
  }

  /** {@link probe} := start; {@link endProbe} := end, unless the range has none (false). */
  setBounds(range: KeyRange): boolean {
    const end = range.end as Uint8Array;
    this.probe.set(range.key, 0, range.key.length);
    if (isUnbounded(end)) return false;
    this.endProbe.set(end, 0, end.length);
    return true;
  }
}
