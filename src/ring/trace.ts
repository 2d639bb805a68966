/**
 * What a sampled request carries through the rings, and how the threads report where its time went.
 *
 * ```
 *   record with FLAG_TRACED:  trace id 16 B │ span id 8 B │ f64 sent ms │ the payload as it is without
 *   record `span`:            trace id 16 B │ span id 8 B │ parent span id 8 B │ f64 start ms │ f64 end ms │ u32 code │ u32 0 │ u64 value
 * ```
 *
 * The span id of a record is that of the span which everything that follows from the record is part of. Times are milliseconds of a
 * clock that all threads of a process share; main alone knows what time of day that is. A thread reports a span when it has
 * ended, through its ring to main: what finds no room there is lost, nobody waits for it. A request that is not sampled has no
 * flag, and nothing here is called for it. What the codes are called outside: `src/telemetry/span-names.ts`.
 */

import { copyBytes } from "../base/copy-bytes.ts";
import type { Prng } from "../base/prng.ts";
import { viewOf } from "../base/bytes.ts";
import { RecordType } from "./record-types.ts";
import type { RingWriter } from "./ring.ts";

export const TRACE_ID_BYTES = 16;
export const SPAN_ID_BYTES = 8;
/** A trace id and the id of a span in it. */
export const TRACE_CONTEXT_BYTES = TRACE_ID_BYTES + SPAN_ID_BYTES;
/** What stands in front of the payload of a record with FLAG_TRACED. */
export const TRACE_PREFIX_BYTES = TRACE_CONTEXT_BYTES + 8;
/** Payload of a `span` record. */
export const SPAN_RECORD_BYTES = 64;

const SENT_AT = TRACE_CONTEXT_BYTES;
const PARENT_AT = TRACE_CONTEXT_BYTES;
const START_AT = 32;
const END_AT = 40;
const CODE_AT = 48;
const VALUE_AT = 56;

/** What a span is about; its value is in parentheses. */
export const SpanCode = {
  /** From main's commit of a record to its taking, by ring. */
  ringMainToRaft: 1,
  ringMainToApply: 2,
  ringRaftToApply: 3,
  ringApplyToStorage: 4,
  ringApplyToWatch: 5,
  ringApplyToMain: 6,
  /** A proposal in the open batch, until the flush that it waits for begins (entry index). */
  propose: 10,
  /** The flush that makes an entry durable (entry index). */
  walFlush: 11,
  /** From sending an entry to a member to its acknowledgement (id of the member). */
  replicate: 12,
  /** On that member: from the arrival of an entry to its flush and acknowledgement (entry index). */
  append: 13,
  /** From the log to the apply ring: durable here and on a quorum (entry index). */
  commit: 14,
  /** A proposal that another member leads for: gathered and handed to the connection (id of the leader). */
  forward: 15,
  /** Confirmation of leadership for a linearizable read. */
  readIndex: 16,
  /** A leader confirms its leadership for reads of another member (id of that member). */
  readRound: 17,
  /** An entry changes the state (entry index). */
  apply: 20,
  /** A read is answered, or its answer begun. */
  read: 21,
  /** A change in the open transaction, until its commit begins (entry index). */
  storageBatch: 30,
  /** The commit (entry index). */
  storageCommit: 31,
  /** Events of an entry to its watchers (number of events). */
  watchDeliver: 40,
  /** On main: from the watch thread's record to the sockets (number of events). */
  watchWrite: 41,
  /** On main: from the answer to the socket. */
  response: 42,
} as const;

/** When the record with this prefix was put into its ring. */
export function sentMsOf(bytes: Uint8Array, start: number): number {
  return viewOf(bytes).getFloat64(bytes.byteOffset + start + SENT_AT, true);
}

/** Stamps a prefix anew: the record goes on into the next ring. */
export function stampPrefix(bytes: Uint8Array, start: number, sentMs: number): void {
  viewOf(bytes).setFloat64(bytes.byteOffset + start + SENT_AT, sentMs, true);
}

/** Writes the prefix of a record; `context` is {@link TRACE_CONTEXT_BYTES} long. */
export function writePrefix(bytes: Uint8Array, start: number, context: Uint8Array, sentMs: number): void {
  copyBytes(context, 0, TRACE_CONTEXT_BYTES, bytes, start);
  stampPrefix(bytes, start, sentMs);
}

/** A copy of the trace context at `start`. */
export function contextAt(bytes: Uint8Array, start: number): Uint8Array {
  return new Uint8Array(bytes.subarray(start, start + TRACE_CONTEXT_BYTES));
}

/** A span as a thread reported it. */
export interface SpanRecord {
  readonly code: number;
  /** Trace id and the span's own id. */
  readonly context: Uint8Array;
  readonly parentId: Uint8Array;
  readonly startMs: number;
  readonly endMs: number;
  /** See {@link SpanCode}. */
  readonly value: bigint;
}

/** Reads the payload of a `span` record; copies what it returns. */
export function readSpanRecord(bytes: Uint8Array, start: number): SpanRecord {
  const view = viewOf(bytes);
  const at = bytes.byteOffset + start;
  return {
    code: view.getUint32(at + CODE_AT, true),
    context: contextAt(bytes, start),
    parentId: new Uint8Array(bytes.subarray(start + PARENT_AT, start + PARENT_AT + SPAN_ID_BYTES)),
    startMs: view.getFloat64(at + START_AT, true),
    endMs: view.getFloat64(at + END_AT, true),
    value: view.getBigUint64(at + VALUE_AT, true),
  };
}

/** A thread's way to report spans. Only sampled requests get here, so it may allocate. */
export class SpanReporter {
  /** Milliseconds of the clock that all threads share. */
  readonly nowMs: () => number;
  readonly #ring: RingWriter;
  readonly #prng: Prng;
  #written = false;

  /** @param ring to main; the thread may use it for other records as well */
  constructor(ring: RingWriter, nowMs: () => number, prng: Prng) {
    this.#ring = ring;
    this.nowMs = nowMs;
    this.#prng = prng;
  }

  /** The context of a new span in the trace of `parent`. */
  child(parent: Uint8Array): Uint8Array {
    const context = contextAt(parent, 0);
    const view = viewOf(context);
    view.setUint32(TRACE_ID_BYTES, this.#prng.nextUint32());
    // An id of zeros means none.
    view.setUint32(TRACE_ID_BYTES + 4, this.#prng.nextUint32() | 1);
    return context;
  }

  /** Reports a span of no consequence: nothing is part of it. `parent` is the context it stands in. */
  report(code: number, parent: Uint8Array, startMs: number, endMs: number, value: number | bigint = 0): void {
    this.reportAs(code, this.child(parent), parent, startMs, endMs, value);
  }

  /** Reports a span whose own context was made before it ended. */
  reportAs(
    code: number,
    context: Uint8Array,
    parent: Uint8Array,
    startMs: number,
    endMs: number,
    value: number | bigint = 0,
  ): void {
    const ring = this.#ring;
    const at = ring.reserve(SPAN_RECORD_BYTES);
    if (at < 0) return;
    copyBytes(context, 0, TRACE_CONTEXT_BYTES, ring.bytes, at);
    copyBytes(parent, TRACE_ID_BYTES, TRACE_CONTEXT_BYTES, ring.bytes, at + PARENT_AT);
    ring.view.setFloat64(at + START_AT, startMs, true);
    ring.view.setFloat64(at + END_AT, endMs, true);
    ring.view.setUint32(at + CODE_AT, code, true);
    ring.view.setUint32(at + CODE_AT + 4, 0, true);
    ring.view.setBigUint64(at + VALUE_AT, BigInt(value), true);
    ring.commit(RecordType.span, 0, 0, SPAN_RECORD_BYTES);
    this.#written = true;
  }

  /** Reports the wait in a ring of the record with this prefix; returns when it ended. */
  reportWait(code: number, bytes: Uint8Array, start: number): number {
    const nowMs = this.nowMs();
    this.report(code, contextAt(bytes, start), sentMsOf(bytes, start), nowMs);
    return nowMs;
  }

  /** Makes what was reported visible to main. */
  publish(): void {
    if (!this.#written) return;
    this.#written = false;
    this.#ring.publish();
  }
}
