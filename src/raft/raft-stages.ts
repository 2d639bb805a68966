import { StageLog } from "../ring/stage-log.ts";
import { type SpanReporter, SpanCode, contextAt, sentMsOf } from "../ring/trace.ts";

/** Members whose acknowledgements are kept. */
const MEMBERS_MAX = 16;

/**
 * When the raft thread took, flushed and handed over which entries: what it can say of a request that main has found to be slow after it
 * was answered. The loop tells it once a batch, if `--trace-slow-requests-ms` is given at all.
 */
export class RaftStages {
  readonly #spans: SpanReporter;
  readonly #taken = new StageLog();
  readonly #flushed = new StageLog();
  readonly #handed = new StageLog();
  /** Confirmations of leadership, without an index. */
  readonly #confirmed = new StageLog();
  readonly #acknowledged = new Map<bigint, StageLog>();
  #takenIndex = 0;
  #handedIndex = 0;
  #flushIndex = 0;
  #flushMs = 0;

  constructor(spans: SpanReporter) {
    this.#spans = spans;
  }

  /** This leader's log ends at `lastIndex`, after it took what main sent. */
  taken(lastIndex: number): void {
    if (lastIndex === this.#takenIndex) return;
    this.#takenIndex = lastIndex;
    const nowMs = this.#spans.nowMs();
    this.#taken.note(lastIndex, nowMs, nowMs);
  }

  flushBegins(lastIndex: number): void {
    this.#flushIndex = lastIndex;
    this.#flushMs = this.#spans.nowMs();
  }

  flushEnded(): void {
    this.#flushed.note(this.#flushIndex, this.#flushMs, this.#spans.nowMs());
  }

  /** Everything up to `index` went to apply. */
  handed(index: number): void {
    if (index === this.#handedIndex) return;
    this.#handedIndex = index;
    const nowMs = this.#spans.nowMs();
    this.#handed.note(index, nowMs, nowMs);
  }

  acknowledged(from: bigint, index: number): void {
    let log = this.#acknowledged.get(from);
    if (log === undefined) {
      if (this.#acknowledged.size >= MEMBERS_MAX) this.#acknowledged.clear();
      this.#acknowledged.set(from, (log = new StageLog()));
    }
    const nowMs = this.#spans.nowMs();
    log.note(index, nowMs, nowMs);
  }

  readsConfirmed(): void {
    const nowMs = this.#spans.nowMs();
    this.#confirmed.note(0, nowMs, nowMs);
  }

  /**
   * Reports what it knows of the request whose prefix lies at `start`, sent when it began.
   * @param index of its entry, or one of the same batch; 0 = it was a read
   */
  report(index: number, bytes: Uint8Array, start: number): void {
    const context = contextAt(bytes, start);
    const sinceMs = sentMsOf(bytes, start);
    if (index === 0) {
      const confirmed = this.#confirmed.find(0, sinceMs);
      if (confirmed !== null) this.#spans.report(SpanCode.readIndex, context, sinceMs, confirmed.endMs);
    } else this.#reportEntry(index, context, sinceMs);
    this.#spans.publish();
  }

  #reportEntry(index: number, context: Uint8Array, sinceMs: number): void {
    const spans = this.#spans;
    const taken = this.#taken.find(index, sinceMs);
    const flushed = this.#flushed.find(index, sinceMs);
    const handed = this.#handed.find(index, sinceMs);
    const takenMs = taken?.endMs ?? sinceMs;
    if (taken !== null) spans.report(SpanCode.ringMainToRaft, context, sinceMs, takenMs);
    if (flushed !== null) {
      if (taken !== null) spans.report(SpanCode.propose, context, takenMs, flushed.startMs, index);
      spans.report(SpanCode.walFlush, context, flushed.startMs, flushed.endMs, index);
    }
    if (taken !== null)
      for (const [member, log] of this.#acknowledged) {
        const acknowledged = log.find(index, sinceMs);
        if (acknowledged !== null)
          spans.report(SpanCode.replicate, context, takenMs, acknowledged.endMs, member);
      }
    if (handed !== null) spans.report(SpanCode.commit, context, takenMs, handed.endMs, index);
  }
}
