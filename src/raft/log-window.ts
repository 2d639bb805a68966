import { assert } from "../base/assert.ts";
import type { EntryBatch } from "./raft.ts";

/**
 * The part of the log that is in memory: batches that storage holds durably, oldest first, each in the buffer it was written
 * from. Today it keeps what was not yet handed to apply; for followers it will keep what they may still need.
 */
export class LogWindow {
  readonly #batches: EntryBatch[] = [];
  readonly #recycle: (batch: EntryBatch) => void;
  #heldBytes = 0;
  /** Index up to which the batch of the last {@link find} is valid: behind it a newer batch replaces its entries. */
  validEnd = 0;

  /** @param recycle takes a batch whose bytes are no longer needed */
  constructor(recycle: (batch: EntryBatch) => void) {
    this.#recycle = recycle;
  }

  /** Bytes of entries held, roughly. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  get batchCount(): number {
    return this.#batches.length;
  }

  /** Takes ownership of a batch; its entries replace those held with the same indexes and behind. */
  push(batch: EntryBatch): void {
    if (batch.count === 0) {
      this.#recycle(batch);
      return;
    }
    this.#batches.push(batch);
    this.#heldBytes += batch.dataEnd(batch.count - 1);
  }

  /** The batch that holds the entry at `index`; sets {@link validEnd}. It must be held. */
  find(index: number): EntryBatch {
    let validEnd = Number.POSITIVE_INFINITY;
    for (let at = this.#batches.length - 1; at >= 0; at--) {
      const batch = this.#batches[at];
      const last = batch.firstIndex + batch.count - 1;
      if (batch.firstIndex <= index && index <= last) {
        this.validEnd = Math.min(last, validEnd);
        return batch;
      }
      validEnd = Math.min(validEnd, batch.firstIndex - 1);
    }
    assert(false, "entry is not in memory", index, this.#batches[0]?.firstIndex);
  }

  /** Lets go of batches that hold nothing above `index`. */
  release(index: number): void {
    while (this.#batches.length > 0) {
      const batch = this.#batches[0];
      if (batch.firstIndex + batch.count - 1 > index) return;
      this.#heldBytes -= batch.dataEnd(batch.count - 1);
      this.#batches.shift();
      this.#recycle(batch);
    }
  }
}
