import { assert } from "../base/assert.ts";
import { type EntryLog, RETAINED_BYTES_MAX, RETAINED_BYTES_SNAPSHOT_MAX } from "./entry-log.ts";
import type { LogStorage } from "./log-storage.ts";
import type { Consensus } from "./raft.ts";
import type { LoopLog, RaftLoopOptions } from "./raft-loop-options.ts";

/**
 * How much of the log is kept, in memory and on disk: nothing goes that this member's storage, or within limits a follower, still
 * needs. Once in a while it notes in the log how far storage is; when that marker is durable, older segments may go.
 */
export class LogRetention {
  readonly #consensus: Consensus;
  readonly #storage: LogStorage;
  readonly #entries: EntryLog;
  readonly #snapshotCount: number;
  readonly #catchUpEntries: number;
  readonly #log: LoopLog;
  /** Newest index that the state machine's storage acknowledged. */
  #storageIndex: number;
  /** Newest marker appended. */
  #markerIndex: number;
  /** Of the newest one that storage's own progress has made, until it is durable; then 0. */
  #ownMarkerIndex = 0;
  /** Followers need no entries up to here. */
  #compactIndex: number;

  constructor(options: RaftLoopOptions) {
    const { appliedIndex, snapshotIndex, snapshotCount, catchUpEntries } = options;
    this.#consensus = options.consensus;
    this.#storage = options.storage;
    this.#entries = options.entries;
    this.#snapshotCount = snapshotCount;
    this.#catchUpEntries = catchUpEntries;
    this.#log = options.log;
    this.#storageIndex = appliedIndex;
    this.#markerIndex = snapshotIndex;
    this.#compactIndex = Math.max(0, snapshotIndex - catchUpEntries);
  }

  /**
   * The state machine's storage holds everything up to `index`.
   * @param mayMark false while the configuration, or the state itself, is not the one of `index`
   */
  storageCommitted(index: number, mayMark: boolean): void {
    if (index <= this.#storageIndex) return;
    const { commitIndex, confState } = this.#consensus;
    assert(index <= commitIndex, "storage is ahead of raft", index, commitIndex);
    this.#storageIndex = index;
    if (!mayMark || index - this.#markerIndex < this.#snapshotCount) return;
    this.#storage.appendHardState(this.#consensus.ready().hardState);
    this.#storage.appendSnapshot({ index, term: this.#entries.terms.termAt(index), confState });
    this.#markerIndex = index;
    this.#ownMarkerIndex = index;
  }

  /** The marker of `index` is durable. `isAlone`: there are no followers to keep anything for. */
  markerStored(index: number, isAlone: boolean): void {
    if (index !== this.#markerIndex) return;
    if (index === this.#ownMarkerIndex) {
      this.#ownMarkerIndex = 0;
      // etcd's words: those who watch logs for them learn by them from where on a restart, or a follower, needs the log.
      this.#log("info", "saved snapshot to disk", { "snapshot-index": index });
    }
    this.#compactIndex = Math.max(0, index - this.#catchUpEntries);
    this.#release(isAlone ? index : this.#compactIndex);
  }

  /** A snapshot up to `index` has become the state; its marker is durable. */
  snapshotInstalled(index: number): void {
    this.#storageIndex = Math.max(this.#storageIndex, index);
    this.#markerIndex = index;
    this.#compactIndex = index;
    this.#release(index);
  }

  /**
   * Lets go of entries in memory that nobody needs.
   * @param holdsLog a follower that is sent a snapshot will need what comes behind it
   */
  compact(appliedIndex: number, isAlone: boolean, holdsLog: boolean): void {
    const limit = holdsLog ? RETAINED_BYTES_SNAPSHOT_MAX : RETAINED_BYTES_MAX;
    const unneeded = isAlone ? appliedIndex : holdsLog ? 0 : Math.min(this.#compactIndex, appliedIndex);
    const durable = Math.min(this.#storageIndex, appliedIndex);
    if (this.#entries.compact(unneeded, durable, limit))
      this.#consensus.compacted(this.#entries.firstIndex - 1);
  }

  #release(index: number): void {
    this.#storage.releaseTo(index).catch((error: unknown) => {
      // Segments that could not be deleted cost space only; the next marker tries again.
      this.#log("warn", "failed to purge WAL segments", { error: String(error) });
    });
  }
}
