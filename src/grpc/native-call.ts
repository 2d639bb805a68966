/**
 * One RPC on our transport: an HTTP/2 stream with gRPC's message framing, its deadline and its handler. Objects are reused, but only
 * after their handler called {@link NativeCall.end}: a handler that is told of a cancel may still hold its call.
 */
import { copyBytes } from "../base/copy-bytes.ts";
import { ERRORS, ErrorId, GrpcCode } from "../base/errors.ts";
import { readUint32, writeUint32 } from "../http2/bytes.ts";
import type { HeaderBlock } from "../http2/header-block.ts";
import { CANCEL, INTERNAL_ERROR } from "../http2/http2.ts";
import { Http2Stream } from "../http2/stream.ts";
import { deflate, inflate } from "./compression.ts";
import type { PacedCall } from "./call-pacer.ts";
import type { DeadlineEntry } from "./deadline-wheel.ts";
import { inflatedTooLarge, MESSAGE_COMPRESSED, MESSAGE_PREFIX_BYTES, messageTooLarge } from "./grpc.ts";
import { MessageAssembly } from "./message-assembly.ts";
import type { NativeConnection } from "./native-connection.ts";
import { planRequest, rejectTimeout } from "./request-plan.ts";
import type { RequestPlan } from "./request-plan.ts";
import type { Call, CallTrace } from "./service.ts";

const EMPTY = new Uint8Array(0);
const textEncoder = new TextEncoder();
/** HTTP status of a request that does not speak gRPC. */
const NOT_GRPC = 415;
const DEADLINE_TEXT = "context deadline exceeded";
/**
 * Time beyond its deadline for an answer that is under way. A client whose own timer is a little late must see the deadline, or the
 * answer, and no torn message; who does not read at all is cut off then.
 */
const DEADLINE_GRACE_MS = 1000;
const TOO_MANY = ERRORS[ErrorId.requestTooManyRequests];
const prefixScratch = new Uint8Array(MESSAGE_PREFIX_BYTES);

export class NativeCall extends Http2Stream implements Call, DeadlineEntry, PacedCall {
  state: unknown = undefined;
  deadlineMs = Infinity;
  cancelled = false;
  trace: CallTrace | null = null;
  deadlineNext: DeadlineEntry | null = null;
  deadlinePrevious: DeadlineEntry | null = null;
  deadlineSlot = -1;
  #owner!: NativeConnection;
  #headers!: HeaderBlock;
  #plan!: RequestPlan;
  /** The handler has seen the call, so it must learn of its end. */
  #delivered = false;
  /** The handler, or we in its place, set a status; nothing more can be sent. */
  #ended = false;
  /** The handler itself called {@link end}: the object may be reused. */
  #handlerEnded = false;
  #headersSent = false;
  #grpcCode = 0;
  /** When its first frame was read, in ms. */
  #startedMs = 0;
  #message = "";
  /** The deadline has passed, and the answer was under way. */
  #inGrace = false;
  /** Bytes that {@link sendPart} still owes to the message begun. */
  #partBytesLeft = 0;
  /** Its pacer counts it. */
  #paced = false;
  /** A message that is incomplete, or complete and waiting for the half-close or, in the pacer, for its turn. */
  #assembly: MessageAssembly | null = null;

  /** Prepares the object for a request on `owner`; {@link Http2Stream.open} follows. */
  reset(owner: NativeConnection): void {
    this.#owner = owner;
    this.state = undefined;
    this.deadlineMs = Infinity;
    this.cancelled = false;
    this.trace = null;
    this.#startedMs = owner.nowMs;
    this.#delivered = false;
    this.#ended = false;
    this.#handlerEnded = false;
    this.#headersSent = false;
    this.#inGrace = false;
    this.#partBytesLeft = 0;
    this.#paced = false;
    this.#assembly = null;
  }

  // Call

  get path(): string {
    return this.#headers.path ?? "";
  }

  get remote(): string {
    return this.#owner.remote;
  }

  metadata(name: string): string | undefined {
    return this.#headers.get(name);
  }

  sendMessage(bytes: Uint8Array, start: number, end: number): void {
    if (this.#ended) return;
    this.#owner.touch();
    const { counters } = this.#plan;
    counters.messagesSent++;
    counters.bytesSent += end - start;
    if (this.#paced) this.#owner.pacer.noteAnswer(end - start);
    if (this.#isSlow()) this.#tellSlow(GrpcCode.ok, bytes, start, end, end - start);
    if (!this.#headersSent) this.#sendHeaders();
    if (this.#plan.gzipResponse && end > start) {
      const packed = deflate(bytes, start, end);
      this.#sendFramed(MESSAGE_COMPRESSED, packed, 0, packed.length);
    } else {
      this.#sendFramed(0, bytes, start, end);
    }
  }

  startMessage(totalBytes: number): void {
    if (this.#ended) return;
    this.#owner.touch();
    const { counters } = this.#plan;
    counters.messagesSent++;
    counters.bytesSent += totalBytes;
    if (this.#paced) this.#owner.pacer.noteAnswer(totalBytes);
    if (this.#isSlow()) this.#tellSlow(GrpcCode.ok, EMPTY, 0, 0, totalBytes);
    if (!this.#headersSent) this.#sendHeaders();
    this.#partBytesLeft = totalBytes;
    this.#sendPrefix(0, totalBytes);
  }

  sendPart(bytes: Uint8Array, start: number, end: number): number {
    if (this.#ended) return 0;
    this.#owner.touch();
    this.#partBytesLeft -= end - start;
    this.connection.sender.send(this, bytes, start, end);
    return this.pendingLength;
  }

  pendingBytes(): number {
    return this.pendingLength;
  }

  pauseReading(): () => void {
    return this.#owner.pauseReading();
  }

  end(grpcCode: number, message: string): void {
    if (this.#ended) return;
    this.#handlerEnded = true;
    this.#owner.touch();
    if (!this.#headersSent && this.#isSlow()) this.#tellSlow(grpcCode, EMPTY, 0, 0, 0);
    this.#finish(grpcCode, message);
  }

  #isSlow(): boolean {
    const { shared } = this.#owner;
    return shared.nowMs - this.#startedMs > shared.slowMs;
  }

  /** Once a unary call: with its answer, or with its end when there is none. */
  #tellSlow(grpcCode: number, answer: Uint8Array, start: number, end: number, answerBytes: number): void {
    if (this.#plan.method?.kind !== "unary") return;
    const { shared } = this.#owner;
    const startedMs = this.#startedMs;
    const endedMs = shared.nowMs;
    shared.tellSlow(this, { grpcCode, startedMs, endedMs, answer, start, end, answerBytes });
  }

  // Http2Stream

  override onRequest(headers: HeaderBlock, endStream: boolean): void {
    this.#headers = headers;
    const { shared } = this.#owner;
    let plan = ((headers.memo as RequestPlan | undefined) ??= planRequest(
      shared.services,
      shared.counters,
      headers,
    ));
    headers.memo = plan;
    const timeout = headers.grpcTimeout;
    if (timeout !== null && timeout.timeoutMs < 0 && plan.httpStatus === 200)
      plan = rejectTimeout(timeout.value);
    this.#plan = plan;
    if (plan.method === null) {
      if (plan.httpStatus !== NOT_GRPC) this.#finish(plan.grpcCode, plan.message);
      else if (endStream) this.#answerHttp();
      return;
    }
    if (timeout !== null) {
      this.deadlineMs = this.#owner.nowMs + timeout.timeoutMs;
      if (timeout.timeoutMs === 0) return this.#finish(GrpcCode.deadlineExceeded, DEADLINE_TEXT);
      shared.addDeadline(this);
    }
    if (!plan.singleRequest) {
      this.#start();
      plan.method.onOpen?.(this);
    }
    if (endStream && !this.#ended) this.#onRequestEnd();
  }

  override onData(bytes: Uint8Array, start: number, end: number, endStream: boolean): void {
    if (this.#plan.method === null) {
      if (endStream && this.#plan.httpStatus === NOT_GRPC) this.#answerHttp();
      return;
    }
    if (this.#ended) return;
    if (this.#assembly !== null) start = this.#continueAssembly(bytes, start, end);
    while (end - start >= MESSAGE_PREFIX_BYTES && !this.#ended) {
      const length = readUint32(bytes, start + 1);
      const from = start + MESSAGE_PREFIX_BYTES;
      if (end - from < length || (this.#plan.singleRequest && !(endStream && from + length === end))) break;
      if (length > this.#owner.shared.limits.receiveBytesMax) return this.#tooLarge(length);
      if (this.#plan.paced && !this.#owner.pacer.admits()) break;
      start = from + length;
      this.#deliver(bytes[from - MESSAGE_PREFIX_BYTES], bytes, from, start);
      if (this.#plan.singleRequest) return;
    }
    while (start < end && !this.#ended) start = this.#continueAssembly(bytes, start, end);
    if (endStream && !this.#ended) this.#onRequestEnd();
  }

  override onTrailers(): void {
    if (this.#plan.method === null) {
      if (this.#plan.httpStatus === NOT_GRPC) this.#answerHttp();
    } else if (!this.#ended) {
      this.#onRequestEnd();
    }
  }

  override onReset(): void {
    this.#cancel(GrpcCode.canceled);
  }

  override onDrained(): void {
    if (!this.#ended) this.#plan.method!.onDrain?.(this);
  }

  override writeEnd(): void {
    const blocks = this.#owner.blocks;
    const { httpStatus, contentType } = this.#plan;
    if (httpStatus === NOT_GRPC) return this.connection.writeEmptyEnd(this);
    if (this.#headersSent) blocks.trailers(this.#grpcCode, this.#message);
    else blocks.trailersOnly(httpStatus, contentType, this.#grpcCode, this.#message);
    this.connection.writeHeaders(this, blocks.bytes, blocks.length, true);
  }

  override onClosed(): void {
    this.#owner.shared.removeDeadline(this);
    if (this.#paced) this.#owner.pacer.end();
    else if (this.#plan.paced) this.#owner.pacer.leave(this);
    this.#dropAssembly();
    if (this.#handlerEnded && !this.queued) this.#owner.shared.releaseCall(this);
  }

  // PacedCall

  get parkedBytes(): number {
    return this.#assembly === null ? 0 : this.#assembly.length;
  }

  deliverParked(): void {
    this.#deliverAssembly();
  }

  // DeadlineEntry

  onDeadline(): void {
    this.#owner.touch();
    const isUnderWay = this.#ended || this.#partBytesLeft > 0 || this.pendingLength > 0;
    if (!isUnderWay) {
      this.#cancel(GrpcCode.deadlineExceeded);
      this.#setStatus(GrpcCode.deadlineExceeded, DEADLINE_TEXT);
      this.writeEnd();
    } else if (this.#inGrace) {
      this.#cancel(GrpcCode.deadlineExceeded);
      this.connection.resetStream(this, CANCEL);
    } else {
      this.#inGrace = true;
      this.deadlineMs = this.#owner.nowMs + DEADLINE_GRACE_MS;
      this.#owner.shared.addDeadline(this);
    }
  }

  // Requests

  #deliver(flag: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.#plan.paced) {
      this.#paced = true;
      this.#owner.pacer.begin();
    }
    if (flag !== 0) this.#deliverCompressed(flag, bytes, start, end);
    else this.#hand(bytes, start, end);
  }

  /** Hands a message to the handler. */
  #hand(bytes: Uint8Array, start: number, end: number): void {
    const { counters, method, singleRequest } = this.#plan;
    if (singleRequest) this.#start();
    counters.messagesReceived++;
    counters.bytesReceived += end - start;
    method!.onMessage(this, bytes, start, end);
  }

  /** The handler is about to see the call. */
  #start(): void {
    this.#delivered = true;
    const { counters, version, traceparent } = this.#plan;
    counters.started++;
    version.calls++;
    const { tracer } = this.#owner.shared;
    if (tracer !== null) this.trace = tracer.begin(this, traceparent);
  }

  #deliverCompressed(flag: number, bytes: Uint8Array, start: number, end: number): void {
    if (flag !== MESSAGE_COMPRESSED) {
      return this.#refuse(GrpcCode.internal, `grpc: received unexpected payload format ${flag}`);
    }
    if (!this.#plan.gzipRequest) {
      return this.#refuse(GrpcCode.internal, "grpc: compressed flag set with identity or empty encoding");
    }
    const bytesMax = this.#owner.shared.limits.receiveBytesMax;
    const inflated = inflate(bytes, start, end, bytesMax);
    if (inflated === "too large") return this.#refuse(GrpcCode.resourceExhausted, inflatedTooLarge(bytesMax));
    if (inflated === "corrupt") {
      return this.#refuse(GrpcCode.internal, "grpc: failed to decompress the message: gzip: invalid header");
    }
    this.#hand(inflated, 0, inflated.length);
  }

  /** Feeds the unfinished message; returns the offset behind what it took. */
  #continueAssembly(bytes: Uint8Array, start: number, end: number): number {
    const assembly = (this.#assembly ??= new MessageAssembly());
    if (assembly.whole && start < end) {
      this.#refuse(GrpcCode.internal, "cardinality violation: received multiple request messages");
      return end;
    }
    start = assembly.takePrefix(bytes, start, end);
    if (assembly.length < 0) return start;
    if (assembly.length > this.#owner.shared.limits.receiveBytesMax) {
      this.#tooLarge(assembly.length);
      return end;
    }
    const before = assembly.bytes.length;
    start = assembly.takeBytes(bytes, start, end);
    const { assembling } = this.#owner;
    assembling.add(assembly.bytes.length - before);
    const excess = assembling.excess();
    if (excess !== null) {
      this.#refuse(GrpcCode.resourceExhausted, excess);
      return end;
    }
    if (assembly.whole && !this.#plan.singleRequest) this.#deliverAssembly();
    return start;
  }

  #deliverAssembly(): void {
    const assembly = this.#assembly!;
    this.#dropAssembly();
    this.#deliver(assembly.flag, assembly.bytes, 0, assembly.length);
  }

  #onRequestEnd(): void {
    const assembly = this.#assembly;
    if (assembly !== null && !assembly.whole) return this.#refuse(GrpcCode.internal, "unexpected EOF");
    if (!this.#plan.singleRequest) {
      this.#plan.method!.onHalfClose?.(this);
    } else if (assembly === null) {
      this.#refuse(GrpcCode.internal, "cardinality violation: received no request message");
    } else if (!this.#plan.paced || this.#owner.pacer.admits()) {
      this.#deliverAssembly();
    } else if (!this.#owner.pacer.park(this)) {
      this.#refuse(TOO_MANY.grpcCode, TOO_MANY.message);
    }
  }

  #tooLarge(length: number): void {
    this.#refuse(
      GrpcCode.resourceExhausted,
      messageTooLarge(length, this.#owner.shared.limits.receiveBytesMax),
    );
  }

  #dropAssembly(): void {
    if (this.#assembly === null) return;
    this.#owner.assembling.add(-this.#assembly.bytes.length);
    this.#assembly = null;
  }

  // Responses

  #sendHeaders(): void {
    this.#headersSent = true;
    const blocks = this.#owner.blocks;
    blocks.headers(this.#plan.contentType, this.#plan.gzipResponse);
    this.connection.writeHeaders(this, blocks.bytes, blocks.length, false);
  }

  #sendFramed(flag: number, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    const sender = this.connection.sender;
    if (!sender.beginWhole(this, MESSAGE_PREFIX_BYTES + length)) {
      this.#sendPrefix(flag, length);
      sender.send(this, bytes, start, end);
      return;
    }
    const output = this.connection.output;
    const at = output.position;
    output.bytes[at] = flag;
    writeUint32(output.bytes, at + 1, length);
    copyBytes(bytes, start, end, output.bytes, at + MESSAGE_PREFIX_BYTES);
    output.position = at + MESSAGE_PREFIX_BYTES + length;
  }

  #sendPrefix(flag: number, length: number): void {
    prefixScratch[0] = flag;
    writeUint32(prefixScratch, 1, length);
    this.connection.sender.send(this, prefixScratch, 0, MESSAGE_PREFIX_BYTES);
  }

  /** Answers what is not gRPC, once its request has ended: with a text that people can read. */
  #answerHttp(): void {
    this.#owner.touch();
    this.#ended = true;
    const body = textEncoder.encode(this.#plan.message);
    const blocks = this.#owner.blocks;
    blocks.http(this.#plan.httpStatus, body.length);
    this.connection.writeHeaders(this, blocks.bytes, blocks.length, false);
    this.connection.sender.send(this, body, 0, body.length);
    if (this.pendingLength > 0) this.endWanted = true;
    else this.writeEnd();
  }

  /** Sets the status and sends it behind everything that waits. */
  #finish(grpcCode: number, message: string): void {
    this.#owner.touch();
    this.#setStatus(grpcCode, message);
    this.#dropAssembly();
    if (this.#partBytesLeft !== 0) return this.connection.resetStream(this, INTERNAL_ERROR);
    if (this.pendingLength > 0) this.endWanted = true;
    else this.writeEnd();
  }

  #setStatus(grpcCode: number, message: string): void {
    if (this.#delivered && !this.#ended) this.#countEnd(grpcCode);
    this.#ended = true;
    this.#grpcCode = grpcCode;
    this.#message = message;
  }

  #countEnd(grpcCode: number): void {
    const { handledByCode, durations } = this.#plan.counters;
    handledByCode[grpcCode]++;
    durations?.observe((performance.now() - this.#startedMs) / 1000);
    if (this.trace !== null) this.trace.ended(grpcCode);
  }

  /** Ends the call for a fault of the request. */
  #refuse(grpcCode: number, message: string): void {
    this.#cancel(grpcCode);
    this.#finish(grpcCode, message);
  }

  /** The call ends without its handler. */
  #cancel(grpcCode: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.cancelled = true;
    if (!this.#delivered) return;
    if (!this.#headersSent && this.#isSlow()) this.#tellSlow(grpcCode, EMPTY, 0, 0, 0);
    this.#countEnd(grpcCode);
    this.#plan.method!.onCancel?.(this);
  }
}
