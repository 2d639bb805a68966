/**
 * Main's part of tracing: decides call by call, times what main itself does for a sampled call, and takes what the other threads
 * report of it. It holds only calls in progress; a finished span goes to the {@link SpanSink} at once.
 */

import type { Call, CallTrace, CallTracer } from "../grpc/service.ts";
import { type SpanRecord, SPAN_ID_BYTES, SpanCode, TRACE_ID_BYTES, readSpanRecord } from "../ring/trace.ts";
import { type RootSampler, childContext } from "./sampler.ts";
import { SPAN_NAMES, type SpanName } from "./span-names.ts";
import { parseTraceparent, saysSampled, traceIdText } from "./traceparent.ts";

/** A span that has ended, for the exporter. Times are of the clock that all threads share. */
export interface FinishedSpan {
  readonly name: string;
  readonly side: "client" | "server" | "internal";
  /** Trace id and span id. */
  readonly context: Uint8Array;
  /** Id of the span that it is part of; null for the first of a trace. */
  readonly parentId: Uint8Array | null;
  /** The parent is a client's span. */
  readonly isParentRemote: boolean;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** The server failed: what it said. */
  readonly error: string | null;
}

/** Where finished spans go. Never throws, never waits. */
export interface SpanSink {
  add(span: FinishedSpan): void;
}

export interface RequestTracerOptions {
  readonly sampler: RootSampler;
  readonly sink: SpanSink;
  /** Milliseconds of the clock that all threads share. */
  readonly nowMs: () => number;
  /** Uniform in [0, 1): for ids. */
  readonly random: () => number;
}

/** Codes that are the server's fault, as OpenTelemetry's conventions for gRPC servers have it. */
const SERVER_FAULTS: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);

export class RequestTracer implements CallTracer {
  readonly #options: RequestTracerOptions;
  /** Sampled calls in progress, by trace id; of several calls in one trace the newest. */
  readonly #active = new Map<string, ActiveCall>();

  constructor(options: RequestTracerOptions) {
    this.#options = options;
  }

  begin(call: Call, traceparent: string | undefined): CallTrace | null {
    const { sampler, random } = this.#options;
    if (traceparent !== undefined && saysSampled(traceparent)) {
      const parent = parseTraceparent(traceparent);
      if (parent !== null)
        return this.#start(call, childContext(parent.context, random), spanIdOf(parent.context));
    }
    const context = sampler.sample();
    // Whether the header is valid matters only now: reading it takes longer than all the rest, and most have no say in anything.
    const isRoot = context !== null && (traceparent === undefined || parseTraceparent(traceparent) === null);
    return isRoot ? this.#start(call, context, null) : null;
  }

  #start(call: Call, context: Uint8Array, parentId: Uint8Array | null): CallTrace {
    const key = traceIdText(context);
    const active = new ActiveCall(call, context, parentId, this.#options.nowMs, (ended) => {
      if (this.#active.get(key) === ended) this.#active.delete(key);
      this.#finish(ended);
    });
    this.#active.set(key, active);
    return active;
  }

  #finish(call: ActiveCall): void {
    const { sink, nowMs, random } = this.#options;
    const { context, parentId, startMs, answeredMs, appliedMs, grpcCode, path, remote } = call;
    const endMs = nowMs();
    const part = (code: number, from: number, to: number): void => {
      const id = childContext(context, random);
      sink.add(internalSpan(SPAN_NAMES[code], id, spanIdOf(context), from, to, {}));
    };
    if (appliedMs > 0 && appliedMs <= answeredMs) part(SpanCode.ringApplyToMain, appliedMs, answeredMs);
    part(SpanCode.response, answeredMs, endMs);
    sink.add(serverSpan({ path, remote, grpcCode, context, parentId, startMs, endMs }));
  }

  /** Takes the payload of a `span` record; for `Router.onRecord`. */
  readonly takeRecord = (bytes: Uint8Array, start: number): void => {
    const record = readSpanRecord(bytes, start);
    const name = SPAN_NAMES[record.code];
    if (name === undefined) return;
    const { context, parentId, startMs, endMs } = record;
    const attributes = valueOf(name, record);
    this.#options.sink.add(internalSpan(name, context, parentId, startMs, endMs, attributes));
    if (record.code === SpanCode.apply || record.code === SpanCode.read) {
      const call = this.#active.get(traceIdText(context));
      if (call !== undefined) call.appliedMs = endMs;
    }
    // The events themselves came right before this record.
    if (record.code === SpanCode.watchDeliver) this.#watchWritten(record);
  };

  #watchWritten(record: SpanRecord): void {
    const { sink, nowMs, random } = this.#options;
    const name = SPAN_NAMES[SpanCode.watchWrite];
    // Written are they when main has flushed what this turn brought.
    queueMicrotask(() => {
      const context = childContext(record.context, random);
      const attributes = valueOf(name, record);
      sink.add(internalSpan(name, context, spanIdOf(record.context), record.endMs, nowMs(), attributes));
    });
  }
}

/** A sampled call until its answer is written. */
class ActiveCall implements CallTrace {
  readonly context: Uint8Array;
  readonly parentId: Uint8Array | null;
  readonly nowMs: () => number;
  readonly startMs: number;
  readonly path: string;
  readonly remote: string;
  /** When it got its status. */
  answeredMs = 0;
  /** When apply was done with it; 0 = apply had no part in it, or has not said so yet. */
  appliedMs = 0;
  grpcCode = 0;
  readonly #onWritten: (call: ActiveCall) => void;

  constructor(
    call: Call,
    context: Uint8Array,
    parentId: Uint8Array | null,
    nowMs: () => number,
    onWritten: (call: ActiveCall) => void,
  ) {
    this.context = context;
    this.parentId = parentId;
    this.nowMs = nowMs;
    this.startMs = nowMs();
    // The transport uses its calls again.
    this.path = call.path;
    this.remote = call.remote;
    this.#onWritten = onWritten;
  }

  ended(grpcCode: number): void {
    this.grpcCode = grpcCode;
    this.answeredMs = this.nowMs();
    // Answers of a turn are flushed together at its end, and apply's report of this one is behind it in the ring.
    queueMicrotask(() => this.#onWritten(this));
  }
}

/** What is known of a call for its span. */
interface EndedServerCall extends Pick<FinishedSpan, "context" | "parentId" | "startMs" | "endMs"> {
  readonly path: string;
  readonly remote: string;
  readonly grpcCode: number;
}

/** The first span of a call here, as OpenTelemetry's conventions for gRPC servers name it. */
export function serverSpan(call: EndedServerCall, attributes: FinishedSpan["attributes"] = {}): FinishedSpan {
  const { path, remote, grpcCode, context, parentId, startMs, endMs } = call;
  const name = path.slice(1);
  const [service = "", method = ""] = name.split("/");
  return {
    name,
    side: "server",
    context,
    parentId,
    isParentRemote: parentId !== null,
    startMs,
    endMs,
    attributes: {
      "rpc.system": "grpc",
      "rpc.service": service,
      "rpc.method": method,
      "rpc.grpc.status_code": grpcCode,
      ...attributes,
      "network.peer.address": remote,
      "thread.name": "main",
    },
    error: SERVER_FAULTS.has(grpcCode) ? `grpc status ${grpcCode}` : null,
  };
}

/** The id of the span itself in its context; borrowed. */
export function spanIdOf(context: Uint8Array): Uint8Array {
  return context.subarray(TRACE_ID_BYTES, TRACE_ID_BYTES + SPAN_ID_BYTES);
}

function valueOf({ value }: SpanName, record: SpanRecord): Record<string, string | number> {
  if (value === undefined) return {};
  return { [value]: value === "concord.peer" ? record.value.toString(16) : Number(record.value) };
}

function internalSpan(
  { name, side, thread }: SpanName,
  context: Uint8Array,
  parentId: Uint8Array,
  startMs: number,
  endMs: number,
  attributes: Readonly<Record<string, string | number>>,
): FinishedSpan {
  return {
    name,
    side: side ?? "internal",
    context,
    parentId,
    isParentRemote: side === "server",
    startMs,
    endMs,
    attributes: { "thread.name": thread, ...attributes },
    error: null,
  };
}
