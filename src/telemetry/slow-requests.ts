/**
 * Traces of requests that were slow, made after the fact (`--trace-slow-requests-ms`): nobody knew while they ran, so nothing of a single
 * request was kept but when it came; the stages come from what each thread notes once a batch (`src/ring/stage-log.ts`).
 */

import type { Call } from "../grpc/service.ts";
import { SPAN_ID_BYTES, TRACE_CONTEXT_BYTES, TRACE_ID_BYTES } from "../ring/trace.ts";
import type { SlowCalls } from "../server/slow-calls.ts";
import type { SpanSink } from "./request-tracer.ts";
import { childContext } from "./sampler.ts";
import { parseTraceparent } from "./traceparent.ts";

/** Slow requests traced in a second; when everything is slow, a few tell why. */
const TRACES_PER_SECOND_MAX = 10;
const SECOND_MS = 1000;

export interface SlowRequestsOptions {
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

export class SlowRequests implements SlowCalls {
  readonly thresholdMs: number;
  readonly #options: SlowRequestsOptions;
  #found: SlowCall[] = [];
  #second = 0;
  #inSecond = 0;

  constructor(options: SlowRequestsOptions) {
    this.thresholdMs = options.thresholdMs;
    this.#options = options;
  }

  note(call: Call, startedMs: number, wasAnswered: boolean): void {
    // One that was sampled has its trace.
    if ((call.trace ?? null) !== null || !this.#mayTrace(startedMs)) return;
    const { random } = this.#options;
    const parent = parseTraceparent(call.metadata("traceparent") ?? "");
    const root = new Uint8Array(TRACE_CONTEXT_BYTES);
    for (let at = 0; at < TRACE_ID_BYTES; at++) root[at] = Math.floor(random() * 256) | 1;
    const context = childContext(parent?.context ?? root, random);
    const parentId = parent?.context.slice(TRACE_ID_BYTES, TRACE_ID_BYTES + SPAN_ID_BYTES) ?? null;
    // The transport uses its calls again.
    const { path, remote } = call;
    this.#found.push({ path, remote, context, parentId, startedMs, wasAnswered });
  }

  #mayTrace(nowMs: number): boolean {
    const second = Math.floor(nowMs / SECOND_MS);
    if (second !== this.#second) {
      this.#second = second;
      this.#inSecond = 0;
    }
    return this.#inSecond++ < TRACES_PER_SECOND_MAX;
  }

  report(ask: (context: Uint8Array, isRead: boolean, sinceMs: number) => void): void {
    if (this.#found.length === 0) return;
    const { sink, nowMs } = this.#options;
    const endMs = nowMs();
    const offsetMs = endMs - performance.now();
    for (const { path, remote, context, parentId, startedMs, wasAnswered } of this.#found.splice(0)) {
      const [service = "", method = ""] = path.slice(1).split("/");
      const startMs = startedMs + offsetMs;
      if (wasAnswered) ask(context, method === "Range", startMs);
      sink.add({
        name: path.slice(1),
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
          "network.peer.address": remote,
          "thread.name": "main",
          "concord.slow": "true",
        },
        error: wasAnswered ? null : "request timed out",
      });
    }
  }
}
