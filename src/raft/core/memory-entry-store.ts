import { assert } from "../../base/assert.ts";
import type { EntryBatch, EntrySlice, EntryStore, SnapshotMeta } from "../raft.ts";
import { entryEncodedBytes } from "./entry-size.ts";

/** One entry as tests look at it. */
export interface MemoryEntry {
  readonly type: number;
  readonly term: number;
  readonly index: number;
  readonly data: Uint8Array;
}

/** An {@link EntryStore} of plain objects, for tests and the simulation. Nothing handed out ever changes. */
export class MemoryEntryStore implements EntryStore {
  /** Entries from {@link firstIndex} on, without gaps. */
  #entries: MemoryEntry[] = [];
  #firstIndex: number;

  /** @param baseIndex the entry in front of the first one, 0 for a new log */
  constructor(baseIndex = 0, entries: readonly MemoryEntry[] = []) {
    this.#firstIndex = baseIndex + 1;
    for (const { type, term, index, data } of entries) {
      this.appendEntry(type, term, index, data, 0, data.length);
    }
  }

  get firstIndex(): number {
    return this.#firstIndex;
  }

  get lastIndex(): number {
    return this.#firstIndex + this.#entries.length - 1;
  }

  appendEntry(
    type: number,
    term: number,
    index: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    assert(
      index >= this.#firstIndex && index <= this.lastIndex + 1,
      "entry outside the log",
      index,
      this.#firstIndex,
      this.lastIndex,
    );
    this.#entries.length = index - this.#firstIndex;
    this.#entries.push({ type, term, index, data: bytes.slice(start, end) });
  }

  slices(first: number, last: number, bytesMax: number): readonly EntrySlice[] {
    const entries = this.entries(first, last, bytesMax);
    return [{ batch: new MemoryBatch(entries), from: 0, count: entries.length }];
  }

  /** As {@link slices}, as objects. */
  entries(first: number, last: number, bytesMax = Infinity): MemoryEntry[] {
    assert(
      first >= this.#firstIndex && first <= last && last <= this.lastIndex,
      "entries outside the log",
      first,
      last,
      this.#firstIndex,
      this.lastIndex,
    );
    const taken: MemoryEntry[] = [];
    let bytes = 0;
    for (let index = first; index <= last; index++) {
      const entry = this.#entries[index - this.#firstIndex];
      bytes += entryEncodedBytes(entry.term, entry.index, entry.data.length);
      if (bytes > bytesMax && taken.length > 0) break;
      taken.push(entry);
    }
    return taken;
  }

  startAfter(snapshot: SnapshotMeta): void {
    this.#entries = [];
    this.#firstIndex = snapshot.index + 1;
  }

  /** Drops entries up to `index`. Tell the core by `compacted`. */
  compact(index: number): void {
    assert(index <= this.lastIndex, "compacted beyond the log", index, this.lastIndex);
    if (index < this.#firstIndex) return;
    this.#entries = this.#entries.slice(index + 1 - this.#firstIndex);
    this.#firstIndex = index + 1;
  }
}

/** Entries of consecutive indexes as a batch that owns its bytes. */
export class MemoryBatch implements EntryBatch {
  readonly bytes: Uint8Array;
  readonly #entries: readonly MemoryEntry[];
  readonly #starts: number[] = [];

  constructor(entries: readonly MemoryEntry[]) {
    this.#entries = entries;
    let end = 0;
    for (const { data } of entries) {
      this.#starts.push(end);
      end += data.length;
    }
    this.bytes = new Uint8Array(end);
    entries.forEach(({ data }, i) => this.bytes.set(data, this.#starts[i]));
  }

  get firstIndex(): number {
    return this.#entries[0]?.index ?? 0;
  }

  get count(): number {
    return this.#entries.length;
  }

  term(i: number): number {
    return this.#entries[i].term;
  }

  type(i: number): number {
    return this.#entries[i].type;
  }

  dataStart(i: number): number {
    return this.#starts[i];
  }

  dataEnd(i: number): number {
    return this.#starts[i] + this.#entries[i].data.length;
  }
}
