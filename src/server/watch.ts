/**
 * The Watch service. It owns the open Watch calls and how much each may be sent; who watches what is the watch thread's. Requests go
 * through apply, which puts them in their place among the events. Responses come with their events encoded: here they get the header
 * and the watch id, and are copied into the socket buffers of all who want them.
 *
 * A client that does not read is sent no more than its window: then the watch thread keeps its place in history, and nothing else.
 */

import { ERRORS, ErrorId } from "../base/errors.ts";
import { viewOf } from "../base/bytes.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";
import type { MemberIdentity } from "../proto/response-header.ts";
import { WireReader } from "../proto/wire.ts";
import { RecordType, WatchAnswerKind } from "../ring/record-types.ts";
import { decodeCreate } from "../watch/create-request.ts";
import { RESPONSE_OVERHEAD_BYTES } from "../watch/watch-limits.ts";
import { InternalCall } from "./internal-call.ts";
import { LeaderMonitor } from "./leader-monitor.ts";
import type { Router } from "./router.ts";
import { WatchBacklog } from "./watch-backlog.ts";
import { WatchMessages } from "./watch-messages.ts";
import { type WatchCall, WatchWindows } from "./watch-windows.ts";

const EMPTY = new Uint8Array(0);
const TARGETS_AT = 16;
const TARGET_BYTES = 12;
const TAG_CREATE = 0x0a;
const TAG_CANCEL = 0x12;
const TAG_PROGRESS = 0x1a;
const TAG_WATCH_ID = 0x08;
/** A close that finds the ring and its queue full is tried again. */
const CLOSE_RETRY_MS = 100;

export interface WatchOptions extends MemberIdentity {
  readonly electionTimeoutMs: number;
  /** Called with every stream that opens, before anything is asked on it: the watch thread is wanted. */
  readonly onOpen?: () => void;
  /**
   * Why this call may not watch this range, as etcd says it in `cancel_reason`; null if it may. Asked once a watch.
   * `end`: as in the request, empty for a single key.
   */
  readonly mayWatch?: (call: Call, key: Uint8Array, end: Uint8Array | null) => string | null;
}

export class WatchService implements MethodHandler {
  readonly path = "/etcdserverpb.Watch/Watch";
  readonly kind = "bidi";
  readonly #router: Router;
  readonly #options: WatchOptions;
  readonly #windows: WatchWindows;
  readonly #backlog: WatchBacklog;
  readonly #messages: WatchMessages;
  readonly #monitor: LeaderMonitor;
  /** By number; a number is free again when the watch thread has acknowledged the close. */
  readonly #calls: Array<WatchCall | null> = [];
  readonly #freeNumbers: number[] = [];
  readonly #request = new WireReader();
  #stopping = false;

  constructor(router: Router, options: WatchOptions) {
    this.#router = router;
    this.#options = options;
    this.#messages = new WatchMessages(options);
    this.#windows = new WatchWindows((number, bytes) => {
      const payload = new Uint8Array(4);
      new DataView(payload.buffer).setInt32(0, bytes, true);
      return router.tellWatch(RecordType.credit, number, payload);
    });
    this.#backlog = new WatchBacklog(() => router.tellApply(RecordType.watchFence, 0, EMPTY));
    this.#monitor = new LeaderMonitor(options.electionTimeoutMs, () => router.status.leaderId !== 0n);
    router.onRecord(RecordType.watchEvents, this.#onEvents);
    router.onRecord(RecordType.watchAnswer, this.#onAnswer);
    router.stopListeners.add(() => this.#stop());
  }

  /** Open calls. */
  get streams(): number {
    return this.#calls.length - this.#freeNumbers.length;
  }

  onOpen(call: Call): void {
    const { status } = this.#router;
    if (this.#stopping) return refuse(call, ErrorId.stopped);
    if (status.isLearner && !(call instanceof InternalCall))
      return refuse(call, ErrorId.notSupportedForLearner);
    const requiresLeader = call.metadata("hasleader") === "true";
    if (requiresLeader && status.leaderId === 0n) return refuse(call, ErrorId.noLeader);
    this.#options.onOpen?.();
    const number = this.#freeNumbers.pop() ?? this.#calls.length;
    const state: WatchCall = this.#windows.open(number, call);
    this.#calls[number] = state;
    call.state = state;
    if (requiresLeader) this.#monitor.add(state, () => this.#end(state, ErrorId.noLeader));
  }

  /** WatchRequest {1 create_request, 2 cancel_request, 3 progress_request}: one of them. */
  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    const state = call.state as WatchCall | undefined;
    // What a client sent before it heard that the stream was refused.
    if (state === undefined || state.closed) return;
    const request = this.#request;
    let last = 0;
    let from = 0;
    let to = 0;
    request.reset(bytes, start, end);
    for (let tag = request.tag(); tag !== 0; tag = request.tag()) {
      if (tag === TAG_CREATE || tag === TAG_CANCEL || tag === TAG_PROGRESS) {
        const length = request.length();
        last = tag;
        from = request.position;
        to = from + length;
        request.advance(length);
      } else request.skip(tag);
    }
    if (request.failed) {
      this.#router.meters.watchReceiveFailures.add(1);
      return this.#end(state, ErrorId.malformedRequest);
    }
    if (last === TAG_CREATE) this.#create(state, bytes, from, to);
    else if (last === TAG_CANCEL) this.#cancel(state, bytes, from, to);
    else if (last === TAG_PROGRESS) this.#tell(state, RecordType.watchProgress, EMPTY);
  }

  onCancel(call: Call): void {
    this.#close(call.state as WatchCall | undefined);
  }

  onDrain(call: Call): void {
    const state = call.state as WatchCall | undefined;
    if (state !== undefined) this.#windows.drained(state);
  }

  #create(state: WatchCall, bytes: Uint8Array, start: number, end: number): void {
    const create = decodeCreate(bytes, start, end);
    if (create === null) return this.#end(state, ErrorId.malformedRequest);
    const reason = this.#options.mayWatch?.(state.call, create.key, create.end) ?? "";
    const text = reason === "" ? EMPTY : new TextEncoder().encode(reason);
    const payload = new Uint8Array(2 + text.length + end - start);
    payload[0] = text.length;
    payload[1] = text.length >>> 8;
    payload.set(text, 2);
    payload.set(bytes.subarray(start, end), 2 + text.length);
    this.#tell(state, RecordType.watchCreate, payload);
  }

  /** WatchCancelRequest {1 watch_id}. */
  #cancel(state: WatchCall, bytes: Uint8Array, start: number, end: number): void {
    const request = this.#request;
    const payload = new Uint8Array(8);
    const view = new DataView(payload.buffer);
    request.reset(bytes, start, end);
    for (let tag = request.tag(); tag !== 0; tag = request.tag()) {
      if (tag === TAG_WATCH_ID) {
        request.varint();
        view.setUint32(0, request.low, true);
        view.setUint32(4, request.high, true);
      } else request.skip(tag);
    }
    if (request.failed) return this.#end(state, ErrorId.malformedRequest);
    this.#tell(state, RecordType.watchCancel, payload);
  }

  #tell(state: WatchCall, type: number, payload: Uint8Array): void {
    if (this.#router.tellApply(type, state.number, payload)) this.#backlog.sent(state);
    else this.#end(state, ErrorId.requestTooManyRequests);
  }

  /** Ends the call from here. */
  #end(state: WatchCall, errorId: number): void {
    if (state.closed) return;
    refuse(state.call, errorId);
    this.#close(state);
    this.#router.flush();
  }

  /** The call has ended. */
  #close(state: WatchCall | undefined): void {
    if (state === undefined || state.closed) return;
    state.closed = true;
    this.#monitor.remove(state);
    this.#windows.close(state);
    this.#sendClose(state.number);
  }

  #sendClose(number: number): void {
    if (this.#router.tellApply(RecordType.watchClose, number, EMPTY)) return;
    setTimeout(() => this.#sendClose(number), CLOSE_RETRY_MS).unref();
  }

  #stop(): void {
    this.#stopping = true;
    this.#monitor.stop();
    for (const state of this.#calls) if (state !== null) this.#end(state, ErrorId.stopped);
    this.#backlog.release();
  }

  readonly #onEvents = (bytes: Uint8Array, start: number): void => {
    const view = viewOf(bytes);
    let at = bytes.byteOffset + start;
    const targets = view.getUint32(at + 8, true);
    const eventBytes = view.getUint32(at + 12, true);
    const eventsAt = start + TARGETS_AT + targets * TARGET_BYTES;
    const messages = this.#messages;
    messages.begin(
      this.#router.status.term,
      view.getFloat64(at, true),
      bytes,
      eventsAt,
      eventsAt + eventBytes,
    );
    const cost = eventBytes + RESPONSE_OVERHEAD_BYTES;
    at += TARGETS_AT;
    for (let i = 0; i < targets; i++, at += TARGET_BYTES) {
      const state = this.#calls[view.getUint32(at, true)];
      if (state === null || state.closed) continue;
      messages.setWatchId(view.getUint32(at + 4, true), view.getUint32(at + 8, true));
      state.call.sendMessage(messages.bytes, messages.start, messages.end);
      this.#windows.received(state, cost);
    }
    this.#router.noteCopies(targets * cost);
  };

  readonly #onAnswer = (bytes: Uint8Array, start: number, end: number, number: number): void => {
    const kind = bytes[start];
    if (kind === WatchAnswerKind.fence) return this.#backlog.passed();
    if (kind === WatchAnswerKind.closed) {
      this.#calls[number] = null;
      this.#freeNumbers.push(number);
      return;
    }
    const state = this.#calls[number];
    if (state === null || state.closed) return;
    const { call } = state;
    const { term } = this.#router.status;
    const messages = this.#messages;
    const view = viewOf(bytes);
    const at = bytes.byteOffset + start + 1;
    if (kind === WatchAnswerKind.message) {
      messages.control(term, view.getFloat64(at, true), bytes, start + 9, end);
      call.sendMessage(messages.bytes, messages.start, messages.end);
      this.#windows.received(state, RESPONSE_OVERHEAD_BYTES);
    } else if (kind === WatchAnswerKind.longHead) {
      messages.control(term, view.getFloat64(at, true), EMPTY, 0, 0);
      const bodyBytes = view.getFloat64(at + 8, true);
      call.startMessage(messages.end - messages.start + bodyBytes);
      call.sendPart(messages.bytes, messages.start, messages.end);
      this.#windows.received(state, bodyBytes + RESPONSE_OVERHEAD_BYTES);
    } else call.sendPart(bytes, start + 1, end);
  };
}

function refuse(call: Call, errorId: number): void {
  const row = ERRORS[errorId];
  call.end(row.grpcCode, row.message);
}
