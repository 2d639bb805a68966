/**
 * A walk over the live keys of a range at one pinned revision. It holds a position in the tree and trusts it as long as the
 * tree's stamp stays; after that it seeks the key it gave last. That key cannot have gone: it was live at a pinned revision.
 */
import { COUNT, ENTRIES, NEXT } from "./key-tree.ts";
import { READ_THROUGH, type MvccState, type Pin } from "./mvcc-state.ts";
import { compareProbes, isUnbounded } from "./probe.ts";
import type { KeyMeta, KeyRange, RangeCursor } from "./store.ts";

/**
 * The first keys of a walk may be taken back into memory when they are read, as a range of a few keys is like several
 * lookups; behind them a walk would only flush what is really hot.
 */
export const CURSOR_PROMOTED_KEYS_MAX = 64;

export class KeyCursor implements RangeCursor, Pin {
  readonly main: number;
  readonly subEnd: number;
  pinIndex = 0;
  readonly #state: MvccState;
  readonly #key: Uint8Array;
  /** null: no end. */
  readonly #end: Uint8Array | null;
  #open = true;
  #done = false;
  /** Stamp of the tree at which the four positions below were taken; -1 = never. */
  #stamp = -1;
  #leaf = 0;
  #position = 0;
  /** First entry behind the range; leaf 0 = the range has no end. */
  #endLeaf = 0;
  #endPosition = 0;
  /** Key given last, 0 = none yet. */
  #lastId = 0;
  #given = 0;

  constructor(state: MvccState, range: KeyRange, main: number, subEnd: number) {
    this.#state = state;
    this.main = main;
    this.subEnd = subEnd;
    this.#key = range.key.slice();
    if (range.end === null) {
      // One key: as [key, key + "\0").
      this.#end = new Uint8Array(range.key.length + 1);
      this.#end.set(range.key);
    } else this.#end = isUnbounded(range.end) ? null : range.end.slice();
    state.pin(this);
  }

  next(meta: KeyMeta): boolean {
    const state = this.#state;
    for (let id = this.#nextId(); id !== 0; id = this.#nextId()) {
      if (!state.resolve(id, this.main, this.subEnd, meta)) continue;
      this.#lastId = id;
      if (++this.#given > CURSOR_PROMOTED_KEYS_MAX && !state.values.has(meta.location))
        meta.location = READ_THROUGH;
      return true;
    }
    return false;
  }

  /** As {@link next}, but only the length of the KeyValue: no value is read. 0 at the end. */
  nextSize(): number {
    for (let id = this.#nextId(); id !== 0; id = this.#nextId()) {
      const bytes = this.#state.sizeAt(id, this.main, this.subEnd);
      if (bytes === 0) continue;
      this.#lastId = id;
      return bytes;
    }
    return 0;
  }

  /** As {@link next}, but fills only key id, mod revision and sub. */
  nextRevision(meta: KeyMeta): boolean {
    for (let id = this.#nextId(); id !== 0; id = this.#nextId()) {
      if (!this.#state.revisionAt(id, this.main, this.subEnd, meta)) continue;
      this.#lastId = id;
      return true;
    }
    return false;
  }

  /** The next key of the tree in the range, live or not; 0 at the end. */
  #nextId(): number {
    if (this.#done) return 0;
    const tree = this.#state.tree;
    if (this.#stamp !== tree.stamp && !this.#seek()) return this.#finish();
    for (;;) {
      if (this.#leaf === this.#endLeaf && this.#position >= this.#endPosition) return this.#finish();
      const words = tree.leafWords(this.#leaf);
      const at = tree.leafAt(this.#leaf);
      if (this.#position < words[at + COUNT]) return words[at + ENTRIES + this.#position++] >>> 1;
      this.#leaf = words[at + NEXT];
      this.#position = 0;
      if (this.#leaf === 0) return this.#finish();
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#done = true;
    this.#state.unpin(this);
  }

  #finish(): number {
    this.#done = true;
    return 0;
  }

  /** Takes the positions anew; false if the range is empty. */
  #seek(): boolean {
    const { tree, probe, endProbe, table } = this.#state;
    probe.set(this.#key, 0, this.#key.length);
    if (this.#end !== null) {
      endProbe.set(this.#end, 0, this.#end.length);
      if (compareProbes(probe, endProbe) >= 0) return false;
      tree.seek(endProbe);
      this.#endLeaf = tree.leaf;
      this.#endPosition = tree.position;
    }
    if (this.#lastId !== 0) table.fillProbe(this.#lastId, probe);
    tree.seek(probe);
    this.#leaf = tree.leaf;
    this.#position = this.#lastId === 0 ? tree.position : tree.position + 1;
    this.#stamp = tree.stamp;
    return true;
  }
}
