/**
 * From finished spans to a collector: OpenTelemetry's batching processor and its OTLP exporters. Loaded only when tracing is on, and on
 * the main thread only. The processor's queue is bounded, and a collector that does not answer costs what is in it and a line in
 * the log.
 */

import { type HrTime, SpanKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import { setGlobalErrorHandler } from "@opentelemetry/core";
import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from "@opentelemetry/sdk-trace";
import { SERVER_VERSION } from "../base/version.ts";
import type { Logger } from "./logger.ts";
import type { FinishedSpan, SpanSink } from "./request-tracer.ts";
import { spanIdText, traceIdText } from "./traceparent.ts";

/** Spans that wait for the exporter; what comes beyond is dropped. */
const QUEUE_SPANS_MAX = 4096;
/** Spans in one request, and how long they may gather for it. */
const BATCH_SPANS_MAX = 512;
const BATCH_DELAY_MS = 1000;
/** How long a collector may take. */
const EXPORT_TIMEOUT_MS = 5000;
/** Between two lines about a collector that does not take spans. */
const FAILURE_LOG_INTERVAL_MS = 60_000;
/** How long the end of the member waits for the last spans to leave. */
const STOP_MS = 500;

export interface SpanExportOptions {
  /** `host:port` or `http(s)://host:port` for OTLP over gRPC; a URL with a path (`/v1/traces`) or with port 4318 for OTLP over HTTP. */
  readonly address: string;
  readonly serviceName: string;
  /** Empty: none. */
  readonly instanceId: string;
  readonly memberId: bigint;
  /** The clock that the spans' times are of. */
  readonly nowMs: () => number;
  readonly log: Logger;
}

/** The way out. */
export interface SpanExport extends SpanSink {
  /** Sends what waits, within half a second. */
  stop(): Promise<void>;
}

/** Opens the way to the collector; it is connected to when there is something to send. */
export async function startSpanExport(options: SpanExportOptions): Promise<SpanExport> {
  const { serviceName, instanceId, memberId, log } = options;
  const processor = new BatchSpanProcessor({
    exporter: await createExporter(options.address),
    maxQueueSize: QUEUE_SPANS_MAX,
    maxExportBatchSize: BATCH_SPANS_MAX,
    scheduledDelayMillis: BATCH_DELAY_MS,
    exportTimeoutMillis: EXPORT_TIMEOUT_MS,
  });
  let loggedMs = Number.NEGATIVE_INFINITY;
  setGlobalErrorHandler((error) => {
    if (performance.now() - loggedMs < FAILURE_LOG_INTERVAL_MS) return;
    loggedMs = performance.now();
    log.warn("failed to export traces", { address: options.address, error: describe(error) });
  });
  const resource = resourceFromAttributes({
    "service.name": serviceName,
    ...(instanceId === "" ? {} : { "service.instance.id": instanceId }),
    "service.version": SERVER_VERSION,
    "concord.member.id": memberId.toString(16),
  });
  const clock = new WallClock(options.nowMs);
  return {
    add: (span) => processor.onEnd(readableSpan(span, resource, clock.offsetMs())),
    stop: async () => {
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, STOP_MS);
      await Promise.race([processor.shutdown().catch(() => undefined), late]);
      clearTimeout(timer);
    },
  };
}

/** True if this address is that of a collector that takes OTLP over HTTP. */
export function isHttpAddress(address: string): boolean {
  if (!/^https?:\/\//.test(address) || !URL.canParse(address)) return false;
  const { pathname, port } = new URL(address);
  return pathname !== "/" || port === "4318";
}

async function createExporter(address: string): Promise<SpanExporter> {
  const timeoutMillis = EXPORT_TIMEOUT_MS;
  if (isHttpAddress(address)) {
    const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-proto");
    const url = new URL(address);
    if (url.pathname === "/") url.pathname = "/v1/traces";
    return new OTLPTraceExporter({ url: url.href, timeoutMillis });
  }
  const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-grpc");
  // Without a scheme it is spoken to in the clear, as by etcd.
  const url = /^https?:\/\//.test(address) ? address : `http://${address}`;
  return new OTLPTraceExporter({ url, timeoutMillis });
}

/** A wall clock that is set by more than this is followed; less is the jitter of reading it, which would shift spans against each other. */
const WALL_STEP_MS = 100;

/** From the clock of spans to the time of day. */
class WallClock {
  readonly #nowMs: () => number;
  #offsetMs: number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#offsetMs = performance.timeOrigin + performance.now() - nowMs();
  }

  /** What to add to the time of a span. */
  offsetMs(): number {
    const stepMs = Date.now() - this.#nowMs() - this.#offsetMs;
    if (Math.abs(stepMs) > WALL_STEP_MS) this.#offsetMs += stepMs;
    return this.#offsetMs;
  }
}

const KINDS: Readonly<Record<FinishedSpan["side"], SpanKind>> = {
  client: SpanKind.CLIENT,
  server: SpanKind.SERVER,
  internal: SpanKind.INTERNAL,
};

function readableSpan(span: FinishedSpan, resource: Resource, offsetMs: number): ReadableSpan {
  const { name, context, parentId, isParentRemote, startMs, attributes, error } = span;
  // Two threads' clocks may be a microsecond apart.
  const endMs = Math.max(startMs, span.endMs);
  const traceId = traceIdText(context);
  const own = { traceId, spanId: spanIdText(context), traceFlags: TraceFlags.SAMPLED };
  const parent =
    parentId === null
      ? {}
      : {
          parentSpanContext: {
            ...own,
            spanId: Buffer.from(parentId).toString("hex"),
            isRemote: isParentRemote,
          },
        };
  return {
    name,
    kind: KINDS[span.side],
    spanContext: () => own,
    ...parent,
    startTime: hrTime(startMs + offsetMs),
    endTime: hrTime(endMs + offsetMs),
    duration: hrTime(endMs - startMs),
    status: error === null ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: error },
    attributes,
    links: [],
    events: [],
    ended: true,
    resource,
    instrumentationScope: { name: "concord", version: SERVER_VERSION },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

/** OpenTelemetry's seconds and nanoseconds. */
function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
