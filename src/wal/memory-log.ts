import type { ConfState, EntryBatch, HardState } from "../raft/raft.ts";
import type { LogStorage, StoredBatch } from "../raft/raft-loop.ts";
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

  appendHardState(_state: HardState): void {}

  appendSnapshot(_marker: { index: number; term: number; confState: ConfState }): void {}

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
