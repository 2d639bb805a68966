import { WalBatch } from "./wal-batch.ts";

/**
 * Bytes of batches that lie idle for their next use; more are left to the garbage collector. In a cluster the log lets go of
 * --snapshot-count entries at once: with less than what those take, each flush would get new memory, and V8 would collect for it.
 */
const FREE_BATCH_BYTES_MAX = 8 * 1024 * 1024;

/** Batches for their next use. */
export class BatchPool {
  readonly #free: WalBatch[] = [];
  #freeBytes = 0;

  /** An empty batch; the caller's until {@link recycle}. */
  take(): WalBatch {
    const batch = this.#free.pop();
    if (batch === undefined) return new WalBatch();
    this.#freeBytes -= batch.bytes.length;
    return batch;
  }

  /** Takes a batch back; its bytes are no longer valid. */
  recycle(batch: WalBatch): void {
    batch.reset();
    const { length } = batch.bytes;
    if (this.#freeBytes + length > FREE_BATCH_BYTES_MAX) return;
    this.#freeBytes += length;
    this.#free.push(batch);
  }
}
