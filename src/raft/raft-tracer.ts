/**
 * What the raft thread knows of sampled requests: which entries are theirs, and when each step of theirs began; of reads
 * `read-tracer.ts` knows. It looks on: the loop tells it what happens, and nothing that it does changes what the loop does. While no
 * sampled request is under way, it is asked nothing but {@link RaftTracer.isActive}.
 *
 * ```
 *   leader     ring ─▶ propose ─▶ wal flush ─┐
 *                 └─ replicate (a member) ───┼─ quorum ─▶ commit ─▶ ring to apply
 *   follower          └─ append ─▶ wal flush, commit, … as parts of it
 * ```
 *
 * Between members contexts travel beside the entries (`peer-traces.ts`), never in them: what is in the log is the same with and
 * without tracing.
 */

import {
  type SpanReporter,
  SpanCode,
  TRACE_PREFIX_BYTES,
  sentMsOf,
  stampPrefix,
  writePrefix,
} from "../ring/trace.ts";
import { type MessageTrace, termInMessage } from "./peer-traces.ts";
import { ReadTracer } from "./read-tracer.ts";
import { type Consensus, MessageType, type RaftMessage } from "./raft.ts";

/** Sampled entries followed at a time; of more the oldest are given up. */
const ENTRIES_MAX = 256;
/** A member that has not acknowledged an entry for so long is not waited for. */
const PATIENCE_MS = 10_000;

/** An entry of a sampled request. */
interface TracedEntry {
  readonly index: number;
  readonly term: number;
  /** What its spans here are part of. */
  readonly context: Uint8Array;
  /** What the span is part of that {@link context} is the id of, on a member that was sent the entry; null on its leader. */
  readonly sender: Uint8Array | null;
  readonly sinceMs: number;
  /** When the flush that covers it began; -1 before. */
  flushMs: number;
  isStored: boolean;
  isHanded: boolean;
  /** Members that it was sent to and that have not acknowledged it. */
  readonly sent: Map<bigint, { readonly context: Uint8Array; readonly sentMs: number }>;
}

export class RaftTracer {
  readonly reads: ReadTracer;
  readonly #spans: SpanReporter;
  /** By index, in the order in which they came. */
  readonly #entries = new Map<number, TracedEntry>();
  /** Of proposals gathered for the leader in this turn: position among them, and the prefix of their records. */
  #gathered: { readonly position: number; readonly prefix: Uint8Array }[] = [];

  constructor(spans: SpanReporter) {
    this.#spans = spans;
    this.reads = new ReadTracer(spans);
  }

  /** Some sampled request is under way. */
  get isActive(): boolean {
    return this.#entries.size > 0 || this.reads.isActive;
  }

  /** A record with a prefix came from main; its wait is over. Returns when. */
  taken(bytes: Uint8Array, start: number): number {
    return this.#spans.reportWait(SpanCode.ringMainToRaft, bytes, start);
  }

  /** The proposal taken last has become an entry of this leader. */
  proposed(index: number, term: number, context: Uint8Array): void {
    this.#follow(index, term, context, null);
  }

  #follow(index: number, term: number, context: Uint8Array, sender: Uint8Array | null): void {
    const sinceMs = this.#spans.nowMs();
    this.#entries.delete(index);
    if (this.#entries.size >= ENTRIES_MAX) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
    const sent: TracedEntry["sent"] = new Map();
    const steps = { flushMs: -1, isStored: false, isHanded: false, sent };
    this.#entries.set(index, { index, term, context, sender, sinceMs, ...steps });
  }

  /** The proposal with this prefix is the one at `position` of those that go to the leader at the end of this turn. */
  gathered(position: number, bytes: Uint8Array, start: number): void {
    stampPrefix(bytes, start, this.taken(bytes, start));
    const prefix = new Uint8Array(bytes.subarray(start, start + TRACE_PREFIX_BYTES));
    this.#gathered.push({ position, prefix });
  }

  /** Those of the gathered proposals `[from, from + count)`, on their way to `leader`; their positions begin at `from`. */
  forwarded(from: number, count: number, leader: bigint): readonly MessageTrace[] {
    const traces: MessageTrace[] = [];
    const nowMs = this.#spans.nowMs();
    for (const { position, prefix } of this.#gathered) {
      if (position < from || position >= from + count) continue;
      const context = this.#spans.child(prefix);
      this.#spans.reportAs(SpanCode.forward, context, prefix, sentMsOf(prefix, 0), nowMs, leader);
      traces.push({ position: position - from, context });
    }
    return traces;
  }

  /** All of them have left. */
  gatheredGone(): void {
    if (this.#gathered.length > 0) this.#gathered = [];
  }

  /** Notes which members sampled entries and reads go to, and has the messages carry their contexts. */
  outgoing(messages: readonly RaftMessage[]): readonly RaftMessage[] {
    return messages.map((message) => {
      if (message.type === MessageType.readIndex) return this.reads.asking(message);
      if (message.type === MessageType.readIndexResp) this.reads.answering(message);
      if (message.type !== MessageType.app || message.entries.length === 0) return message;
      const traces = this.#tracesOf(message);
      return traces.length === 0 ? message : { ...message, traces };
    });
  }

  #tracesOf({ to, index, entries }: RaftMessage): readonly MessageTrace[] {
    let count = 0;
    for (const slice of entries) count += slice.count;
    const traces: MessageTrace[] = [];
    for (const entry of this.#entries.values()) {
      const position = entry.index - index - 1;
      if (position < 0 || position >= count) continue;
      const first = entry.sent.get(to);
      const context = first?.context ?? this.#spans.child(entry.context);
      if (first === undefined) entry.sent.set(to, { context, sentMs: this.#spans.nowMs() });
      traces.push({ position, context });
    }
    return traces;
  }

  /**
   * A message of a peer went through the core.
   * @param lastIndex of the log before that
   */
  received(message: RaftMessage, consensus: Consensus, lastIndex: number): void {
    const { type, traces } = message;
    if (type === MessageType.appResp) {
      if (this.isActive && !message.reject) this.#acknowledged(message.from, message.index);
    } else if (traces === undefined) return;
    else if (type === MessageType.app) this.#appended(message, traces, consensus);
    else if (!consensus.isLeader) return;
    else if (type === MessageType.prop) this.#led(traces, consensus, lastIndex);
    else if (type === MessageType.readIndex) this.reads.asked(message, traces);
  }

  /** A leader's entries are in the log. */
  #appended(message: RaftMessage, traces: readonly MessageTrace[], consensus: Consensus): void {
    for (const { position, context } of traces) {
      const index = message.index + 1 + position;
      const term = termInMessage(message, position);
      const known = this.#entries.get(index);
      // No such entry, refused, or sent again.
      if (term === 0 || consensus.termAt(index) !== term || known?.term === term) continue;
      this.#follow(index, term, this.#spans.child(context), context);
    }
  }

  /** What another member forwarded has become entries of this leader. */
  #led(traces: readonly MessageTrace[], consensus: Consensus, lastIndex: number): void {
    for (const { position, context } of traces) {
      const index = lastIndex + 1 + position;
      if (index <= consensus.lastIndex) this.#follow(index, consensus.term, context, null);
    }
  }

  #acknowledged(from: bigint, index: number): void {
    const nowMs = this.#spans.nowMs();
    for (const entry of this.#entries.values()) {
      const sent = entry.index <= index ? entry.sent.get(from) : undefined;
      if (sent === undefined) continue;
      entry.sent.delete(from);
      this.#spans.reportAs(SpanCode.replicate, sent.context, entry.context, sent.sentMs, nowMs, from);
      this.#release(entry);
    }
  }

  /** A flush of everything up to `lastIndex` begins. */
  flushBegins(lastIndex: number): void {
    const nowMs = this.#spans.nowMs();
    for (const entry of this.#entries.values()) {
      if (entry.flushMs >= 0 || entry.index > lastIndex) continue;
      entry.flushMs = nowMs;
      if (entry.sender === null)
        this.#spans.report(SpanCode.propose, entry.context, entry.sinceMs, nowMs, entry.index);
    }
  }

  /** It has ended. */
  flushEnded(lastIndex: number): void {
    const nowMs = this.#spans.nowMs();
    for (const entry of this.#entries.values()) {
      if (entry.isStored || entry.flushMs < 0 || entry.index > lastIndex) continue;
      entry.isStored = true;
      const { context, sender, index } = entry;
      this.#spans.report(SpanCode.walFlush, context, entry.flushMs, nowMs, index);
      // The acknowledgement leaves now.
      if (sender !== null)
        this.#spans.reportAs(SpanCode.append, context, sender, entry.sinceMs, nowMs, index);
    }
  }

  /** The prefix for the record by which entry `index` of `term` goes to apply; null if it is not sampled. */
  handing(index: number, term: number): Uint8Array | null {
    const entry = this.#entries.get(index);
    if (entry === undefined || entry.isHanded || entry.term !== term) return null;
    const prefix = new Uint8Array(TRACE_PREFIX_BYTES);
    writePrefix(prefix, 0, entry.context, this.#spans.nowMs());
    return prefix;
  }

  /** The entry is in the ring. */
  handed(index: number): void {
    const entry = this.#entries.get(index);
    if (entry === undefined) return;
    entry.isHanded = true;
    this.#spans.report(SpanCode.commit, entry.context, entry.sinceMs, this.#spans.nowMs(), index);
    this.#release(entry);
  }

  /** A tick passed: who does not answer is not waited for. */
  tick(): void {
    const limitMs = this.#spans.nowMs() - PATIENCE_MS;
    for (const entry of this.#entries.values())
      if (entry.sinceMs < limitMs) this.#entries.delete(entry.index);
    this.reads.giveUp(limitMs);
  }

  /** Makes what was reported visible to main. */
  publish(): void {
    this.#spans.publish();
  }

  /** Nothing more is to be heard of it. */
  #release(entry: TracedEntry): void {
    if (entry.isHanded && entry.sent.size === 0) this.#entries.delete(entry.index);
  }
}
