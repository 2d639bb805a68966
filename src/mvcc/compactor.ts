/**
 * Compaction, a slice at a time. Kept at revision R: of every key all revisions > R, the newest <= R if the key is live at R,
 * and tombstones whose main is exactly R. Only keys in the queue can have anything to remove, so a pass costs what was written
 * since the last one, not what is stored.
 */
import { HISTORY, KEY_LENGTH, KEY_MASK, KEY_DOUBLES, KEY_SHIFT, KEY_WORDS, LENGTH_MASK, MOD_REVISION, SUB, VERSION } from "./key-table.ts";
import { removeKey } from "./key-tree-remove.ts";
import type { MvccState } from "./mvcc-state.ts";

export class Compactor {
  readonly #state: MvccState;
  /** The pass under way: its revision (0 = none) and the keys it still has to look at. */
  #passRevision = 0;
  #passKeys = 0;
  /** Cut-off older revisions of one key that still have to be freed: first slot, 0 = none. */
  #cutSlot = 0;

  constructor(state: MvccState) {
    this.#state = state;
  }

  /** Nothing can be done now, although work is left: pins hold the revisions. */
  get waitsForPins(): boolean {
    const state = this.#state;
    return this.#passRevision === 0 && state.physicalRevision < state.compactRevision &&
      state.compactableRevision() <= state.physicalRevision;
  }

  /** See MvccStore.compactSlice: `budget` counts keys looked at and revisions removed. */
  slice(budget: number): boolean {
    const state = this.#state;
    while (budget > 0) {
      if (this.#cutSlot !== 0) {
        this.#freeOneCut();
      } else if (this.#passKeys > 0) {
        this.#passKeys--;
        this.#compactKey(state.queue.shift());
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

  #compactKey(id: number): void {
    const state = this.#state;
    const words = state.table.pool.words[id >>> KEY_SHIFT];
    const doubles = state.table.pool.doubles[id >>> KEY_SHIFT];
    const at = (id & KEY_MASK) * KEY_WORDS;
    const double = (id & KEY_MASK) * KEY_DOUBLES;
    words[at + KEY_LENGTH] &= LENGTH_MASK;
    const modRevision = doubles[double + MOD_REVISION];
    const live = doubles[double + VERSION] !== 0;
    words[at + HISTORY] = this.#cut(words[at + HISTORY], modRevision <= this.#passRevision);
    if (!live && modRevision < this.#passRevision) {
      state.sink.deleteRevision(modRevision, words[at + SUB], true);
      this.#removeKey(id);
    } else if (!live || words[at + HISTORY] !== 0) state.enqueue(id);
  }

  /**
   * Cuts what compaction removes off a list of older revisions; what is left begins at the returned slot.
   * @param covered whether a newer revision <= R than all of these exists
   */
  #cut(first: number, covered: boolean): number {
    const history = this.#state.history;
    const revision = this.#passRevision;
    let kept = 0;
    let newFirst = 0;
    let slot = first;
    while (slot !== 0) {
      const main = history.main(slot);
      if (covered && main < revision) {
        this.#cutSlot = slot;
        break;
      }
      const next = history.next(slot);
      const keep = main > revision || (history.isTombstone(slot) ? main === revision : !covered);
      if (main <= revision) covered = true;
      if (keep) {
        if (kept === 0) newFirst = slot;
        else history.setNext(kept, slot);
        kept = slot;
      } else this.#remove(slot);
      slot = next;
    }
    if (kept !== 0) history.setNext(kept, 0);
    return newFirst;
  }

  #freeOneCut(): void {
    const slot = this.#cutSlot;
    this.#cutSlot = this.#state.history.next(slot);
    this.#remove(slot);
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
