import { assert } from "../../../src/base/assert.ts";
import type { MemoryEntry } from "../../../src/raft/core/memory-entry-store.ts";
import type { SnapshotMeta } from "../../../src/raft/raft.ts";

/** What is durable of one member: the entries behind a base. */
export class StableStorage {
  #baseIndex = 0;
  #entries: MemoryEntry[] = [];

  get firstIndex(): number {
    return this.#baseIndex + 1;
  }

  get lastIndex(): number {
    return this.#baseIndex + this.#entries.length;
  }

  get entries(): readonly MemoryEntry[] {
    return this.#entries;
  }

  /** Replaces what it holds from the first of `entries` on. */
  append(entries: readonly MemoryEntry[]): void {
    const fresh = entries.filter(({ index }) => index >= this.firstIndex);
    if (fresh.length === 0) return;
    assert(fresh[0].index <= this.lastIndex + 1, "missing log entry", fresh[0].index, this.lastIndex);
    this.#entries.splice(fresh[0].index - this.firstIndex);
    this.#entries.push(...fresh);
  }

  /** Puts a snapshot in place of everything. Returns an error's text if it is older. */
  applySnapshot({ index }: SnapshotMeta): string | null {
    if (index <= this.#baseIndex) return "requested index is older than the existing snapshot";
    this.#baseIndex = index;
    this.#entries = [];
    return null;
  }

  /** Drops the entries up to `index`. Returns an error's text if they are gone already. */
  compact(index: number): string | null {
    if (index <= this.#baseIndex) return "requested index is unavailable due to compaction";
    assert(index <= this.lastIndex, "compact beyond the last index", index, this.lastIndex);
    this.#entries.splice(0, index - this.#baseIndex);
    this.#baseIndex = index;
    return null;
  }
}
