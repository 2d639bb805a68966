/**
 * The in-memory twin of the shared ring: same interface, one thread, plain arrays. For tests and for the simulation, where
 * producer and consumer take turns; it cannot block.
 */

import { assert } from "../base/assert.ts";
import { copyBytes } from "../base/copy-bytes.ts";
import type { RecordHandler, RingReader, RingWriter } from "./ring.ts";

interface StoredRecord {
  type: number;
  flags: number;
  requestId: number;
  /** Where its payload lies in the memory. */
  start: number;
  length: number;
}

const RECORD_OVERHEAD_BYTES = 16;
/** The memory of payloads begins at this size and grows as records wait. */
const MEMORY_BYTES_INITIAL = 1024;

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
  /** Payloads of the records that wait, one behind the other; begins anew when none waits. */
  #memory = new Uint8Array(MEMORY_BYTES_INITIAL);
  #memoryUsed = 0;
  /** Those from {@link #first} to {@link #publishedEnd} are published, and committed up to {@link #committedEnd}; all others are free. */
  readonly #records: StoredRecord[] = [];
  #first = 0;
  #publishedEnd = 0;
  #committedEnd = 0;
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
    this.#append(type, flags, requestId, this.bytes, 0, length);
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
    this.#append(type, flags, requestId, payload, start, end);
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
    this.#append(type, flags, requestId, payload, start, end);
    return end;
  }

  #append(
    type: number,
    flags: number,
    requestId: number,
    source: Uint8Array,
    start: number,
    end: number,
  ): void {
    const length = end - start;
    this.#usedBytes += length + RECORD_OVERHEAD_BYTES;
    if (this.#memoryUsed + length > this.#memory.length) this.#renewMemory(length);
    const at = this.#memoryUsed;
    this.#memoryUsed += length;
    copyBytes(source, start, end, this.#memory, at);
    if (this.#committedEnd === this.#records.length) this.#addRecord();
    const record = this.#records[this.#committedEnd++];
    record.type = type;
    record.flags = flags;
    record.requestId = requestId;
    record.start = at;
    record.length = length;
  }

  /** Takes one that is free, or makes one more when most are in use. */
  #addRecord(): void {
    const spent = this.#first;
    if (spent === 0 || spent < this.#records.length / 2) {
      this.#records.push({ type: 0, flags: 0, requestId: 0, start: 0, length: 0 });
      return;
    }
    this.#records.push(...this.#records.splice(0, spent));
    this.#first = 0;
    this.#publishedEnd -= spent;
    this.#committedEnd -= spent;
  }

  /** Moves what waits to the beginning of new memory: a handler may still be reading the old one. */
  #renewMemory(more: number): void {
    const from = this.#first < this.#committedEnd ? this.#records[this.#first].start : this.#memoryUsed;
    const waiting = this.#memoryUsed - from;
    let bytes = this.#memory.length;
    while (bytes < 2 * (waiting + more)) bytes *= 2;
    const memory = new Uint8Array(bytes);
    memory.set(this.#memory.subarray(from, this.#memoryUsed));
    for (let at = this.#first; at < this.#committedEnd; at++) this.#records[at].start -= from;
    this.#memory = memory;
    this.#memoryUsed = waiting;
  }

  get hasUnpublished(): boolean {
    return this.#publishedEnd < this.#committedEnd;
  }

  publish(): void {
    if (!this.hasUnpublished) return;
    this.publishQuietly();
    this.onPublish?.();
  }

  publishUrgently(): void {
    this.publish();
  }

  publishQuietly(): void {
    this.#publishedEnd = this.#committedEnd;
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
    return this.#first === this.#publishedEnd;
  }

  endDrain(): void {
    this.#ended = true;
  }

  drain(handler: RecordHandler, recordsMax: number): number {
    assert(!this.#draining, "a ring is drained while it is being drained");
    this.#draining = true;
    const count = Math.min(this.#publishedEnd - this.#first, recordsMax);
    let taken = 0;
    this.#ended = false;
    try {
      while (taken < count && !this.#ended) {
        taken++;
        const { type, flags, requestId, start, length } = this.#records[this.#first++];
        this.#usedBytes -= length + RECORD_OVERHEAD_BYTES;
        handler(type, flags, requestId, this.#memory, start, start + length);
      }
    } finally {
      this.#draining = false;
      if (this.#first === this.#committedEnd) this.#beginAnew();
      this.#releaseWaiter();
    }
    return taken;
  }

  #beginAnew(): void {
    this.#first = this.#publishedEnd = this.#committedEnd = 0;
    this.#memoryUsed = 0;
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
