/**
 * The data of the snapshot stress test, as writer and checker agree on it.
 *
 * Groups of keys lie far apart in the tree, and one commit rewrites all keys of one group and the group's row in another
 * bucket; so a page of an older commit shows as keys that differ from each other or from the row. Between them live
 * fillers that come and go by thousands, which is what has pages freed and used again.
 */
import { Prng } from "../../base/prng.ts";
import type { BackendWriter } from "../../mvcc/backend.ts";
import { writeRevisionKey } from "../revision-key.ts";

export const GROUPS = 64;
const KEYS_A_GROUP = 8;
/** Revisions from one group key to the next; fillers have those between. */
const GAP = 64;
const FILLERS_MAX = 6000;
const HEADER_BYTES = 8;
/** Larger than two pages, so on overflow pages. */
const LARGE_BYTES = 9000;

/** Main revision of key `index` of `group`. */
export function groupMain(group: number, index: number): number {
  return (index * GROUPS + group) * GAP + GAP;
}

export function groupMains(group: number): number[] {
  return Array.from({ length: KEYS_A_GROUP }, (_, index) => groupMain(group, index));
}

export function groupName(group: number): Uint8Array {
  return Buffer.from(`group ${group}`);
}

export const TOTALS_NAME = Buffer.from("totals");

/** What a record adds to the sum over all of them. */
export function weigh(main: number, commit: number, length: number): number {
  return (Math.imul(main, 0x9e3779b1) ^ Math.imul(commit, 0x85ebca6b) ^ length) >>> 0;
}

/** u32 main, u32 commit, and a byte of both to the end. */
export function makeValue(main: number, commit: number, length: number): Uint8Array {
  const value = new Uint8Array(length).fill(main + commit);
  const view = new DataView(value.buffer);
  view.setUint32(0, main);
  view.setUint32(4, commit);
  return value;
}

/** The commit that wrote this value of `main`. @throws when it is not a value of `main`, whole */
export function checkValue(main: number, bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0) !== main) throw new Error(`revision ${main} has the value of ${view.getUint32(0)}`);
  const commit = view.getUint32(4);
  const fill = (main + commit) & 0xff;
  for (let i = HEADER_BYTES; i < bytes.length; i++) {
    if (bytes[i] !== fill) throw new Error(`revision ${main} of commit ${commit}: byte ${i} is ${bytes[i]}, not ${fill}`);
  }
  return commit;
}

/** Writes commits that keep the rules above. */
export class ModelWriter {
  commits = 0;
  readonly #backend: BackendWriter;
  readonly #prng: Prng;
  readonly #weights = new Map<number, number>();
  readonly #fillers: number[] = [];
  #sum = 0;
  readonly #key = new Uint8Array(17);

  constructor(backend: BackendWriter, seed: number) {
    this.#backend = backend;
    this.#prng = new Prng(seed);
  }

  /** The first commit: every group. */
  begin(): void {
    this.commits++;
    for (let group = 0; group < GROUPS; group++) this.#rewrite(group);
    this.#commit();
  }

  step(): void {
    this.commits++;
    this.#rewrite(this.#prng.below(GROUPS));
    // Now and then all at once, so that whole branches of the tree go and come back elsewhere.
    const kind = this.#prng.below(100);
    if (kind === 0) this.#deleteFillers(this.#fillers.length >> 1);
    else if (kind === 1) this.#putFillers(FILLERS_MAX >> 3);
    else if (kind % 2 === 0) this.#deleteFillers(this.#prng.below(12));
    else this.#putFillers(this.#prng.below(14));
    this.#commit();
  }

  #rewrite(group: number): void {
    for (const main of groupMains(group)) this.#put(main, this.#prng.below(20) === 0 ? LARGE_BYTES : 10 + this.#prng.below(1500));
    const row = new Uint8Array(4);
    new DataView(row.buffer).setUint32(0, this.commits);
    this.#backend.put("cluster", groupName(group), row);
  }

  #putFillers(count: number): void {
    for (let i = 0; i < count && this.#fillers.length < FILLERS_MAX; i++) {
      const main = this.#prng.below(GROUPS * KEYS_A_GROUP * GAP);
      if (main % GAP === 0) continue;
      if (!this.#weights.has(main)) this.#fillers.push(main);
      this.#put(main, 10 + this.#prng.below(600));
    }
  }

  #deleteFillers(count: number): void {
    for (let i = 0; i < count && this.#fillers.length > 0; i++) {
      const at = this.#prng.below(this.#fillers.length);
      const main = this.#fillers[at];
      this.#fillers[at] = this.#fillers.at(-1) as number;
      this.#fillers.pop();
      writeRevisionKey(this.#key, 0, main, 0, false);
      this.#backend.deleteRevision(this.#key);
      this.#sum -= this.#weights.get(main) as number;
      this.#weights.delete(main);
    }
  }

  #put(main: number, length: number): void {
    writeRevisionKey(this.#key, 0, main, 0, false);
    this.#backend.putRevision(this.#key, makeValue(main, this.commits, length));
    const weight = weigh(main, this.commits, length);
    this.#sum += weight - (this.#weights.get(main) ?? 0);
    this.#weights.set(main, weight);
  }

  #commit(): void {
    const totals = Buffer.from(JSON.stringify({ commit: this.commits, records: this.#weights.size, sum: this.#sum }));
    this.#backend.put("cluster", TOTALS_NAME, totals);
    this.#backend.commit(this.commits, 1);
  }
}
