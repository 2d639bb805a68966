/**
 * Tracing of requests through all threads and members, with OpenTelemetry.
 *
 * ```
 *   client ── traceparent ──▶ RequestTracer (main) ── context in ring records ──▶ raft, apply, storage, watch
 *                                   ▲                       │ and in messages between members
 *                                   └───── span records ◀───┘
 *                                   │
 *                                   └─▶ span-export.ts ─▶ batching processor ─▶ OTLP over gRPC or HTTP
 * ```
 *
 * Off unless `--enable-distributed-tracing` is given: then nothing of OpenTelemetry is loaded, and no thread does anything for it. On,
 * a call that is not sampled costs its decision. Only main loads OpenTelemetry; other threads report spans as records
 * (`src/ring/trace.ts`). Nobody waits for spans: what finds no room on the way is lost.
 * Read next: `request-tracer.ts`, `span-export.ts`, `src/raft/raft-tracer.ts`; `docs/TRACING.md` shows a trace.
 */

import type { Logger } from "./logger.ts";
import { RequestTracer } from "./request-tracer.ts";
import { RootSampler } from "./sampler.ts";
import { type AskStages, SlowTraces } from "./slow-traces.ts";
import { startSpanExport } from "./span-export.ts";
import { createTraceClock } from "./trace-clock.ts";

/** The flags that concern tracing, once it is on. */
export interface TracingConfig {
  readonly distributedTracingAddress: string;
  readonly distributedTracingServiceName: string;
  readonly distributedTracingInstanceId: string;
  /** 0 to 1,000,000 */
  readonly distributedTracingSamplingRate: number;
  /** 0 = off. */
  readonly traceSlowRequestsMs: number;
}

/** Tracing while it is on. */
export interface Tracing {
  readonly tracer: RequestTracer;
  /** Null unless slow requests are traced after the fact. */
  readonly slow: SlowTraces | null;
  /** Sends what waits for the collector, within half a second. */
  stop(): Promise<void>;
}

export interface TracingOptions {
  readonly config: TracingConfig;
  readonly memberId: bigint;
  readonly log: Logger;
  readonly askStages: AskStages;
}

/** Turns tracing on. No collector need be there. */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const { config, memberId, log, askStages } = options;
  const nowMs = createTraceClock();
  const spans = await startSpanExport({
    address: config.distributedTracingAddress,
    serviceName: config.distributedTracingServiceName,
    instanceId: config.distributedTracingInstanceId,
    memberId,
    nowMs,
    log,
  });
  log.debug("distributed tracing enabled", {
    address: config.distributedTracingAddress,
    "service-name": config.distributedTracingServiceName,
    "service-instance-id": config.distributedTracingInstanceId,
    "sampling-rate": config.distributedTracingSamplingRate,
  });
  log.info("distributed tracing setup enabled");
  const sampler = new RootSampler(config.distributedTracingSamplingRate, Math.random);
  const tracer = new RequestTracer({ sampler, sink: spans, nowMs, random: Math.random });
  const thresholdMs = config.traceSlowRequestsMs;
  const slow =
    thresholdMs === 0
      ? null
      : new SlowTraces({ thresholdMs, sink: spans, askStages, nowMs, random: Math.random });
  return { tracer, slow, stop: () => spans.stop() };
}
