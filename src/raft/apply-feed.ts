import { assert } from "../base/assert.ts";
import { copyBytes } from "../base/copy-bytes.ts";
import { FLAG_TRACED, RecordType } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";
import { TRACE_PREFIX_BYTES } from "../ring/trace.ts";
import { decodeConfChange } from "./core/conf-change-entry.ts";
import type { EntryLog } from "./entry-log.ts";
import { EntryType } from "./raft.ts";
import type { ConfChange, EntryBatch } from "./raft.ts";
import type { RaftTracer } from "./raft-tracer.ts";
import type { ReadQueue } from "./read-queue.ts";

/** f64 term, u32 type, u32 zero before the data of an entry record. */
const ENTRY_PREFIX_BYTES = 16;
/** f64 term, u64 leader id, u32 1 if this member leads. */
export const LEADER_BYTES = 20;

/** A conf change that was handed over, while apply looks at it. */
export interface HeldConfChange {
  readonly index: number;
  readonly change: ConfChange;
}

/** An entry longer than the ring takes at once, of which a part is in the ring: nothing else may be written before its end. */
interface EntryInParts {
  readonly index: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  /** Where the rest begins. */
  at: number;
}

/**
 * Hands committed entries and confirmed reads to the apply thread, in the order that makes reads linearizable: a read follows
 * every entry that was committed when it was confirmed. Never blocks: what finds no room stays where it is. Behind a conf change
 * nothing is handed over until apply has said whether it is valid: what follows may depend on it. And a conf change itself waits
 * until a restart would find it committed: once a member has been let go because of it, nobody else may be left who knows.
 */
export class ApplyFeed {
  readonly #ring: RingWriter;
  readonly #entries: EntryLog;
  readonly #reads: ReadQueue;
  readonly #tracer: RaftTracer | null;
  #handedIndex: number;
  #confChange: HeldConfChange | null = null;
  #inParts: EntryInParts | null = null;
  #written = false;
  #neededBytes = 0;
  #awaitsCommit = false;

  constructor(
    ring: RingWriter,
    entries: EntryLog,
    reads: ReadQueue,
    appliedIndex: number,
    tracer: RaftTracer | null,
  ) {
    this.#tracer = tracer;
    this.#ring = ring;
    this.#entries = entries;
    this.#reads = reads;
    this.#handedIndex = appliedIndex;
  }

  /** Every entry up to here is in the ring. */
  get handedIndex(): number {
    return this.#handedIndex;
  }

  /** Everything up to here is as good as applied: conf changes included, the rest in the order of the ring. */
  get appliedIndex(): number {
    return this.#confChange === null ? this.#handedIndex : this.#confChange.index - 1;
  }

  /** The conf change that apply is looking at, null if there is none. */
  get confChange(): HeldConfChange | null {
    return this.#confChange;
  }

  /** Apply has answered, and what it said has been done: the next entries may go. */
  confChangeDone(): void {
    this.#confChange = null;
  }

  /** A snapshot is the state of apply now; entry `index + 1` comes next. (An entry that was begun is ended first; apply leaves it out.) */
  restart(index: number): void {
    this.#handedIndex = index;
    this.#confChange = null;
  }

  /** Payload bytes that the first record without room needs, 0 if nothing waits for room. */
  get neededBytes(): number {
    return this.#neededBytes;
  }

  /** True if a conf change waits for its commit index to be durable. */
  get awaitsDurableCommit(): boolean {
    return this.#awaitsCommit;
  }

  /** Hands over everything up to `index` and the reads that may go between and behind, as far as there is room. */
  handOver(index: number): void {
    this.#neededBytes = 0;
    this.#awaitsCommit = false;
    if (!this.#endParts()) return;
    while (this.#handOverReads() && this.#handedIndex < index && this.#confChange === null) {
      const { batch, last } = this.#entries.find(this.#handedIndex + 1);
      if (!this.#handOverEntries(batch, Math.min(index, last))) break;
    }
    this.#entries.handed(this.#handedIndex);
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
    if (this.#handedIndex < readIndex || !this.#reads.isEmpty || this.#inParts !== null) return false;
    if (!this.#ring.write(RecordType.read, flags, requestId, bytes, start, end)) return false;
    this.#written = true;
    return true;
  }

  /** Puts a record that nobody waits for into the ring, if there is room. */
  passOn(
    type: number,
    flags: number,
    requestId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (this.#inParts === null && this.#ring.write(type, flags, requestId, bytes, start, end))
      this.#written = true;
  }

  /** False if there is no room. */
  leader(term: number, leaderId: bigint, isLeader: boolean): boolean {
    if (!this.#endParts()) return false;
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
      const tracer = (flags & FLAG_TRACED) === 0 ? null : this.#tracer;
      const sinceMs = tracer?.reads.handing(payload) ?? 0;
      const isWritten = this.#ring.write(RecordType.read, flags, requestId, payload, 0, payload.length);
      tracer?.reads.handed(payload, sinceMs, isWritten);
      if (!isWritten) {
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
      const isConfChange = batch.type(index - batch.firstIndex) !== EntryType.normal;
      if (isConfChange && index > this.#entries.durableCommit) {
        this.#awaitsCommit = true;
        return false;
      }
      if (!this.#writeEntry(batch, index - batch.firstIndex, index)) return false;
      this.#noteHanded(index);
      if (isConfChange) {
        this.#holdBehind(batch, index);
        return true;
      }
      if (readsWait && !this.#handOverReads()) return false;
    }
    return true;
  }

  #noteHanded(index: number): void {
    this.#written = true;
    this.#handedIndex = index;
  }

  /** Goes on with an entry that was begun. False if it is not all in the ring yet. */
  #endParts(): boolean {
    const entry = this.#inParts;
    if (entry === null) return true;
    const { index, flags, payload, at } = entry;
    entry.at = this.#ring.writeOn(RecordType.entry, flags, index, payload, 0, payload.length, at);
    if (entry.at > at) this.#written = true;
    if (entry.at < payload.length) {
      this.#neededBytes = Math.min(this.#ring.inlineBytesMax, payload.length - entry.at);
      return false;
    }
    this.#inParts = null;
    if (index <= this.#handedIndex) return true;
    this.#noteHanded(index);
    const { batch } = this.#entries.find(index);
    if (batch.type(index - batch.firstIndex) !== EntryType.normal) this.#holdBehind(batch, index);
    return true;
  }

  #holdBehind(batch: EntryBatch, index: number): void {
    const i = index - batch.firstIndex;
    const data = batch.bytes.subarray(batch.dataStart(i), batch.dataEnd(i));
    const change = decodeConfChange(batch.type(i), data);
    assert(change !== null, "a committed conf change cannot be read", index);
    this.#confChange = { index, change };
  }

  #writeEntry(batch: EntryBatch, i: number, index: number): boolean {
    if (this.#tracer?.isActive) {
      const prefix = this.#tracer.handing(index, batch.term(i));
      if (prefix !== null) return this.#writeTracedEntry(batch, i, index, prefix);
    }
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

  #writeTracedEntry(batch: EntryBatch, i: number, index: number, prefix: Uint8Array): boolean {
    if (!this.#writeLongEntry(batch, i, index, prefix)) return false;
    this.#tracer?.handed(index);
    return true;
  }

  /** For the rare entry that needs parts or carries a trace context: built beside the ring. */
  #writeLongEntry(batch: EntryBatch, i: number, index: number, trace: Uint8Array | null): boolean {
    const start = batch.dataStart(i);
    const end = batch.dataEnd(i);
    const prefix = (trace === null ? 0 : TRACE_PREFIX_BYTES) + ENTRY_PREFIX_BYTES;
    const length = prefix + end - start;
    const fitsAtOnce = length <= this.#ring.payloadBytesMax;
    if (fitsAtOnce && this.#ring.freeBytes() < length) {
      this.#neededBytes = length;
      return false;
    }
    const payload = new Uint8Array(length);
    if (trace !== null) payload.set(trace);
    writeEntryPrefix(new DataView(payload.buffer), prefix - ENTRY_PREFIX_BYTES, batch, i);
    copyBytes(batch.bytes, start, end, payload, prefix);
    const flags = trace === null ? 0 : FLAG_TRACED;
    if (!fitsAtOnce) {
      this.#inParts = { index, flags, payload, at: 0 };
      return this.#endParts();
    }
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
