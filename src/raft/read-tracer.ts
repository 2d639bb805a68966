/**
 * What the raft thread knows of sampled linearizable reads, part of {@link RaftTracer}: which round of confirmation each is in, and on
 * the leader, which rounds of other members it is confirming. A member that asks its leader sends the contexts along with MsgReadIndex
 * (`peer-traces.ts`); what the leader does about it is part of the read's `read index`.
 *
 * ```
 *   asking member   ring ─▶ read index ─────────────────────▶ ring to apply
 *   leader                     └─ read round: heartbeats to a quorum, if any are needed, and the answer
 * ```
 */

import { equalBytes } from "../base/bytes.ts";
import { type SpanReporter, SpanCode, contextAt, sentMsOf, stampPrefix } from "../ring/trace.ts";
import type { MessageTrace } from "./peer-traces.ts";
import type { RaftMessage } from "./raft.ts";

/** Sampled reads followed at a time, and rounds on a leader; of more the oldest are given up. */
const READS_MAX = 256;

/** A sampled read that waits. */
interface TracedRead {
  /** Context of the round that it is in, as `MsgReadIndex` carries it. */
  readonly round: Uint8Array;
  /** What its spans are part of. */
  readonly request: Uint8Array;
  /** Of its `read index` span. */
  readonly own: Uint8Array;
  readonly sinceMs: number;
}

/** Another member's round with sampled reads, on its leader. */
interface TracedRound {
  readonly from: bigint;
  readonly round: Uint8Array;
  readonly traces: readonly MessageTrace[];
  readonly sinceMs: number;
}

export class ReadTracer {
  readonly #spans: SpanReporter;
  #reads: TracedRead[] = [];
  #rounds: TracedRound[] = [];

  constructor(spans: SpanReporter) {
    this.#spans = spans;
  }

  /** Some sampled read waits. */
  get isActive(): boolean {
    return this.#reads.length + this.#rounds.length > 0;
  }

  /** A read with a prefix was taken from main. */
  taken(bytes: Uint8Array, start: number): void {
    stampPrefix(bytes, start, this.#spans.reportWait(SpanCode.ringMainToRaft, bytes, start));
  }

  /** It waits for the confirmation of this round. */
  joined(bytes: Uint8Array, start: number, round: Uint8Array): void {
    const request = contextAt(bytes, start);
    const own = this.#spans.child(request);
    if (this.#reads.length >= READS_MAX) this.#reads.shift();
    this.#reads.push({ round, request, own, sinceMs: sentMsOf(bytes, start) });
  }

  /** It may be answered, and is about to be written for apply. Returns since when it waited for that. */
  handing(payload: Uint8Array): number {
    const sinceMs = sentMsOf(payload, 0);
    stampPrefix(payload, 0, this.#spans.nowMs());
    return sinceMs;
  }

  /** It is in the ring, or (`isHanded` false) found no room and waits on. */
  handed(payload: Uint8Array, sinceMs: number, isHanded: boolean): void {
    if (!isHanded) {
      stampPrefix(payload, 0, sinceMs);
      return;
    }
    const request = contextAt(payload, 0);
    const at = this.#reads.findIndex((read) => equalBytes(read.request, request));
    const own = at < 0 ? this.#spans.child(request) : this.#reads[at].own;
    if (at >= 0) this.#reads.splice(at, 1);
    this.#spans.reportAs(SpanCode.readIndex, own, request, sinceMs, sentMsOf(payload, 0));
  }

  /** A request to the leader, with the contexts of the reads that it is for. */
  asking(message: RaftMessage): RaftMessage {
    const round = roundOf(message);
    const traces: MessageTrace[] = [];
    for (const read of this.#reads)
      if (equalBytes(read.round, round)) traces.push({ position: 0, context: read.own });
    return traces.length === 0 ? message : { ...message, traces };
  }

  /** Another member asks this leader, once or again. */
  asked(message: RaftMessage, traces: readonly MessageTrace[]): void {
    const { from } = message;
    const round = new Uint8Array(roundOf(message));
    if (this.#find(from, round) >= 0) return;
    if (this.#rounds.length >= READS_MAX) this.#rounds.shift();
    this.#rounds.push({ from, round, traces, sinceMs: this.#spans.nowMs() });
  }

  /** It is answered. */
  answering(message: RaftMessage): void {
    const at = this.#find(message.to, roundOf(message));
    if (at < 0) return;
    const [{ from, traces, sinceMs }] = this.#rounds.splice(at, 1);
    const nowMs = this.#spans.nowMs();
    for (const { context } of traces) this.#spans.report(SpanCode.readRound, context, sinceMs, nowMs, from);
  }

  /** What began before `limitMs` is not waited for. */
  giveUp(limitMs: number): void {
    this.#reads = this.#reads.filter(({ sinceMs }) => sinceMs >= limitMs);
    this.#rounds = this.#rounds.filter(({ sinceMs }) => sinceMs >= limitMs);
  }

  #find(from: bigint, round: Uint8Array): number {
    return this.#rounds.findIndex((each) => each.from === from && equalBytes(each.round, round));
  }
}

const NO_ROUND = new Uint8Array(0);

/** Context of the round that a message is about: the data of its only entry, borrowed. */
function roundOf({ entries }: RaftMessage): Uint8Array {
  if (entries.length === 0) return NO_ROUND;
  const [{ batch, from }] = entries;
  return batch.bytes.subarray(batch.dataStart(from), batch.dataEnd(from));
}
