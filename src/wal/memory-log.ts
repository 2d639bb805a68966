import type { LogStorage, StoredBatch } from "../raft/log-storage.ts";
import type { EntryBatch, HardState, SnapshotMeta } from "../raft/raft.ts";
import { WalBatch } from "./wal-batch.ts";

/** Batches that lie idle for the next use. */
const FREE_BATCHES_MAX = 4;

/** The log of a member that keeps nothing on disk: entries live until they have been handed to apply. */
export class MemoryLog implements LogStorage {
  #open = new WalBatch();
  #free: WalBatch[] = [];
  #flushing = false;

  get pendingBytes(): number {
    return this.#open.usedBytes;
  }

  get needsFlush(): boolean {
    return this.#open.mustSync;
  }

  appendEntry(
    type: number,
    term: number,
    index: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    this.#open.keepEntry(type, term, index, bytes, start, end);
    this.#open.mustSync = true;
  }

  /** Nothing is forgotten while this member is there. */
  readonly durableCommit = Number.POSITIVE_INFINITY;

  /** Nothing is kept, but who votes must wait for a flush as with a disk: whatever comes before must have been handled. */
  appendHardState(_state: HardState): void {}

  appendSnapshot(_marker: SnapshotMeta): void {}

  startAfter(marker: SnapshotMeta): void {
    this.#open.rewind();
    this.#open.mustSync = true;
    this.#open.snapshotIndex = marker.index;
  }

  get openBatch(): WalBatch {
    return this.#open;
  }

  get isFlushing(): boolean {
    return this.#flushing;
  }

  async flush(): Promise<StoredBatch> {
    const batch = this.#open;
    this.#open = this.#free.pop() ?? new WalBatch();
    this.#flushing = true;
    await Promise.resolve();
    this.#flushing = false;
    return batch;
  }

  recycle(batch: EntryBatch): void {
    if (this.#free.length >= FREE_BATCHES_MAX || !(batch instanceof WalBatch)) return;
    batch.reset();
    this.#free.push(batch);
  }

  releaseTo(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
