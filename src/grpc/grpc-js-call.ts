/** One RPC on grpc-js, seen as the service table's {@link Call}. Every method is mounted as bidi with raw bytes; the kind is kept here. */
import { copyBytes } from "../base/copy-bytes.ts";
import type { ServerDuplexStream } from "@grpc/grpc-js";

import { GrpcCode } from "../base/errors.ts";
import {
  type Call,
  type CallTrace,
  type CallTracer,
  type CallWatcher,
  type MethodCounters,
  type MethodHandler,
  versionCount,
} from "./service.ts";

const EMPTY = new Uint8Array(0);

/** The raw stream that grpc-js hands to a bidi method. */
export type RawStream = ServerDuplexStream<Buffer, Buffer>;

export class GrpcJsCall implements Call {
  state: unknown = undefined;
  readonly path: string;
  readonly deadlineMs: number;
  readonly remote: string;
  cancelled = false;
  trace: CallTrace | null = null;
  readonly #tracer: CallTracer | null;
  readonly #stream: RawStream;
  readonly #method: MethodHandler;
  readonly #counters: MethodCounters;
  readonly #watcher: CallWatcher | undefined;
  readonly #startedMs = performance.now();
  #answered = false;
  readonly #singleRequest: boolean;
  #ended = false;
  /** The handler has seen the call. */
  #started = false;
  /** The single request, until the client half-closes. */
  #request: Buffer | null = null;
  /** The message that {@link sendPart} fills; grpc-js takes whole ones only. */
  #partial: Buffer | null = null;
  #partialBytes = 0;
  /** Bytes given to grpc-js whose write has not completed. */
  #pendingBytes = 0;

  constructor(
    stream: RawStream,
    method: MethodHandler,
    counters: MethodCounters,
    tracer: CallTracer | null = null,
    watcher?: CallWatcher,
  ) {
    this.#stream = stream;
    this.#tracer = tracer;
    this.#watcher = watcher;
    this.#counters = counters;
    this.#method = method;
    this.path = method.path;
    this.remote = stream.getPeer();
    this.deadlineMs = monotonicDeadline(stream.getDeadline());
    this.#singleRequest = method.kind === "unary" || method.kind === "serverStreaming";
  }

  /** Attaches the handler to the stream's events. */
  start(): void {
    this.#stream.on("data", (message: Buffer) => this.#onMessage(message));
    this.#stream.on("end", () => this.#onHalfClose());
    this.#stream.on("cancelled", () => this.#onCancelled());
    if (this.#singleRequest) return;
    this.#countStart();
    this.#method.onOpen?.(this);
  }

  metadata(name: string): string | undefined {
    const value = this.#stream.metadata.get(name)[0];
    return value === undefined || typeof value === "string" ? value : value.toString("base64");
  }

  sendMessage(bytes: Uint8Array, start: number, end: number): void {
    if (this.#ended) return;
    this.#countSent(end - start);
    this.#noteEnd(GrpcCode.ok, bytes, start, end, end - start);
    this.#write(Buffer.from(bytes.subarray(start, end)));
  }

  startMessage(totalBytes: number): void {
    this.#countSent(totalBytes);
    this.#noteEnd(GrpcCode.ok, EMPTY, 0, 0, totalBytes);
    this.#partial = Buffer.allocUnsafe(totalBytes);
    this.#partialBytes = 0;
    this.#writePartialIfWhole();
  }

  sendPart(bytes: Uint8Array, start: number, end: number): number {
    if (this.#ended || this.#partial === null) return 0;
    copyBytes(bytes, start, end, this.#partial, this.#partialBytes);
    this.#partialBytes += end - start;
    this.#writePartialIfWhole();
    return this.#pendingBytes;
  }

  pendingBytes(): number {
    return this.#pendingBytes;
  }

  end(grpcCode: number, message: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#countEnd(grpcCode);
    if (this.#partial !== null) {
      this.#fail(GrpcCode.internal, "response message not complete");
    } else if (grpcCode === GrpcCode.ok) {
      this.#stream.end();
    } else {
      this.#fail(grpcCode, message);
    }
  }

  #fail(code: number, details: string): void {
    this.#stream.emit("error", { code, details });
  }

  #writePartialIfWhole(): void {
    const whole = this.#partial;
    if (whole === null || this.#partialBytes < whole.length) return;
    this.#partial = null;
    this.#write(whole);
  }

  #write(message: Buffer): void {
    this.#pendingBytes += message.length;
    this.#stream.write(message, () => {
      this.#pendingBytes -= message.length;
      if (this.#pendingBytes === 0 && !this.#ended) this.#method.onDrain?.(this);
    });
  }

  #onMessage(message: Buffer): void {
    if (this.#ended) return;
    if (!this.#singleRequest) {
      this.#hand(message);
    } else if (this.#request !== null) {
      this.end(GrpcCode.internal, "cardinality violation: received multiple request messages");
    } else {
      this.#request = message;
    }
  }

  #onHalfClose(): void {
    if (this.#ended) return;
    if (!this.#singleRequest) {
      this.#method.onHalfClose?.(this);
    } else if (this.#request === null) {
      this.end(GrpcCode.internal, "cardinality violation: received no request message");
    } else {
      const request = this.#request;
      this.#request = null;
      this.#countStart();
      this.#hand(request);
    }
  }

  #hand(message: Buffer): void {
    this.#counters.messagesReceived++;
    this.#counters.bytesReceived += message.length;
    this.#method.onMessage(this, message, 0, message.length);
  }

  #countStart(): void {
    this.#started = true;
    this.#counters.started++;
    if (this.#tracer !== null) this.trace = this.#tracer.begin(this, this.metadata("traceparent"));
    versionCount(this.#counters, this.metadata("client-api-version")).calls++;
  }

  #countSent(bytes: number): void {
    this.#counters.messagesSent++;
    this.#counters.bytesSent += bytes;
  }

  #countEnd(grpcCode: number): void {
    if (!this.#started) return;
    this.#counters.handledByCode[grpcCode]++;
    this.trace?.ended(grpcCode);
    this.#counters.durations?.observe((performance.now() - this.#startedMs) / 1000);
    this.#noteEnd(grpcCode, EMPTY, 0, 0, 0);
  }

  /** Tells of a slow unary call, once. */
  #noteEnd(grpcCode: number, answer: Uint8Array, start: number, end: number, answerBytes: number): void {
    if (this.#watcher === undefined || this.#answered || this.#method.kind !== "unary") return;
    this.#answered = true;
    const startedMs = this.#startedMs;
    const endedMs = performance.now();
    if (endedMs - startedMs <= this.#watcher.thresholdMs()) return;
    this.#watcher.onSlow(this, { grpcCode, startedMs, endedMs, answer, start, end, answerBytes });
  }

  #onCancelled(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.cancelled = true;
    // grpc-js says the same of a deadline that has passed.
    this.#countEnd(this.deadlineMs <= performance.now() ? GrpcCode.deadlineExceeded : GrpcCode.canceled);
    this.#method.onCancel?.(this);
  }
}

/** grpc-js deadlines are Unix times; ours are on the monotonic clock. */
function monotonicDeadline(deadline: Date | number): number {
  const unixMs = typeof deadline === "number" ? deadline : deadline.getTime();
  return unixMs === Infinity ? Infinity : performance.now() + (unixMs - Date.now());
}
