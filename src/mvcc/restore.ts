/**
 * Building the index again from the backend's records, in ascending order of revision. A tombstone ends a generation, also as
 * the first record of a key (kept at the compaction point). Every put carries its own create revision and version, so that it
 * does not matter how much of the key's past was compacted away.
 *
 * Without a checkpoint the tree stays empty until the end, and is then built from the sorted keys.
 */
import {
  CREATE_REVISION,
  ENCODED_BYTES,
  KEY_DOUBLES,
  KEY_MASK,
  KEY_SHIFT,
  KEY_WORDS,
  LEASE_HIGH,
  LEASE_LOW,
  LOCATION,
  MOD_REVISION,
  SUB,
  VERSION,
} from "./key-table.ts";
import { sortKeyIds } from "./key-sort.ts";
import type { MvccState } from "./mvcc-state.ts";
import { NOT_IN_MEMORY } from "./value-arena.ts";

/** What the backend's `meta` bucket says; -1 where a key is missing. */
export interface RestoredRevisions {
  readonly scheduledCompactRevision: number;
  readonly finishedCompactRevision: number;
}

export class Restorer {
  readonly #state: MvccState;
  /** Last record taken. */
  #main = 0;
  #sub = 0;
  #fromCheckpoint = false;

  constructor(state: MvccState) {
    this.#state = state;
  }

  /** Records up to `revision` are known already, from a checkpoint. */
  startAfter(revision: number): void {
    this.#fromCheckpoint = true;
    this.#main = revision;
    this.#sub = 0xffff_ffff;
  }

  /** Takes one record; false if its bytes are malformed, or not above the last record. */
  add(main: number, sub: number, tombstone: boolean, bytes: Uint8Array): boolean {
    if (main < this.#main || (main === this.#main && sub <= this.#sub && main !== 0)) return false;
    const state = this.#state;
    const { reader, probe, table, tree } = state;
    if (!reader.read(bytes, 0, bytes.length)) return false;
    // etcd's restoration with --bump-revision leaves an empty record behind: the key "", live, which no range can reach.
    const version = bytes.length === 0 ? 1 : reader.version;
    if (!tombstone && version === 0) return false;
    this.#main = main;
    this.#sub = sub;
    let id = state.find(bytes, reader.keyStart, reader.keyEnd);
    const known = id !== 0;
    if (!known) {
      id = table.add(probe);
      state.hash.add(id, probe.hash);
      if (this.#fromCheckpoint) tree.insert(id, tombstone ? 0 : 1, probe);
    } else state.pushHistory(id);
    const words = table.pool.words[id >>> KEY_SHIFT];
    const doubles = table.pool.doubles[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const double = (id & KEY_MASK) * KEY_DOUBLES;
    const wasLive = doubles[double + VERSION] !== 0;
    if (known && wasLive === tombstone && this.#fromCheckpoint) tree.setLive(probe, tombstone ? 0 : 1);
    doubles[double + CREATE_REVISION] = tombstone ? 0 : reader.createRevision;
    doubles[double + MOD_REVISION] = main;
    doubles[double + VERSION] = tombstone ? 0 : version;
    doubles[double + LOCATION] = NOT_IN_MEMORY;
    words[at + SUB] = sub;
    words[at + LEASE_LOW] = reader.leaseLow;
    words[at + LEASE_HIGH] = reader.leaseHigh;
    words[at + ENCODED_BYTES] = bytes.length;
    if (tombstone) state.enqueue(id);
    return true;
  }

  /** Sets the revisions. A compaction that was scheduled and not finished is carried out by the next slices. */
  finish({ scheduledCompactRevision, finishedCompactRevision }: RestoredRevisions): void {
    const state = this.#state;
    if (!this.#fromCheckpoint) this.#buildTree();
    state.revision = Math.max(state.revision, this.#main, scheduledCompactRevision, finishedCompactRevision);
    state.compactRevision = Math.max(
      state.compactRevision,
      scheduledCompactRevision,
      finishedCompactRevision,
    );
    // A checkpoint may hold revisions that a compaction finished later has removed: its own mark counts then.
    if (!this.#fromCheckpoint) state.physicalRevision = finishedCompactRevision;
    state.log.reset(state.revision);
    state.values.committed(state.revision);
  }

  #buildTree(): void {
    const { table, tree } = this.#state;
    const ids = new Uint32Array(table.pool.live);
    for (let index = 0; index < ids.length; index++) ids[index] = index + 1;
    sortKeyIds(table, ids);
    for (const id of ids) {
      const version = table.pool.doubles[id >>> KEY_SHIFT][(id & KEY_MASK) * KEY_DOUBLES + VERSION];
      tree.append(id, version === 0 ? 0 : 1);
    }
  }
}
