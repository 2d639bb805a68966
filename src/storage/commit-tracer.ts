import { type SpanReporter, SpanCode, contextAt } from "../ring/trace.ts";

/** Sampled entries that wait for one commit; what comes beyond is not reported. */
const WAITING_MAX = 256;

interface WaitingEntry {
  readonly index: number;
  readonly context: Uint8Array;
  readonly sinceMs: number;
}

/** What storage does for sampled requests: how long a change waits in the open transaction, and the commit that keeps it. */
export class CommitTracer {
  readonly #spans: SpanReporter;
  #waiting: WaitingEntry[] = [];
  #commitMs = 0;

  constructor(spans: SpanReporter) {
    this.#spans = spans;
  }

  /** Everything of entry `index` has been taken; `start` is where its prefix lies. */
  taken(index: number, bytes: Uint8Array, start: number): void {
    const sinceMs = this.#spans.reportWait(SpanCode.ringApplyToStorage, bytes, start);
    if (this.#waiting.length < WAITING_MAX)
      this.#waiting.push({ index, context: contextAt(bytes, start), sinceMs });
  }

  commitBegins(): void {
    if (this.#waiting.length > 0) this.#commitMs = this.#spans.nowMs();
  }

  /** Everything up to `index` is in the database. */
  committed(index: number): void {
    if (this.#waiting.length === 0) return;
    const nowMs = this.#spans.nowMs();
    for (const { index: at, context, sinceMs } of this.#waiting) {
      if (at > index) continue;
      this.#spans.report(SpanCode.storageBatch, context, sinceMs, this.#commitMs, at);
      this.#spans.report(SpanCode.storageCommit, context, this.#commitMs, nowMs, at);
    }
    this.#waiting = this.#waiting.filter((entry) => entry.index > index);
    this.#spans.publish();
  }
}
