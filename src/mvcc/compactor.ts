/**
 * Compaction, a slice at a time. Kept at revision R: of every key all revisions > R, the newest <= R if the key is live at R,
 * and tombstones whose main is exactly R. Only keys in the queue can have anything to remove, so a pass costs what was written
 * since the last one, not what is stored.
 *
 * The order of removals matters, as the process may die between any two: a tombstone goes only after everything older of its
 * key, or a restart would bring the key back to life.
 */
import {
  HISTORY,
  KEY_LENGTH,
  KEY_MASK,
  KEY_DOUBLES,
  KEY_SHIFT,
  KEY_WORDS,
  LENGTH_MASK,
  MOD_REVISION,
  SUB,
  VERSION,
} from "./key-table.ts";
import { removeKey } from "./key-tree-remove.ts";
import type { MvccState } from "./mvcc-state.ts";

export class Compactor {
  readonly #state: MvccState;
  /** The pass under way: its revision (0 = none) and the keys it still has to look at. */
  #passRevision = 0;
  #passKeys = 0;
  /** The key under way (0 = none), its cut-off older revisions, and the tombstones among those, which wait for the others. */
  #keyId = 0;
  #cutSlot = 0;
  #cutTombstone = 0;

  constructor(state: MvccState) {
    this.#state = state;
  }

  /** Nothing can be done now, although work is left: pins hold the revisions. */
  get waitsForPins(): boolean {
    const state = this.#state;
    return (
      this.#passRevision === 0 &&
      state.physicalRevision < state.compactRevision &&
      state.compactableRevision() <= state.physicalRevision
    );
  }

  /** See MvccStore.compactSlice: `budget` counts keys looked at and revisions removed. */
  slice(budget: number): boolean {
    const state = this.#state;
    while (budget > 0) {
      if (this.#keyId !== 0) {
        this.#continueKey();
      } else if (this.#passKeys > 0) {
        this.#passKeys--;
        this.#beginKey(state.queue.shift());
      } else if (!this.#nextPass()) {
        return state.physicalRevision >= state.compactRevision;
      }
      budget--;
    }
    return false;
  }

  /** Ends the pass that has run out of keys, and begins one if there is a revision to go to. */
  #nextPass(): boolean {
    const state = this.#state;
    if (this.#passRevision !== 0) state.physicalRevision = this.#passRevision;
    this.#passRevision = 0;
    const revision = state.compactableRevision();
    if (revision <= state.physicalRevision || revision <= 0) return false;
    this.#passRevision = revision;
    this.#passKeys = state.queue.length;
    return true;
  }

  /** Ends the work on a key that is cut but not settled, so that the index is whole. */
  settle(): void {
    while (this.#keyId !== 0) this.#continueKey();
  }

  #beginKey(id: number): void {
    const { pool } = this.#state.table;
    pool.words[id >>> KEY_SHIFT][(id & KEY_MASK) * KEY_WORDS + KEY_LENGTH] &= LENGTH_MASK;
    this.#keyId = id;
    this.#cutKey();
    if (this.#cutSlot === 0) this.#settleKey();
  }

  /** Removes one cut-off revision, or settles the key when none is left. */
  #continueKey(): void {
    const { history } = this.#state;
    const slot = this.#cutSlot;
    if (slot !== 0) {
      this.#cutSlot = history.next(slot);
      if (history.isTombstone(slot)) {
        history.setNext(slot, this.#cutTombstone);
        this.#cutTombstone = slot;
      } else this.#remove(slot);
    } else if (this.#cutTombstone !== 0) {
      const tombstone = this.#cutTombstone;
      this.#cutTombstone = history.next(tombstone);
      this.#remove(tombstone);
    } else {
      // A write between two slices may have added to the key.
      this.#cutKey();
      if (this.#cutSlot === 0) this.#settleKey();
    }
  }

  /** Nothing older is left to remove: removes the key itself if it is dead, or queues it for the next pass. */
  #settleKey(): void {
    const state = this.#state;
    const id = this.#keyId;
    this.#keyId = 0;
    const words = state.table.pool.words[id >>> KEY_SHIFT];
    const doubles = state.table.pool.doubles[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const modRevision = doubles[(id & KEY_MASK) * KEY_DOUBLES + MOD_REVISION];
    const live = doubles[(id & KEY_MASK) * KEY_DOUBLES + VERSION] !== 0;
    if (!live && modRevision < this.#passRevision) {
      state.sink.deleteRevision(modRevision, words[at + SUB], true);
      this.#removeKey(id);
    } else if (!live || words[at + HISTORY] !== 0) state.enqueue(id);
  }

  /** Cuts what compaction removes off the key's older revisions, into {@link #cutSlot}. */
  #cutKey(): void {
    const { table, history } = this.#state;
    const id = this.#keyId;
    const revision = this.#passRevision;
    const words = table.pool.words[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    // Whether something newer than the slot, and not above the revision, exists.
    let covered =
      table.pool.doubles[id >>> KEY_SHIFT][(id & KEY_MASK) * KEY_DOUBLES + MOD_REVISION] <= revision;
    let kept = 0;
    for (let slot = words[at + HISTORY]; slot !== 0;) {
      const main = history.main(slot);
      const tombstone = history.isTombstone(slot);
      const next = history.next(slot);
      if (main < revision && (covered || tombstone)) {
        this.#link(at, words, kept, 0);
        this.#cutSlot = slot;
        return;
      }
      if (main === revision && covered && !tombstone) {
        this.#link(at, words, kept, next);
        this.#remove(slot);
      } else kept = slot;
      covered ||= main <= revision;
      slot = next;
    }
  }

  /** Sets what follows slot `kept`, or the key's record if 0. */
  #link(at: number, words: Uint32Array, kept: number, next: number): void {
    if (kept === 0) words[at + HISTORY] = next;
    else this.#state.history.setNext(kept, next);
  }

  #remove(slot: number): void {
    const { history, sink } = this.#state;
    sink.deleteRevision(history.main(slot), history.sub(slot), history.isTombstone(slot));
    history.pool.free(slot);
  }

  #removeKey(id: number): void {
    const { table, hash, tree, probe } = this.#state;
    table.fillProbe(id, probe);
    removeKey(tree, id, probe);
    hash.remove(id);
    table.remove(id);
  }
}
