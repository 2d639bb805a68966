/**
 * The ring in shared memory: one producer thread, one consumer thread.
 *
 * ```
 *   control (256 bytes)                         data (a power of two)
 *   ┌────────┬────────┬───────────┬─────────┐   ┌──────────────┬────────┬──────────┬─────┬────────┐
 *   │ tail   │ head   │ wants room│ counters│   │ header 16 B  │ payload│ header … │     │ filler │
 *   └────────┴────────┴───────────┴─────────┘   └──────────────┴────────┴──────────┴─────┴────────┘
 *    producer consumer producer     producer      u32 length, u16 type, u16 flags, u64 request id; 8-byte aligned
 * ```
 *
 * `tail` and `head` count 8-byte units and wrap at 2^32; their difference is what waits, and their distance from `base` says where it
 * lies. A record is never split across the end: a filler takes the rest. The producer keeps its own tail and publishes it once a
 * batch; the consumer frees room once a drain. Each side caches the other's position and reads it again only when it must.
 *
 * When the ring is empty, and more than a little of it has been written, the producer moves `base` to where it is: it goes on at the
 * start, so that a ring that is never full takes the memory and the cache of what waits in it, and not all that could. The consumer
 * holds nothing at that moment; it looks at `base` after it has seen a new tail, and the base moves on only when it has taken that.
 */

import { assert } from "../base/assert.ts";
import { copyBytes } from "../base/copy-bytes.ts";
import type { Doorbell } from "./doorbell.ts";
import { FLAG_MORE_PARTS } from "./record-types.ts";
import type { RecordHandler, RingReader, RingStats, RingWriter } from "./ring.ts";

// Positions in the control words; 16 words (a cache line) apart, so that the two sides do not share a line.
const TAIL = 0;
const BASE = 1;
const HEAD = 16;
const WANTS_ROOM = 32;
const STAT_DEPTH_MAX = 48;
const STAT_FULL_WAITS = 49;
const STAT_WAKE_UPS = 50;
const STAT_RECORDS = 51;
const CONTROL_BYTES = 256;

/** Bytes of a record's header. */
export const RECORD_HEADER_BYTES = 16;
/** The smallest ring: its quarter must still hold a small record. */
export const RING_BYTES_MIN = 1024;
/** The largest ring: positions in 8-byte units must stay far below 2^32, and one SharedArrayBuffer below 2 GiB. */
export const RING_BYTES_MAX = 1 << 30;

const TYPE_FILLER = 0xffff;
/**
 * Part of the ring from which on it begins anew at its start when it is empty. In an eighth of an ordinary ring (1 MiB) the last few
 * thousand requests can still be recalled.
 */
const REWIND_SHARE = 1 / 8;
/** What waits is more than a consumer should nap over. */
const DEEP_SHARE = 1 / 8;
/** And not before so many bytes: with less there is nothing to be gained. */
const REWIND_BYTES_MIN = 64 * 1024;
// Flags as stored: bits 0..3 belong to the record, bits 4..15 are the number of a part.
const PART_SHIFT = 4;
const PARTS_MAX = 1 << 12;

/** Makes the memory of one ring. `bytes` is rounded up to a power of two. */
export function createRingMemory(bytes: number): SharedArrayBuffer {
  let capacity = RING_BYTES_MIN;
  while (capacity < bytes) capacity *= 2;
  assert(capacity <= RING_BYTES_MAX, "ring too large", capacity, RING_BYTES_MAX);
  return new SharedArrayBuffer(CONTROL_BYTES + capacity);
}

/** Reads a ring's counters from any thread; torn between two records at worst. */
export function readRingStats(memory: SharedArrayBuffer): RingStats {
  const control = new Uint32Array(memory, 0, CONTROL_BYTES / 4);
  return {
    capacityBytes: memory.byteLength - CONTROL_BYTES,
    depthBytes: ((control[TAIL] - control[HEAD]) >>> 0) * 8,
    depthBytesMax: control[STAT_DEPTH_MAX],
    fullWaits: control[STAT_FULL_WAITS],
    wakeUps: control[STAT_WAKE_UPS],
    records: control[STAT_RECORDS],
  };
}

function paddedUnits(payloadBytes: number): number {
  return (RECORD_HEADER_BYTES + payloadBytes + 7) >>> 3;
}

/** Producer side over shared memory. `doorbell` belongs to the consumer thread. */
export class SharedRingWriter implements RingWriter {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly inlineBytesMax: number;
  readonly payloadBytesMax: number;

  readonly #control: Int32Array;
  readonly #stats: Uint32Array;
  readonly #words: Uint32Array;
  readonly #doorbell: Doorbell;
  readonly #capacityUnits: number;
  readonly #rewindUnits: number;
  readonly #deepUnits: number;
  /** Next unit to write; ahead of the published tail until {@link publish}. */
  #tail: number;
  /** The unit that lies at the start of the data. */
  #base: number;
  /** The consumer's head as last read; never ahead of the true one. */
  #headSeen: number;
  #publishedTail: number;
  #recordsSincePublish = 0;

  constructor(memory: SharedArrayBuffer, doorbell: Doorbell) {
    this.#control = new Int32Array(memory, 0, CONTROL_BYTES / 4);
    this.#stats = new Uint32Array(memory, 0, CONTROL_BYTES / 4);
    this.bytes = new Uint8Array(memory, CONTROL_BYTES);
    this.view = new DataView(memory, CONTROL_BYTES);
    this.#words = new Uint32Array(memory, CONTROL_BYTES);
    this.#doorbell = doorbell;
    this.#capacityUnits = this.bytes.length >>> 3;
    this.#deepUnits = this.#capacityUnits * DEEP_SHARE;
    this.#rewindUnits = Math.max(this.bytes.length * REWIND_SHARE, REWIND_BYTES_MIN) >>> 3;
    this.inlineBytesMax = (this.bytes.length >>> 2) - RECORD_HEADER_BYTES;
    // Half a ring: wherever the end lies, that much fits behind a filler once the consumer has caught up.
    this.payloadBytesMax = (this.bytes.length >>> 1) - 8 * RECORD_HEADER_BYTES;
    this.#tail = Atomics.load(this.#control, TAIL) >>> 0;
    this.#base = Atomics.load(this.#control, BASE) >>> 0;
    this.#publishedTail = this.#tail;
    this.#headSeen = Atomics.load(this.#control, HEAD) >>> 0;
  }

  reserve(length: number): number {
    assert(length <= this.inlineBytesMax, "payload too long for one record", length, this.inlineBytesMax);
    const units = paddedUnits(length);
    let position = this.#position();
    if (position >= this.#rewindUnits && this.#tail === this.#publishedTail)
      position = this.#rewind(position);
    const toEnd = this.#capacityUnits - position;
    const needed = units <= toEnd ? units : units + toEnd;
    if (!this.#hasUnits(needed)) return -1;
    if (units <= toEnd) return (position << 3) + RECORD_HEADER_BYTES;
    this.#words[position << 1] = (toEnd << 3) - RECORD_HEADER_BYTES;
    this.#words[(position << 1) + 1] = TYPE_FILLER;
    this.#tail = (this.#tail + toEnd) >>> 0;
    return RECORD_HEADER_BYTES;
  }

  /** Where the next record lies, in units. */
  #position(): number {
    return (this.#tail - this.#base) & (this.#capacityUnits - 1);
  }

  /** Goes on at the start if the ring is empty; returns the position. */
  #rewind(position: number): number {
    if (this.#usedUnitsNow() > 0) return position;
    this.#base = this.#tail;
    Atomics.store(this.#control, BASE, this.#base | 0);
    return 0;
  }

  commit(type: number, flags: number, requestId: number, length: number): void {
    const position = this.#position();
    const word = position << 1;
    const words = this.#words;
    words[word] = length;
    words[word + 1] = type | (flags << 16);
    words[word + 2] = requestId >>> 0;
    words[word + 3] = Math.floor(requestId / 0x1_0000_0000);
    this.#tail = (this.#tail + paddedUnits(length)) >>> 0;
    this.#recordsSincePublish++;
  }

  recall(offset: number, type: number, requestId: number): number {
    // Records are written upwards, so one whose header stands is whole; the header stands unless its second half is another's, or
    // the newest record ends in its first half.
    const words = this.#words;
    const unit = (offset - RECORD_HEADER_BYTES) >>> 3;
    const word = unit << 1;
    const isThere =
      (words[word + 1] & 0xffff) === type &&
      words[word + 2] === requestId >>> 0 &&
      words[word + 3] === Math.floor(requestId / 0x1_0000_0000) &&
      this.#position() !== unit + 1;
    // What a client wrote may look like a header.
    return isThere && offset + words[word] <= this.bytes.length ? words[word] : -1;
  }

  write(
    type: number,
    flags: number,
    requestId: number,
    payload: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    const length = end - start;
    if (length > this.inlineBytesMax) return this.#writeParts(type, flags, requestId, payload, start, end);
    const offset = this.reserve(length);
    if (offset < 0) return false;
    copyBytes(payload, start, end, this.bytes, offset);
    this.commit(type, flags, requestId, length);
    return true;
  }

  #writeParts(
    type: number,
    flags: number,
    requestId: number,
    payload: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    assert(
      end - start <= this.payloadBytesMax,
      "payload longer than the ring takes",
      end - start,
      this.payloadBytesMax,
    );
    // A quarter of the ring a part: at most three, and a filler of less than a quarter.
    if (!this.#hasUnits(this.#unitsForParts(end - start))) return false;
    const written = this.writeOn(type, flags, requestId, payload, start, end, start);
    assert(written === end, "no room for a part that was counted");
    return true;
  }

  writeOn(
    type: number,
    flags: number,
    requestId: number,
    payload: Uint8Array,
    start: number,
    end: number,
    at: number,
  ): number {
    while (at < end) {
      const length = Math.min(this.inlineBytesMax, end - at);
      const offset = this.reserve(length);
      if (offset < 0) return at;
      const part = (at - start) / this.inlineBytesMax;
      assert(part < PARTS_MAX, "too many parts", part);
      copyBytes(payload, at, at + length, this.bytes, offset);
      at += length;
      this.commit(type, flags | (at < end ? FLAG_MORE_PARTS : 0) | (part << PART_SHIFT), requestId, length);
    }
    return at;
  }

  #unitsForParts(length: number): number {
    let units = 0;
    let position = this.#position();
    for (let rest = length; rest > 0;) {
      const take = Math.min(this.inlineBytesMax, rest);
      const need = paddedUnits(take);
      const toEnd = this.#capacityUnits - position;
      if (need > toEnd) {
        units += toEnd;
        position = 0;
      }
      units += need;
      position = (position + need) & (this.#capacityUnits - 1);
      rest -= take;
    }
    return units;
  }

  #hasUnits(units: number): boolean {
    const usedMax = this.#capacityUnits - units;
    return this.#usedUnits() <= usedMax || this.#usedUnitsNow() <= usedMax;
  }

  /** What is written and not consumed, as far as is known: the consumer may have gone on. */
  #usedUnits(): number {
    return (this.#tail - this.#headSeen) >>> 0;
  }

  #usedUnitsNow(): number {
    this.#headSeen = Atomics.load(this.#control, HEAD) >>> 0;
    return this.#usedUnits();
  }

  get hasUnpublished(): boolean {
    return this.#tail !== this.#publishedTail;
  }

  publish(): void {
    if (this.#tail === this.#publishedTail) return;
    this.publishQuietly();
    if (this.#isDeep()) this.#wakeUrgently();
    else if (this.#doorbell.ring()) this.#countWakeUp();
  }

  publishUrgently(): void {
    this.publishQuietly();
    this.#wakeUrgently();
  }

  /** So much waits that a consumer should not nap on. */
  #isDeep(): boolean {
    return this.#usedUnits() >= this.#deepUnits && this.#usedUnitsNow() >= this.#deepUnits;
  }

  publishQuietly(): void {
    if (this.#tail === this.#publishedTail) return;
    const stats = this.#stats;
    // By what was known long ago nearly every ring would have been full once.
    if (this.#usedUnits() << 3 > stats[STAT_DEPTH_MAX])
      stats[STAT_DEPTH_MAX] = Math.max(stats[STAT_DEPTH_MAX], this.#usedUnitsNow() << 3);
    stats[STAT_RECORDS] = stats[STAT_RECORDS] + this.#recordsSincePublish;
    this.#recordsSincePublish = 0;
    this.#publishedTail = this.#tail;
    Atomics.store(this.#control, TAIL, this.#tail | 0);
  }

  #wakeUrgently(): void {
    if (this.#doorbell.ringUrgently()) this.#countWakeUp();
  }

  #countWakeUp(): void {
    this.#stats[STAT_WAKE_UPS] = this.#stats[STAT_WAKE_UPS] + 1;
  }

  freeBytes(): number {
    return (this.#capacityUnits - this.#usedUnitsNow()) << 3;
  }

  #fits(length: number): boolean {
    if (length > this.inlineBytesMax) return this.#hasUnits(this.#unitsForParts(length));
    const units = paddedUnits(length);
    const toEnd = this.#capacityUnits - this.#position();
    return this.#hasUnits(units <= toEnd ? units : units + toEnd);
  }

  /** Announces the wait; returns the head to wait on, or -1 if `length` fits after all. */
  #prepareWait(length: number): number {
    this.publish();
    if (this.#fits(length)) return -1;
    // What fills the ring may have been published quietly.
    this.#wakeUrgently();
    Atomics.store(this.#control, WANTS_ROOM, 1);
    const head = Atomics.load(this.#control, HEAD);
    if (this.#fits(length)) {
      Atomics.store(this.#control, WANTS_ROOM, 0);
      return -1;
    }
    return head >>> 0;
  }

  waitForRoom(length: number): void {
    for (let waited = false; ; waited = true) {
      const head = this.#prepareWait(length);
      if (head === -1) return;
      if (!waited) this.#countFullWait();
      Atomics.wait(this.#control, HEAD, head | 0);
    }
  }

  async roomAvailable(length: number): Promise<void> {
    for (let waited = false; ; waited = true) {
      const head = this.#prepareWait(length);
      if (head === -1) return;
      if (!waited) this.#countFullWait();
      const result = Atomics.waitAsync(this.#control, HEAD, head | 0);
      if (result.async) await result.value;
    }
  }

  #countFullWait(): void {
    this.#stats[STAT_FULL_WAITS] = this.#stats[STAT_FULL_WAITS] + 1;
  }
}

/** Consumer side over shared memory. */
export class SharedRingReader implements RingReader {
  readonly #control: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #capacityUnits: number;
  #head: number;
  /** The producer's, as of the last drain. */
  #base = 0;
  #draining = false;
  /** The drain under way is to end. */
  #ended = false;
  /** Parts of a long payload, until the last one is here. */
  #partial: Uint8Array | null = null;
  #partialBytes = 0;
  #nextPart = 0;

  constructor(memory: SharedArrayBuffer) {
    this.#control = new Int32Array(memory, 0, CONTROL_BYTES / 4);
    this.#bytes = new Uint8Array(memory, CONTROL_BYTES);
    this.#words = new Uint32Array(memory, CONTROL_BYTES);
    this.#capacityUnits = this.#bytes.length >>> 3;
    this.#head = Atomics.load(this.#control, HEAD) >>> 0;
  }

  isEmpty(): boolean {
    return Atomics.load(this.#control, TAIL) >>> 0 === this.#head;
  }

  drain(handler: RecordHandler, recordsMax: number): number {
    // It would free what the outer handler has borrowed, and pass by the tail that the outer drain ends at.
    assert(!this.#draining, "a ring is drained while it is being drained");
    const tail = Atomics.load(this.#control, TAIL) >>> 0;
    if (tail === this.#head) return 0;
    this.#draining = true;
    this.#base = Atomics.load(this.#control, BASE) >>> 0;
    let records = 0;
    this.#ended = false;
    try {
      while (this.#head !== tail && records < recordsMax && !this.#ended) records += this.#take(handler);
    } finally {
      this.#draining = false;
      this.#free();
    }
    return records;
  }

  endDrain(): void {
    this.#ended = true;
  }

  /** Consumes one record or filler; returns 1 if a whole record was handed over. */
  #take(handler: RecordHandler): number {
    const position = (this.#head - this.#base) & (this.#capacityUnits - 1);
    const word = position << 1;
    const length = this.#words[word];
    const typeAndFlags = this.#words[word + 1];
    const type = typeAndFlags & 0xffff;
    // A filler in the last 8 bytes announces -8 bytes of payload: its header is cut short.
    this.#head = (this.#head + ((RECORD_HEADER_BYTES + (length | 0) + 7) >>> 3)) >>> 0;
    if (type === TYPE_FILLER) return 0;
    const requestId = this.#words[word + 2] + this.#words[word + 3] * 0x1_0000_0000;
    const start = (position << 3) + RECORD_HEADER_BYTES;
    const flags = typeAndFlags >>> 16;
    if ((flags & FLAG_MORE_PARTS) === 0 && this.#nextPart === 0) {
      handler(type, flags, requestId, this.#bytes, start, start + length);
      return 1;
    }
    return this.#takePart(handler, type, flags, requestId, start, length);
  }

  #takePart(
    handler: RecordHandler,
    type: number,
    flags: number,
    requestId: number,
    start: number,
    length: number,
  ): number {
    assert(
      flags >>> PART_SHIFT === this.#nextPart,
      "parts out of order",
      flags >>> PART_SHIFT,
      this.#nextPart,
    );
    // Parts but the last are all as long as the first, and there are seldom more than four.
    this.#partial ??= new Uint8Array(length * 4);
    if (this.#partialBytes + length > this.#partial.length) this.#growPartial();
    copyBytes(this.#bytes, start, start + length, this.#partial, this.#partialBytes);
    this.#partialBytes += length;
    this.#nextPart++;
    if ((flags & FLAG_MORE_PARTS) !== 0) return 0;
    const whole = this.#partial;
    const bytes = this.#partialBytes;
    this.#partial = null;
    this.#partialBytes = 0;
    this.#nextPart = 0;
    handler(type, flags & ((1 << PART_SHIFT) - 1), requestId, whole, 0, bytes);
    return 1;
  }

  #growPartial(): void {
    const partial = this.#partial as Uint8Array;
    this.#partial = new Uint8Array(partial.length * 2);
    this.#partial.set(partial);
  }

  #free(): void {
    const control = this.#control;
    Atomics.store(control, HEAD, this.#head | 0);
    if (Atomics.load(control, WANTS_ROOM) === 1 && Atomics.exchange(control, WANTS_ROOM, 0) === 1) {
      Atomics.notify(control, HEAD, 1);
    }
  }
}
