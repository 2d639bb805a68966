/**
 * The last births and deaths of keys, in a ring. A count at an older revision is the count now minus what was born since plus
 * what died since, so it costs O(births and deaths since), and overwriting a live key costs nothing.
 */
import type { KeyTable } from "./key-table.ts";
import { compareProbes, type Probe } from "./probe.ts";

/** Entries kept: 768 kB. A count at a revision before the oldest of them walks the range instead. */
export const CHANGE_LOG_ENTRIES_MAX = 65_536;

export class ChangeLog {
  readonly #table: KeyTable;
  readonly #mains = new Float64Array(CHANGE_LOG_ENTRIES_MAX);
  /** key id << 1 | born */
  readonly #entries = new Uint32Array(CHANGE_LOG_ENTRIES_MAX);
  /** Entries ever written. */
  #written = 0;
  /** Every birth and death after this revision is in the log. */
  #completeAfter = 0;

  constructor(table: KeyTable) {
    this.#table = table;
  }

  /** Key `id` came to life (`born` 1) or was tombstoned (0) at `main`. */
  add(main: number, id: number, born: number): void {
    const at = this.#written % CHANGE_LOG_ENTRIES_MAX;
    if (this.#written >= CHANGE_LOG_ENTRIES_MAX) this.#completeAfter = this.#mains[at];
    this.#mains[at] = main;
    this.#entries[at] = ((id << 1) | born) >>> 0;
    this.#written++;
  }

  /** Forgets everything: complete after `revision` only. */
  reset(revision: number): void {
    this.#written = 0;
    this.#completeAfter = revision;
  }

  /** Whether {@link growth} can tell what happened after `revision`. */
  reaches(revision: number): boolean {
    return revision >= this.#completeAfter;
  }

  /** Births minus deaths after `revision` among keys >= `start` and < `end` (null: no end). Key ids may not have been freed since. */
  growth(revision: number, start: Probe, end: Probe | null): number {
    if (end !== null && compareProbes(start, end) >= 0) return 0;
    const oldest = Math.max(0, this.#written - CHANGE_LOG_ENTRIES_MAX);
    let growth = 0;
    for (let index = this.#written - 1; index >= oldest; index--) {
      const at = index % CHANGE_LOG_ENTRIES_MAX;
      if (this.#mains[at] <= revision) break;
      const id = this.#entries[at] >>> 1;
      if (this.#table.compare(id, start) < 0 || (end !== null && this.#table.compare(id, end) >= 0)) continue;
      growth += (this.#entries[at] & 1) === 1 ? 1 : -1;
    }
    return growth;
  }
}
