/**
 * Writes: a txn's puts and deletions change the index, and hand their revisions to the sink in order, inside the call. Between begin
 * and end nothing else writes; reads at the current revision see what the txn has written so far.
 */
import { assert } from "../base/assert.ts";
import { varintBytes, writeVarint } from "../proto/wire.ts";
import { sortKeyIds } from "./key-sort.ts";
import {
  CREATE_REVISION,
  ENCODED_BYTES,
  KEY_DOUBLES,
  KEY_LENGTH,
  KEY_MASK,
  KEY_SHIFT,
  KEY_WORDS,
  LEASE_HIGH,
  LEASE_LOW,
  LENGTH_MASK,
  LOCATION,
  MOD_REVISION,
  SUB,
  VERSION,
} from "./key-table.ts";
import { COUNT, ENTRIES, NEXT } from "./key-tree.ts";
import { keyValueBytes, type KeyValueFields, writeKeyValue } from "./key-value.ts";
import { ALL_SUBS, LATEST, type MvccState } from "./mvcc-state.ts";
import { compareProbes } from "./probe.ts";
import type { KeyRange } from "./store.ts";
import { NOT_IN_MEMORY } from "./value-arena.ts";

/** From here on {@link Mvcc.needsCommit} asks the apply loop to wait for storage. */
export const UNCOMMITTED_BYTES_MAX = 64 * 1024 * 1024;
/** An apply loop that ignores needsCommit fills memory: no txn begins beyond this. */
const UNCOMMITTED_BYTES_BROKEN = 16 * UNCOMMITTED_BYTES_MAX;

export class MvccWriter {
  readonly #state: MvccState;
  readonly #fields: KeyValueFields = {
    createRevision: 0,
    modRevision: 0,
    version: 0,
    leaseLow: 0,
    leaseHigh: 0,
  };
  #tombstone = new Uint8Array(256);

  constructor(state: MvccState) {
    this.#state = state;
  }

  beginTxn(): void {
    const state = this.#state;
    assert(state.txnMain === 0, "a write txn is open already", state.txnMain);
    assert(
      state.values.uncommittedBytes <= UNCOMMITTED_BYTES_BROKEN,
      "uncommitted values fill the memory: heed needsCommit",
      state.values.uncommittedBytes,
    );
    state.txnMain = state.revision + 1;
    state.txnSub = 0;
  }

  endTxn(): number {
    const state = this.#state;
    assert(state.txnMain !== 0, "no write txn is open");
    if (state.txnSub > 0) state.revision = state.txnMain;
    state.txnMain = 0;
    return state.revision;
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
    const state = this.#state;
    const main = state.txnMain;
    assert(main !== 0, "put outside a write txn");
    const sub = state.txnSub++;
    const fields = this.#fields;
    let id = state.find(kb, ks, ke);
    if (id === 0) id = this.#addKey(main);
    else this.#supersede(id, main);
    const words = state.table.pool.words[id >>> KEY_SHIFT];
    const doubles = state.table.pool.doubles[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const double = (id & KEY_MASK) * KEY_DOUBLES;
    fields.createRevision = doubles[double + CREATE_REVISION];
    fields.modRevision = main;
    fields.version = doubles[double + VERSION] + 1;
    fields.leaseLow = leaseLow >>> 0;
    fields.leaseHigh = leaseHigh >>> 0;
    const bytes = keyValueBytes(ke - ks, ve - vs, fields);
    const location = state.values.allocate(bytes, main);
    const memory = state.values.memory;
    const start = state.values.offset;
    writeKeyValue(memory, start, kb, ks, ke, vb, vs, ve, fields);
    doubles[double + MOD_REVISION] = main;
    doubles[double + VERSION] = fields.version;
    doubles[double + LOCATION] = location;
    words[at + SUB] = sub;
    words[at + LEASE_LOW] = leaseLow;
    words[at + LEASE_HIGH] = leaseHigh;
    words[at + ENCODED_BYTES] = bytes;
    state.sink.putRevision(main, sub, memory, start, start + bytes);
    return id;
  }

  /** A record for the key in the probe, born at `main`, with version 0 still. */
  #addKey(main: number): number {
    const { table, hash, tree, log, probe } = this.#state;
    const id = table.add(probe);
    hash.add(id, probe.hash);
    tree.insert(id, 1, probe);
    log.add(main, id, 1);
    table.pool.doubles[id >>> KEY_SHIFT][(id & KEY_MASK) * KEY_DOUBLES + CREATE_REVISION] = main;
    return id;
  }

  /** Makes way for a new revision of the key in the probe; a tombstoned one is born again. */
  #supersede(id: number, main: number): void {
    const state = this.#state;
    state.pushHistory(id);
    const doubles = state.table.pool.doubles[id >>> KEY_SHIFT];
    const double = (id & KEY_MASK) * KEY_DOUBLES;
    if (doubles[double + VERSION] !== 0) return;
    doubles[double + CREATE_REVISION] = main;
    state.tree.setLive(state.probe, 1);
    state.log.add(main, id, 1);
  }

  deleteRange(range: KeyRange): number {
    const state = this.#state;
    assert(state.txnMain !== 0, "deleteRange outside a write txn");
    if (range.end !== null) return this.#deleteInRange(range);
    const id = state.find(range.key, 0, range.key.length);
    if (id === 0 || state.sizeAt(id, LATEST, ALL_SUBS) === 0) return 0;
    state.tree.setLive(state.probe, 0);
    this.#buryKey(id);
    return 1;
  }

  deleteKeys(keyIds: Uint32Array): void {
    const { table, tree, probe, txnMain } = this.#state;
    assert(txnMain !== 0, "deleteKeys outside a write txn");
    sortKeyIds(table, keyIds);
    for (const id of keyIds) {
      const version = table.pool.doubles[id >>> KEY_SHIFT][(id & KEY_MASK) * KEY_DOUBLES + VERSION];
      assert(version !== 0, "only live keys are deleted by their ids", id);
      table.fillProbe(id, probe);
      tree.setLive(probe, 0);
      this.#buryKey(id);
    }
  }

  #deleteInRange(range: KeyRange): number {
    const { tree } = this.#state;
    const bounded = this.#state.setBounds(range);
    if (bounded && compareProbes(this.#state.probe, this.#state.endProbe) >= 0) return 0;
    let endLeaf = 0;
    let endPosition = 0;
    if (bounded) {
      tree.seek(this.#state.endProbe);
      endLeaf = tree.leaf;
      endPosition = tree.position;
    }
    tree.seek(this.#state.probe);
    let position = tree.position;
    let deleted = 0;
    for (let leaf = tree.leaf; leaf !== 0; position = 0) {
      const words = tree.leafWords(leaf);
      const at = tree.leafAt(leaf);
      const stop = leaf === endLeaf ? endPosition : words[at + COUNT];
      let buried = 0;
      for (; position < stop; position++) {
        const entry = words[at + ENTRIES + position];
        if ((entry & 1) === 0) continue;
        words[at + ENTRIES + position] = (entry ^ 1) >>> 0;
        this.#buryKey(entry >>> 1);
        buried++;
      }
      if (buried > 0) tree.addLive(leaf, -buried);
      deleted += buried;
      leaf = leaf === endLeaf ? 0 : words[at + NEXT];
    }
    return deleted;
  }

  /** Writes the tombstone of a live key whose bit in the tree is off already. */
  #buryKey(id: number): void {
    const state = this.#state;
    const main = state.txnMain;
    const sub = state.txnSub++;
    state.pushHistory(id);
    state.log.add(main, id, 0);
    const words = state.table.pool.words[id >>> KEY_SHIFT];
    const doubles = state.table.pool.doubles[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const double = (id & KEY_MASK) * KEY_DOUBLES;
    const length = words[at + KEY_LENGTH] & LENGTH_MASK;
    const bytes = length === 0 ? 0 : 1 + varintBytes(length) + length;
    if (bytes > this.#tombstone.length) this.#tombstone = new Uint8Array(bytes * 2);
    if (length > 0) {
      this.#tombstone[0] = 0x0a;
      state.table.copyKey(id, this.#tombstone, writeVarint(this.#tombstone, 1, length));
    }
    doubles[double + CREATE_REVISION] = 0;
    doubles[double + MOD_REVISION] = main;
    doubles[double + VERSION] = 0;
    doubles[double + LOCATION] = NOT_IN_MEMORY;
    words[at + SUB] = sub;
    words[at + LEASE_LOW] = 0;
    words[at + LEASE_HIGH] = 0;
    words[at + ENCODED_BYTES] = bytes;
    state.sink.putTombstone(main, sub, this.#tombstone, 0, bytes);
  }
}
