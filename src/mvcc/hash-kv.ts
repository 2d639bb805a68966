/**
 * What HashKV has to know of the index: which revisions at or below the compacted one count (a {@link KeepSet}). The records are
 * hashed where the backend is: `src/storage/hash-kv.ts`.
 */

/**
 * Of the revisions <= `compactRevision`, those that count; ascending. Plain data: may cross threads.
 *
 * They are the newest of the keys that live at `revision`. If none does, those of the keys that lived at `compactRevision`: etcd
 * leaves nothing out then, and these are what it has left once it has deleted what was compacted.
 */
export interface KeepSet {
  readonly revision: number;
  readonly compactRevision: number;
  readonly mains: Float64Array;
  readonly subs: Uint32Array;
}

/** Tells of compacted revisions, asked in ascending order, whether the hash includes them. */
export class KeepFilter {
  readonly #keep: KeepSet;
  #next = 0;

  constructor(keep: KeepSet) {
    this.#keep = keep;
  }

  /** Whether (main, sub), at or below the compacted revision, is in the set. */
  includes(main: number, sub: number): boolean {
    const { mains, subs } = this.#keep;
    while (
      this.#next < mains.length &&
      (mains[this.#next] < main || (mains[this.#next] === main && subs[this.#next] < sub))
    ) {
      this.#next++;
    }
    return this.#next < mains.length && mains[this.#next] === main && subs[this.#next] === sub;
  }
}

/** Sorts revisions ascending, in place. */
export function sortRevisions(mains: Float64Array, subs: Uint32Array): void {
  const subBits = 12;
  const packable =
    mains.every((main) => main < 2 ** (53 - subBits)) && subs.every((sub) => sub < 1 << subBits);
  if (!packable) {
    const order = Array.from(mains.keys()).sort((a, b) => mains[a] - mains[b] || subs[a] - subs[b]);
    const sortedMains = order.map((index) => mains[index]);
    const sortedSubs = order.map((index) => subs[index]);
    mains.set(sortedMains);
    subs.set(sortedSubs);
    return;
  }
  // One number a revision sorts natively, ten times faster than by a comparison function.
  const packed = mains.map((main, index) => main * (1 << subBits) + subs[index]).sort();
  for (const [index, revision] of packed.entries()) {
    mains[index] = Math.floor(revision / (1 << subBits));
    subs[index] = revision % (1 << subBits);
  }
}
