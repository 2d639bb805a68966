/**
 * Traces of requests that were slow, made after the fact (`--trace-slow-requests-ms`): nobody knew while they ran, so nothing of a single
 * request was kept but when it came; the stages come from what each thread notes once a batch (`src/ring/stage-log.ts`).
 */

import { GrpcCode } from "../base/errors.ts";
import { RateBudget } from "../base/rate-budget.ts";
import type { Call, CallTrace, CallWatcher, EndedCall } from "../grpc/service.ts";
import { type SpanSink, serverSpan, spanIdOf } from "./request-tracer.ts";
import { RootSampler, childContext } from "./sampler.ts";
import { parseTraceparent } from "./traceparent.ts";

/** Slow requests traced in a second; when everything is slow, a few tell why. */
const TRACES_PER_SECOND_MAX = 10;
/** Every trace that gets this far is made. */
const ALL_PER_MILLION = 1_000_000;

/**
 * Has the other threads say what they did, since `trace.nowMs()`, for a request answered in this turn. What they say becomes part of
 * the trace.
 */
export type AskStages = (trace: CallTrace, isRead: boolean) => void;

export interface SlowTracesOptions {
  /** Requests that took longer are traced. */
  readonly thresholdMs: number;
  readonly sink: SpanSink;
  readonly askStages: AskStages;
  /** Milliseconds of the clock that all threads share. */
  readonly nowMs: () => number;
  /** Uniform in [0, 1): for ids. */
  readonly random: () => number;
}

interface SlowCall {
  readonly path: string;
  readonly remote: string;
  readonly grpcCode: number;
  readonly context: Uint8Array;
  readonly parentId: Uint8Array | null;
  /** Of `performance.now()`. */
  readonly startedMs: number;
  /** Another thread answered it. */
  readonly hasStages: boolean;
}

export class SlowTraces implements CallWatcher {
  readonly #options: SlowTracesOptions;
  #found: SlowCall[] = [];
  readonly #budget = new RateBudget(TRACES_PER_SECOND_MAX);
  readonly #roots: RootSampler;

  constructor(options: SlowTracesOptions) {
    this.#options = options;
    this.#roots = new RootSampler(ALL_PER_MILLION, options.random);
  }

  thresholdMs(): number {
    return this.#options.thresholdMs;
  }

  onSlow(call: Call, { startedMs, endedMs, grpcCode }: EndedCall): void {
    // One that was sampled has its trace.
    if ((call.trace ?? null) !== null || !this.#budget.take(endedMs)) return;
    const { random } = this.#options;
    const parent = parseTraceparent(call.metadata("traceparent") ?? "");
    const context = parent === null ? this.#roots.sample() : childContext(parent.context, random);
    if (context === null) return;
    const parentId = parent === null ? null : spanIdOf(parent.context);
    // The transport uses its calls again.
    const { path, remote } = call;
    const hasStages = wasAnsweredByThread(call, grpcCode);
    // How far apply is comes behind its answers, and those of a turn are written together at its end.
    if (this.#found.length === 0) queueMicrotask(() => this.#report());
    this.#found.push({ path, remote, grpcCode, context, parentId, startedMs, hasStages });
  }

  #report(): void {
    const { sink, askStages, nowMs } = this.#options;
    const endMs = nowMs();
    const offsetMs = endMs - performance.now();
    for (const { startedMs, hasStages, ...call } of this.#found.splice(0)) {
      const startMs = startedMs + offsetMs;
      if (hasStages) {
        const trace = { context: call.context, nowMs: () => startMs, ended: () => {} };
        askStages(trace, call.path.endsWith("/Range"));
      }
      sink.add(serverSpan({ ...call, startMs, endMs }, { "concord.slow": "true" }));
    }
  }
}

/** Whether a thread had the request, and it did not just run out of time. */
function wasAnsweredByThread(call: Call, grpcCode: number): boolean {
  // The router's request id.
  return typeof call.state === "number" && !call.cancelled && grpcCode !== GrpcCode.unavailable;
}
