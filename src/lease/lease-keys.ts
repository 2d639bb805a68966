/**
 * Which keys hang on which lease: a list a lease, doubly linked through arrays that are indexed by key id, so that attaching and
 * detaching touch three cells and allocate nothing. Key ids are the key index's; a live key keeps its id, and only live keys
 * are attached. The arrays come in pages: only pages with attached keys take memory.
 *
 *     lease row ──▶ newest key ⇄ older key ⇄ … ⇄ oldest key
 */

/** 2^12 key ids = 48 KiB a page. */
const PAGE_SHIFT = 12;
const PAGE_MASK = (1 << PAGE_SHIFT) - 1;
/** Words a key: row of its lease (0 = none), next older key, next newer key (0 = none). */
const KEY_WORDS = 3;
const ROW = 0;
const OLDER = 1;
const NEWER = 2;
const ROWS_FIRST = 1024;

export class LeaseKeys {
  readonly #pages: Array<Uint32Array | undefined> = [];
  /** By lease row: newest key, and number of keys. */
  #newest = new Uint32Array(ROWS_FIRST);
  #counts = new Uint32Array(ROWS_FIRST);
  /** Keys attached to any lease. */
  attached = 0;

  /** Number of keys of a lease. */
  count(row: number): number {
    return this.#counts[row] ?? 0;
  }

  /** The lease row of a key; 0 = none. */
  rowOf(keyId: number): number {
    const page = this.#pages[keyId >>> PAGE_SHIFT];
    return page === undefined ? 0 : page[(keyId & PAGE_MASK) * KEY_WORDS + ROW];
  }

  /** Puts the key onto the lease of `row`, and off the one it was on. */
  attach(row: number, keyId: number): void {
    const old = this.rowOf(keyId);
    if (old === row) return;
    if (old !== 0) this.detach(keyId);
    if (row >= this.#newest.length) this.#growRows(row);
    const page = (this.#pages[keyId >>> PAGE_SHIFT] ??= new Uint32Array(KEY_WORDS << PAGE_SHIFT));
    const at = (keyId & PAGE_MASK) * KEY_WORDS;
    const newest = this.#newest[row];
    page[at + ROW] = row;
    page[at + OLDER] = newest;
    page[at + NEWER] = 0;
    if (newest !== 0) this.#link(newest, NEWER, keyId);
    this.#newest[row] = keyId;
    this.#counts[row]++;
    this.attached++;
  }

  /** Takes the key off its lease, if it is on one. */
  detach(keyId: number): void {
    const page = this.#pages[keyId >>> PAGE_SHIFT];
    if (page === undefined) return;
    const at = (keyId & PAGE_MASK) * KEY_WORDS;
    const row = page[at + ROW];
    if (row === 0) return;
    const older = page[at + OLDER];
    const newer = page[at + NEWER];
    if (older !== 0) this.#link(older, NEWER, newer);
    if (newer !== 0) this.#link(newer, OLDER, older);
    else this.#newest[row] = older;
    page[at + ROW] = 0;
    this.#counts[row]--;
    this.attached--;
  }

  /** Ids of the keys of a lease, newest attachment first. */
  keysOf(row: number): Uint32Array {
    const ids = new Uint32Array(this.count(row));
    let keyId = ids.length === 0 ? 0 : this.#newest[row];
    for (let index = 0; index < ids.length; index++) {
      ids[index] = keyId;
      const page = this.#pages[keyId >>> PAGE_SHIFT] as Uint32Array;
      keyId = page[(keyId & PAGE_MASK) * KEY_WORDS + OLDER];
    }
    return ids;
  }

  #link(keyId: number, direction: number, target: number): void {
    const page = this.#pages[keyId >>> PAGE_SHIFT] as Uint32Array;
    page[(keyId & PAGE_MASK) * KEY_WORDS + direction] = target;
  }

  #growRows(row: number): void {
    const length = Math.max(this.#newest.length * 2, row + 1);
    const newest = new Uint32Array(length);
    newest.set(this.#newest);
    this.#newest = newest;
    const counts = new Uint32Array(length);
    counts.set(this.#counts);
    this.#counts = counts;
  }
}
