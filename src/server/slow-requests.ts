/**
 * The log lines of slow requests (`--warning-unary-request-duration`): etcd's `request stats`, at debug level for every unary call.
 * A request that is not slow costs it nothing: what a slow one asked is read out of the ring that took it, if it is still there.
 */
import { RateBudget } from "../base/rate-budget.ts";
import { describeRequest, measureTxn, summarizeAnswer } from "../proto/describe-request.ts";
import { RaftField, RaftRequestView } from "../proto/raft-request.ts";
import { formatGoDuration } from "../config/go-values.ts";
import type { Call, CallWatcher, EndedCall } from "../grpc/service.ts";
import { formatTimestamp } from "../telemetry/log-format.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Router } from "./router.ts";

export interface SlowRequestsOptions {
  readonly router: Pick<Router, "recall">;
  readonly log: Logger;
  /** `--warning-unary-request-duration` */
  readonly warningMs: number;
}

/**
 * Lines put together in one second. The log writes the first hundred of a message and samples the rest: when everything is slow, the
 * lines must not make it slower.
 */
const LINES_PER_SECOND_MAX = 100;

/** Methods of which etcd's line tells more, with the field that their request has in the log. */
const TOLD: ReadonlyMap<string, number> = new Map([
  ["/etcdserverpb.KV/Range", RaftField.range],
  ["/etcdserverpb.KV/Put", RaftField.put],
  ["/etcdserverpb.KV/DeleteRange", RaftField.deleteRange],
  ["/etcdserverpb.KV/Txn", RaftField.txn],
]);

interface RequestStats {
  readonly requestCount: number;
  readonly requestBytes: number;
  readonly responseCount: number;
  readonly responseBytes: number;
  readonly content: string;
}

const UNTOLD: RequestStats = {
  requestCount: -1,
  requestBytes: -1,
  responseCount: -1,
  responseBytes: -1,
  content: "",
};

export class SlowRequests implements CallWatcher {
  readonly #options: SlowRequestsOptions;
  readonly #view = new RaftRequestView();
  readonly #budget = new RateBudget(LINES_PER_SECOND_MAX);

  constructor(options: SlowRequestsOptions) {
    this.#options = options;
  }

  thresholdMs(): number {
    const { log, warningMs } = this.#options;
    if (log.isEnabled("debug")) return -1;
    return log.isEnabled("warn") ? warningMs : Infinity;
  }

  onSlow(call: Call, ended: EndedCall): void {
    if (!this.#budget.take(ended.endedMs)) return;
    const { log } = this.#options;
    const tookMs = Math.max(0, ended.endedMs - ended.startedMs);
    const { requestCount, requestBytes, responseCount, responseBytes, content } = this.#measure(call, ended);
    const level = log.isEnabled("debug") ? "debug" : "warn";
    log[level]("request stats", {
      "start time": formatTimestamp(performance.timeOrigin + ended.startedMs),
      "time spent": formatGoDuration(tookMs),
      remote: call.remote,
      "response type": call.path,
      "request count": requestCount,
      "request size": requestBytes,
      "response count": responseCount,
      "response size": responseBytes,
      "request content": content,
    });
  }

  #measure(call: Call, { answer, start, end, answerBytes }: EndedCall): RequestStats {
    const field = TOLD.get(call.path);
    if (field === undefined) return UNTOLD;
    const { count, succeeded } = summarizeAnswer(field, answer, start, end);
    const request = this.#recall(call);
    if (request === null) return { ...UNTOLD, responseCount: count, responseBytes: answerBytes };
    const { bytes, from, to } = request;
    const txn = field === RaftField.txn ? measureTxn(bytes, from, to, succeeded) : null;
    return {
      requestCount: txn?.count ?? (field === RaftField.put ? 1 : 0),
      requestBytes: txn?.bytes ?? to - from,
      responseCount: count,
      responseBytes: answerBytes,
      content: describeRequest(field, bytes, from, to),
    };
  }

  /** The request's own message in the ring's memory. */
  #recall(call: Call): { readonly bytes: Uint8Array; readonly from: number; readonly to: number } | null {
    const record = this.#options.router.recall(call);
    if (record === null) return null;
    const { bytes, start, end, isProposal } = record;
    // A read's kind stands in front of it.
    if (!isProposal) return { bytes, from: start + 1, to: end };
    if (!this.#view.decode(bytes, start, end)) return null;
    return { bytes, from: this.#view.payloadStart, to: this.#view.payloadEnd };
  }
}
