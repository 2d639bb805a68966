/**
 * Traces of requests that were slow, made after the fact (`--trace-slow-requests-ms`): nobody knew while they ran, so nothing of a single
 * request was kept but when it came; the stages come from what each thread notes once a batch (`src/ring/stage-log.ts`).
 */

import type { Call } from "../grpc/service.ts";
import { RateBudget } from "../base/rate-budget.ts";
import type { SlowCalls } from "../server/slow-calls.ts";
import { type SpanSink, serverSpan, spanIdOf } from "./request-tracer.ts";
import { RootSampler, childContext } from "./sampler.ts";
import { parseTraceparent } from "./traceparent.ts";

/** Slow requests traced in a second; when everything is slow, a few tell why. */
const TRACES_PER_SECOND_MAX = 10;
/** Every trace that gets this far is made. */
const ALL_PER_MILLION = 1_000_000;

export interface SlowTracesOptions {
  /** Requests that took longer are traced. */
  readonly thresholdMs: number;
  readonly sink: SpanSink;
  /** Milliseconds of the clock that all threads share. */
  readonly nowMs: () => number;
  /** Uniform in [0, 1): for ids. */
  readonly random: () => number;
}

interface SlowCall {
  readonly path: string;
  readonly remote: string;
  readonly context: Uint8Array;
  readonly parentId: Uint8Array | null;
  /** Of `performance.now()`. */
  readonly startedMs: number;
  readonly wasAnswered: boolean;
}

export class SlowTraces implements SlowCalls {
  readonly thresholdMs: number;
  readonly #options: SlowTracesOptions;
  #found: SlowCall[] = [];
  readonly #budget = new RateBudget(TRACES_PER_SECOND_MAX);
  readonly #roots: RootSampler;

  constructor(options: SlowTracesOptions) {
    this.thresholdMs = options.thresholdMs;
    this.#options = options;
    this.#roots = new RootSampler(ALL_PER_MILLION, options.random);
  }

  note(call: Call, startedMs: number, wasAnswered: boolean): void {
    // One that was sampled has its trace.
    if ((call.trace ?? null) !== null || !this.#budget.take(startedMs)) return;
    const { random } = this.#options;
    const parent = parseTraceparent(call.metadata("traceparent") ?? "");
    const context = parent === null ? this.#roots.sample() : childContext(parent.context, random);
    if (context === null) return;
    const parentId = parent === null ? null : spanIdOf(parent.context);
    // The transport uses its calls again.
    const { path, remote } = call;
    this.#found.push({ path, remote, context, parentId, startedMs, wasAnswered });
  }

  report(ask: (context: Uint8Array, isRead: boolean, sinceMs: number) => void): void {
    if (this.#found.length === 0) return;
    const { sink, nowMs } = this.#options;
    const endMs = nowMs();
    const offsetMs = endMs - performance.now();
    for (const { path, remote, context, parentId, startedMs, wasAnswered } of this.#found.splice(0)) {
      const startMs = startedMs + offsetMs;
      if (wasAnswered) ask(context, path.endsWith("/Range"), startMs);
      const span = { path, remote, context, parentId, startMs, endMs };
      sink.add(serverSpan(span, { "concord.slow": "true" }, wasAnswered ? null : "request timed out"));
    }
  }
}
