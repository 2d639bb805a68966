/** Where watchers that are behind read: committed revisions, from the database or through the apply thread. */
import type { BackendReader } from "../mvcc/backend.ts";

/**
 * Takes one record, ascending; false ends the reading in front of it. The KeyValue (of a tombstone: the key alone) is
 * `bytes[start, end)`, borrowed until the call returns.
 */
export type HistoryVisitor = (
  revision: number,
  tombstone: boolean,
  bytes: Uint8Array,
  start: number,
  end: number,
) => boolean;

/** What a reading found; one object, filled again and again. */
export interface HistoryResult {
  /** Everything up to this revision was handed over. */
  through: number;
  /** Compacted revision as of what was read: below it, records may be missing. */
  compactRevision: number;
}

export interface EventHistory {
  /**
   * Reads revisions `from` to `to`. True: done, and `result` is filled. False: records and the result come later, through the
   * loop's ring, as answers to `question`; there is one reading at a time.
   */
  read(from: number, to: number, visit: HistoryVisitor, result: HistoryResult, question: number): boolean;
  /** Storage has committed, to another file perhaps: lets go of what was there before. */
  refresh(): void;
  close(): void;
}

/** Reads the database beside the storage thread. */
export class DatabaseHistory implements EventHistory {
  readonly #reader: BackendReader;
  readonly #compactRevision: (reader: BackendReader) => number;

  /** @param compactRevision reads the compacted revision out of the reader's snapshot, -1 if there is none */
  constructor(reader: BackendReader, compactRevision: (reader: BackendReader) => number) {
    this.#reader = reader;
    this.#compactRevision = compactRevision;
  }

  read(from: number, to: number, visit: HistoryVisitor, result: HistoryResult): true {
    const reader = this.#reader;
    // Pins the newest snapshot; records and compacted revision then come from the same one.
    reader.refresh();
    result.compactRevision = this.#compactRevision(reader);
    result.through = to;
    let last = from - 1;
    reader.scanRevisions(from, (main, _sub, tombstone, bytes, length) => {
      if (main > to) return false;
      if (!visit(main, tombstone, bytes, 0, length)) {
        result.through = last;
        return false;
      }
      last = main;
      return true;
    });
    // No snapshot stays pinned while nobody catches up: the database could not use its pages again.
    reader.refresh();
    return true;
  }

  refresh(): void {
    this.#reader.refresh();
  }

  close(): void {
    this.#reader.close();
  }
}
