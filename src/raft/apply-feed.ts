import { assert } from "../base/assert.ts";
import { copyBytes } from "../base/copy-bytes.ts";
import { FLAG_TRACED, RecordType } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";
import type { EntryBatch } from "./raft.ts";
import type { LogWindow } from "./log-window.ts";
import type { ReadQueue } from "./read-queue.ts";

/** f64 term, u32 type, u32 zero before the data of an entry record. */
const ENTRY_PREFIX_BYTES = 16;
/** Trace id and span id. */
export const TRACE_CONTEXT_BYTES = 24;
/** f64 term, u64 leader id, u32 1 if this member leads. */
export const LEADER_BYTES = 20;

/**
 * Hands committed entries and confirmed reads to the apply thread, in the order that makes reads linearizable: a read follows
 * every entry that was committed when it was confirmed. Never blocks: what finds no room stays where it is.
 */
export class ApplyFeed {
  readonly #ring: RingWriter;
  readonly #window: LogWindow;
  readonly #reads: ReadQueue;
  /** Trace contexts of sampled proposals that are on their way, by entry index. */
  readonly #traces = new Map<number, Uint8Array>();
  #handedIndex: number;
  #written = false;
  #neededBytes = 0;

  constructor(ring: RingWriter, window: LogWindow, reads: ReadQueue, appliedIndex: number) {
    this.#ring = ring;
    this.#window = window;
    this.#reads = reads;
    this.#handedIndex = appliedIndex;
  }

  /** Every entry up to here is in the ring. */
  get handedIndex(): number {
    return this.#handedIndex;
  }

  /** Payload bytes that the first record without room needs, 0 if nothing waits for room. */
  get neededBytes(): number {
    return this.#neededBytes;
  }

  /** Keeps the trace context of the proposal that became entry `index`. */
  trace(index: number, context: Uint8Array): void {
    this.#traces.set(index, context);
  }

  /** Hands over everything up to `commitIndex` and the reads that may go between and behind, as far as there is room. */
  handOver(commitIndex: number): void {
    this.#neededBytes = 0;
    while (this.#handOverReads() && this.#handedIndex < commitIndex) {
      const batch = this.#window.find(this.#handedIndex + 1);
      const end = Math.min(commitIndex, this.#window.validEnd);
      if (!this.#handOverEntries(batch, end)) break;
    }
    this.#window.release(this.#handedIndex);
  }

  /** Puts a read straight into the ring if it need not wait for anything. */
  tryRead(
    readIndex: number,
    flags: number,
    requestId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    if (this.#handedIndex < readIndex || !this.#reads.isEmpty) return false;
    if (!this.#ring.write(RecordType.read, flags, requestId, bytes, start, end)) return false;
    this.#written = true;
    return true;
  }

  /** False if there is no room. */
  leader(term: number, leaderId: bigint, isLeader: boolean): boolean {
    const done = writeLeader(this.#ring, term, leaderId, isLeader);
    if (done) this.#written = true;
    else this.#neededBytes = LEADER_BYTES;
    return done;
  }

  /** Makes what was written visible. */
  publish(): void {
    if (!this.#written) return;
    this.#written = false;
    this.#ring.publish();
  }

  #handOverReads(): boolean {
    for (let read = this.#reads.firstReady(this.#handedIndex); read !== null;) {
      const { flags, requestId, payload } = read;
      if (!this.#ring.write(RecordType.read, flags, requestId, payload, 0, payload.length)) {
        this.#neededBytes = payload.length;
        return false;
      }
      this.#written = true;
      this.#reads.shift();
      read = this.#reads.firstReady(this.#handedIndex);
    }
    return true;
  }

  #handOverEntries(batch: EntryBatch, end: number): boolean {
    const readsWait = !this.#reads.isEmpty;
    while (this.#handedIndex < end) {
      const index = this.#handedIndex + 1;
      if (!this.#writeEntry(batch, index - batch.firstIndex, index)) return false;
      this.#written = true;
      this.#handedIndex = index;
      if (readsWait && !this.#handOverReads()) return false;
    }
    return true;
  }

  #writeEntry(batch: EntryBatch, i: number, index: number): boolean {
    if (this.#traces.size > 0 && this.#traces.has(index)) return this.#writeTracedEntry(batch, i, index);
    const start = batch.dataStart(i);
    const end = batch.dataEnd(i);
    const length = ENTRY_PREFIX_BYTES + end - start;
    const ring = this.#ring;
    if (length > ring.inlineBytesMax) return this.#writeLongEntry(batch, i, index, null);
    const at = ring.reserve(length);
    if (at < 0) {
      this.#neededBytes = length;
      return false;
    }
    writeEntryPrefix(ring.view, at, batch, i);
    copyBytes(batch.bytes, start, end, ring.bytes, at + ENTRY_PREFIX_BYTES);
    ring.commit(RecordType.entry, 0, index, length);
    return true;
  }

  #writeTracedEntry(batch: EntryBatch, i: number, index: number): boolean {
    if (!this.#writeLongEntry(batch, i, index, this.#traces.get(index) as Uint8Array)) return false;
    this.#traces.delete(index);
    return true;
  }

  /** For the rare entry that needs parts or carries a trace context: built beside the ring. */
  #writeLongEntry(batch: EntryBatch, i: number, index: number, trace: Uint8Array | null): boolean {
    const start = batch.dataStart(i);
    const end = batch.dataEnd(i);
    const prefix = (trace === null ? 0 : TRACE_CONTEXT_BYTES) + ENTRY_PREFIX_BYTES;
    const length = prefix + end - start;
    assert(
      length <= this.#ring.payloadBytesMax,
      "entry larger than the apply ring",
      length,
      this.#ring.payloadBytesMax,
    );
    if (this.#ring.freeBytes() < length) {
      this.#neededBytes = length;
      return false;
    }
    const payload = new Uint8Array(length);
    if (trace !== null) payload.set(trace);
    writeEntryPrefix(new DataView(payload.buffer), prefix - ENTRY_PREFIX_BYTES, batch, i);
    copyBytes(batch.bytes, start, end, payload, prefix);
    const flags = trace === null ? 0 : FLAG_TRACED;
    const done = this.#ring.write(RecordType.entry, flags, index, payload, 0, length);
    if (!done) this.#neededBytes = length;
    return done;
  }
}

function writeEntryPrefix(view: DataView, at: number, batch: EntryBatch, i: number): void {
  view.setFloat64(at, batch.term(i), true);
  view.setUint32(at + 8, batch.type(i), true);
  view.setUint32(at + 12, 0, true);
}

/** Writes a `leader` record; false if the ring has no room. */
export function writeLeader(ring: RingWriter, term: number, leaderId: bigint, isLeader: boolean): boolean {
  const at = ring.reserve(LEADER_BYTES);
  if (at < 0) return false;
  ring.view.setFloat64(at, term, true);
  ring.view.setBigUint64(at + 8, leaderId, true);
  ring.view.setUint32(at + 16, isLeader ? 1 : 0, true);
  ring.commit(RecordType.leader, 0, 0, LEADER_BYTES);
  return true;
}
