/**
 * The in-memory twin of the shared ring: same interface, one thread, plain arrays. For tests and for the simulation, where
 * producer and consumer take turns; it cannot block.
 */

import { assert } from "../base/assert.ts";
import type { RecordHandler, RingReader, RingWriter } from "./ring.ts";

interface StoredRecord {
  type: number;
  flags: number;
  requestId: number;
  payload: Uint8Array;
}

const RECORD_OVERHEAD_BYTES = 16;

/** Both ends of a ring within one thread. `bytes` bounds what waits, as in shared memory. */
export class MemoryRing implements RingWriter, RingReader {
  bytes: Uint8Array;
  view: DataView;
  readonly inlineBytesMax: number;
  readonly payloadBytesMax: number;
  /** Called by publish, in place of a doorbell. */
  onPublish: (() => void) | null = null;

  readonly #capacityBytes: number;
  #usedBytes = 0;
  /** The drain under way is to end. */
  #ended = false;
  #draining = false;
  #committed: StoredRecord[] = [];
  #published: StoredRecord[] = [];
  #roomWaiter: { length: number; resolve: () => void } | null = null;

  constructor(bytes: number) {
    this.#capacityBytes = bytes;
    this.inlineBytesMax = (bytes >>> 2) - RECORD_OVERHEAD_BYTES;
    this.payloadBytesMax = bytes >>> 1;
    this.bytes = new Uint8Array(Math.max(64, this.inlineBytesMax));
    this.view = new DataView(this.bytes.buffer);
  }

  reserve(length: number): number {
    assert(length <= this.inlineBytesMax, "payload too long for one record", length, this.inlineBytesMax);
    return this.#fits(length) ? 0 : -1;
  }

  commit(type: number, flags: number, requestId: number, length: number): void {
    this.#append(type, flags, requestId, this.bytes.slice(0, length));
  }

  recall(): number {
    return -1;
  }

  write(
    type: number,
    flags: number,
    requestId: number,
    payload: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    if (!this.#fits(end - start)) return false;
    this.#append(type, flags, requestId, payload.slice(start, end));
    return true;
  }

  /** All at once, when there is room, or when the ring is empty: it has no parts. */
  writeOn(
    type: number,
    flags: number,
    requestId: number,
    payload: Uint8Array,
    start: number,
    end: number,
    at: number,
  ): number {
    if (this.#usedBytes > 0 && !this.#fits(end - start)) return at;
    this.#append(type, flags, requestId, payload.slice(start, end));
    return end;
  }

  #append(type: number, flags: number, requestId: number, payload: Uint8Array): void {
    this.#usedBytes += payload.length + RECORD_OVERHEAD_BYTES;
    this.#committed.push({ type, flags, requestId, payload });
  }

  get hasUnpublished(): boolean {
    return this.#committed.length > 0;
  }

  publish(): void {
    if (this.#committed.length === 0) return;
    this.publishQuietly();
    this.onPublish?.();
  }

  publishUrgently(): void {
    this.publish();
  }

  publishQuietly(): void {
    this.#published.push(...this.#committed);
    this.#committed = [];
  }

  freeBytes(): number {
    return this.#capacityBytes - this.#usedBytes;
  }

  waitForRoom(length: number): void {
    assert(this.#fits(length), "an in-memory ring cannot wait for room", length, this.freeBytes());
  }

  roomAvailable(length: number): Promise<void> {
    this.publish();
    if (this.#fits(length)) return Promise.resolve();
    this.onPublish?.();
    assert(this.#roomWaiter === null, "one wait a ring at a time");
    return new Promise((resolve) => {
      this.#roomWaiter = { length, resolve };
    });
  }

  isEmpty(): boolean {
    return this.#published.length === 0;
  }

  endDrain(): void {
    this.#ended = true;
  }

  drain(handler: RecordHandler, recordsMax: number): number {
    assert(!this.#draining, "a ring is drained while it is being drained");
    this.#draining = true;
    const batch = this.#published.splice(0, recordsMax);
    let taken = 0;
    this.#ended = false;
    try {
      for (const record of batch) {
        if (this.#ended) break;
        taken++;
        this.#usedBytes -= record.payload.length + RECORD_OVERHEAD_BYTES;
        handler(record.type, record.flags, record.requestId, record.payload, 0, record.payload.length);
      }
    } finally {
      this.#draining = false;
      this.#published.unshift(...batch.slice(taken));
      this.#releaseWaiter();
    }
    return taken;
  }

  #fits(length: number): boolean {
    return this.#usedBytes + length + RECORD_OVERHEAD_BYTES <= this.#capacityBytes;
  }

  #releaseWaiter(): void {
    const waiter = this.#roomWaiter;
    if (waiter === null || !this.#fits(waiter.length)) return;
    this.#roomWaiter = null;
    waiter.resolve();
  }
}
