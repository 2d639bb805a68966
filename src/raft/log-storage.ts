/** What the raft thread needs of its write-ahead log. `Wal` is one, `MemoryLog` and the simulator's disk are others. */

import type { EntryBatch, EntrySink, HardState, SnapshotMeta } from "./raft.ts";

/** A batch of the log as storage hands it over once it is durable. */
export interface StoredBatch extends EntryBatch {
  /** Index of the newest snapshot marker in it, 0 = none. */
  readonly snapshotIndex: number;
}

/**
 * Appends gather in an open batch; one flush at a time makes the batch durable that was open when it began. Records become durable
 * in the order of the calls. An entry with an index that exists replaces that one and everything behind it, also while those are
 * being flushed.
 */
export interface LogStorage extends EntrySink {
  /** Bytes appended and not yet durable. */
  readonly pendingBytes: number;
  /** True if the open batch holds something that must be durable: entries, a new term or vote, a snapshot marker. */
  readonly needsFlush: boolean;
  readonly isFlushing: boolean;
  /** The batch that gathers. Its entries can be read; it is the one that the next {@link flush} resolves with. */
  readonly openBatch: EntryBatch;
  /** Commit index that a restart is sure to find. */
  readonly durableCommit: number;
  /**
   * Appends the hard state if it differs from the last one.
   * @param mustSync its commit index, too, is to be durable with the next flush: {@link needsFlush} is true then
   */
  appendHardState(state: HardState, mustSync?: boolean): void;
  /** Appends a marker: the state machine's storage holds everything up to its index, durably. */
  appendSnapshot(marker: SnapshotMeta): void;
  /** A snapshot takes the place of the log: what is in the open batch is void, a marker is appended, and the next entry is behind it. */
  startAfter(marker: SnapshotMeta): void;
  /**
   * Resolves with the batch, owned by the caller until {@link recycle}. Rejects when nobody knows what the disk holds: then it is over.
   * @param mayBlock the calling thread may wait for the disk, if that has been quick lately
   */
  flush(mayBlock: boolean): Promise<StoredBatch>;
  /** Takes a batch back; its bytes are no longer valid. */
  recycle(batch: EntryBatch): void;
  /** The disk may forget what lies before the entry behind `index`. */
  releaseTo(index: number): Promise<void>;
  /** Flushes what is open and ends. Not while a flush is in flight. */
  close(): Promise<void>;
}
