/**
 * The router: what stands in main between the services and the rings. It owns the pending requests; it gives each request
 * its id, puts it into the ring that serves it and turns what comes back into calls on the transport.
 * It never decodes what it forwards and never blocks. Services are its users; `workers/supervisor.ts` makes it.
 */

import { assert } from "../base/assert.ts";
import { viewOf } from "../base/bytes.ts";
import { copyBytes } from "../base/copy-bytes.ts";
import { applyOp } from "../apply/apply-ops.ts";
import { ERRORS, ErrorId, GrpcCode } from "../base/errors.ts";
import { openMeters } from "../base/meters.ts";
import { MAIN_LAYOUT, type MainMeters, REQUEST_TYPES } from "../base/thread-meters.ts";
import type { Call, CallTrace, ServerTransport } from "../grpc/service.ts";
import type { GroupReport } from "../cluster/reconfig.ts";
import { type ConfChangeMessage, encodeConfChange } from "../proto/conf-change.ts";
import { raftRequestBytes, writeRaftRequest } from "../proto/raft-request.ts";
import { ReadKind, RecordType } from "../ring/record-types.ts";
import { AnswerStreams } from "./answer-streams.ts";
import { type CallFailure, InternalCall } from "./internal-call.ts";
import { MemberStatus } from "./member-status.ts";
import { Outbox } from "./outbox.ts";
import { encodePeerAnswer, type PeerRequestHandler, PeerRequests } from "./peer-requests.ts";
import { PendingRequests } from "./pending-requests.ts";
import { RequestTimeouts } from "./request-timeouts.ts";
import { RouterInboxes } from "./router-inboxes.ts";
import type { RecalledRecord, RecordHandler, RouterOptions } from "./router-options.ts";
import { Transports } from "./transports.ts";
import { TurnClock } from "./turn-clock.ts";

/** How often requests are looked at for their time-out; a request may live that much longer than `requestTimeoutMs`. */
const SWEEP_INTERVAL_MS = 250;
/** Entries that are committed and not applied, beyond which proposals are refused; etcd's number. */
const UNAPPLIED_ENTRIES_MAX = 5000;
/** By ReadKind, a position in REQUEST_TYPES. */
const READ_TYPES: readonly (number | undefined)[] = [
  undefined,
  REQUEST_TYPES.indexOf("Range"),
  REQUEST_TYPES.indexOf("ReadonlyTxn"),
];
const TERM_BYTES = 8;

export class Router {
  readonly status: MemberStatus;
  /** What main counts; services count here, too. */
  readonly meters: MainMeters;
  readonly #options: RouterOptions;
  readonly #pending: PendingRequests;
  /** Bits 32..63 of every request id but the id's own: the member's prefix. */
  readonly #prefixHigh: number;
  readonly #toRaft: Outbox;
  readonly #toApply: Outbox;
  readonly #toWatch: Outbox | null;
  readonly #sweeper: NodeJS.Timeout;
  readonly #streams: AnswerStreams;
  readonly #recordHandlers = new Map<number, RecordHandler>();
  readonly #peerRequests = new PeerRequests();
  readonly #transports = new Transports();
  readonly #clock = new TurnClock();
  readonly #inboxes: RouterInboxes;
  readonly #timeouts: RequestTimeouts;
  #stopped = false;
  #sweptMs = performance.now();

  constructor(options: RouterOptions) {
    this.#options = options;
    this.meters = options.meters ?? openMeters(MAIN_LAYOUT);
    this.#pending = new PendingRequests(options.firstRequestId);
    this.status = new MemberStatus(options.memberId);
    this.#prefixHigh = Number(options.memberId & 0xffffn) * 0x1_0000;
    const onFull = (full: boolean): void => this.#transports.noteRing(full);
    this.#toRaft = new Outbox(options.toRaft, onFull, options.onFailure);
    this.#toApply = new Outbox(options.toApply, onFull, options.onFailure);
    this.#toWatch =
      options.toWatch === undefined ? null : new Outbox(options.toWatch, onFull, options.onFailure);
    this.#streams = new AnswerStreams((id, bytes) => {
      const payload = new Uint8Array(4);
      new DataView(payload.buffer).setUint32(0, bytes, true);
      this.#toApply.write(RecordType.credit, id, payload);
    });
    this.#inboxes = new RouterInboxes(options.inboxes, this.#onRecord);
    this.#timeouts = new RequestTimeouts({
      pending: this.#pending,
      status: this.status,
      requestTimeoutMs: options.requestTimeoutMs,
      electionTimeoutMs: options.electionTimeoutMs,
      raftReport: (timeoutMs) => this.raftReport(timeoutMs),
      onRemoved: (id) => this.#onExpired(id),
      end: (calls) => {
        for (const { call, errorId } of calls) this.#refuse(call, errorId);
        this.flush();
      },
    });
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
    this.#sweeper.unref();
  }

  /** Transports to flush after each batch of answers, and to pause while a ring is full. */
  attach(transport: ServerTransport): void {
    this.#transports.add(transport);
  }

  /** Requests in progress. */
  get pendingRequests(): number {
    return this.#pending.size;
  }

  /** Proposes the client's message bytes (borrowed) as payload `field` of an InternalRaftRequest. */
  propose(call: Call, field: number, bytes: Uint8Array, start: number, end: number): void {
    if (!(call instanceof InternalCall) && this.#isApplyBehind()) {
      this.#refuse(call, ErrorId.requestTooManyRequests);
      return;
    }
    const id = this.#admit(call, false, applyOp(field));
    if (id < 0) return;
    const idLow = id >>> 0;
    const idHigh = this.#highHalf(id);
    const length = raftRequestBytes(field, end - start, idLow, idHigh);
    if (length > this.#options.requestBytesMax) {
      this.fail(id, ErrorId.requestTooLarge);
      return;
    }
    const trace = call.trace ?? null;
    const offset = trace === null ? this.#toRaft.reserve(length) : -1;
    if (offset >= 0) {
      writeRaftRequest(this.#toRaft.ring.bytes, offset, field, bytes, start, end, idLow, idHigh);
      this.#toRaft.commit(RecordType.propose, id, length);
      this.#pending.notePlace(id, offset);
      return;
    }
    const payload = new Uint8Array(length);
    writeRaftRequest(payload, 0, field, bytes, start, end, idLow, idHigh);
    if (!this.#toRaft.write(RecordType.propose, id, payload, trace))
      this.fail(id, ErrorId.requestTooManyRequests);
  }

  /**
   * As {@link propose}, of what follows from this member leading in `term`: fails with `not leader` if it leads in that term no more.
   * Not forwarded, and not held back when many entries wait to be applied.
   */
  proposeAsLeader(call: Call, term: number, field: number, bytes: Uint8Array): void {
    const id = this.#admit(call, false);
    if (id < 0) return;
    const idLow = id >>> 0;
    const idHigh = this.#highHalf(id);
    const payload = new Uint8Array(TERM_BYTES + raftRequestBytes(field, bytes.length, idLow, idHigh));
    new DataView(payload.buffer).setFloat64(0, term, true);
    writeRaftRequest(payload, TERM_BYTES, field, bytes, 0, bytes.length, idLow, idHigh);
    if (!this.#toRaft.write(RecordType.proposeAsLeader, id, payload))
      this.fail(id, ErrorId.requestTooManyRequests);
  }

  /** What a call's request was, as long as the ring that took it has it still: borrowed until the next request. For log lines. */
  recall(call: Call): RecalledRecord | null {
    const id = call.state;
    const start = typeof id === "number" ? this.#pending.placeOf(id) : -1;
    if (typeof id !== "number" || start < 0) return null;
    const raft = this.#toRaft.ring;
    const apply = this.#toApply.ring;
    const proposed = raft.recall(start, RecordType.propose, id);
    if (proposed >= 0) return { bytes: raft.bytes, start, end: start + proposed, isProposal: true };
    for (const ring of [raft, apply]) {
      const length = ring.recall(start, RecordType.read, id);
      if (length >= 0) return { bytes: ring.bytes, start, end: start + length, isProposal: false };
    }
    return null;
  }

  /** A new id, as those of requests: unique among all members' for ever. Two unsigned halves. */
  newId(): { readonly low: number; readonly high: number } {
    const id = this.#pending.skipId();
    return { low: id >>> 0, high: this.#highHalf(id) };
  }

  /** Bits 32 to 63 of a request's full id. */
  #highHalf(id: number): number {
    return (this.#prefixHigh | Math.floor(id / 0x1_0000_0000)) >>> 0;
  }

  /** Sends a read (see ReadKind): through raft when it must be linearizable, else straight to apply. */
  read(call: Call, kind: number, linearizable: boolean, bytes: Uint8Array, start: number, end: number): void {
    const id = this.#admit(call, kind === ReadKind.range && !linearizable, READ_TYPES[kind] ?? 0);
    if (id < 0) return;
    const outbox = linearizable ? this.#toRaft : this.#toApply;
    const length = 1 + end - start;
    const trace = call.trace ?? null;
    const offset = trace === null ? outbox.reserve(length) : -1;
    if (offset >= 0) {
      const target = outbox.ring.bytes;
      target[offset] = kind;
      copyBytes(bytes, start, end, target, offset + 1);
      outbox.commit(RecordType.read, id, length);
      this.#pending.notePlace(id, offset);
      return;
    }
    const payload = new Uint8Array(length);
    payload[0] = kind;
    payload.set(bytes.subarray(start, end), 1);
    if (!outbox.write(RecordType.read, id, payload, trace)) this.fail(id, ErrorId.requestTooManyRequests);
  }

  /** Proposes a membership change; apply answers with the service's response. Its checks have been made. */
  proposeConfChange(call: Call, change: Omit<ConfChangeMessage, "id">): void {
    const id = this.#admit(call, false);
    if (id < 0) return;
    const fullId = (BigInt(this.#prefixHigh) << 32n) | BigInt(id);
    const payload = encodeConfChange({ ...change, id: fullId });
    if (!this.#toRaft.write(RecordType.proposeConfChange, id, payload))
      this.fail(id, ErrorId.requestTooManyRequests);
  }

  /** Has raft hand leadership to member `id`. Who leads then shows in {@link status}. */
  transferLeader(id: bigint): void {
    const payload = new Uint8Array(8);
    new DataView(payload.buffer).setBigUint64(0, id, true);
    this.#toRaft.write(RecordType.transferLeader, 0, payload);
  }

  /** What raft knows of the others now. Rejects when there is no answer within `timeoutMs`. */
  raftReport(timeoutMs: number): Promise<GroupReport> {
    const { promise, resolve, reject } = Promise.withResolvers<GroupReport>();
    const timer = setTimeout(() => reject(new Error("raft gave no report")), timeoutMs);
    timer.unref();
    this.request((call) => {
      const id = this.#admit(call, true);
      if (id >= 0) this.#toRaft.write(RecordType.raftReport, id, EMPTY);
    })
      .then((bytes) => resolve(JSON.parse(new TextDecoder().decode(bytes)) as GroupReport), reject)
      .finally(() => clearTimeout(timer));
    return promise;
  }

  /**
   * Has raft and apply say, as part of `trace`, what they did since `trace.nowMs()` for a request answered in this turn: the status
   * behind the answers of a batch says up to which entry it went. To be called once that has been taken.
   */
  readonly askStages = (trace: CallTrace, isRead: boolean): void => {
    this.#toRaft.write(RecordType.slowRequest, isRead ? 0 : this.status.appliedIndex, EMPTY, trace);
  };

  /** Sends a record that is no request to apply; takes the payload over. False: there is no room, even to wait. */
  tellApply(type: number, id: number, payload: Uint8Array): boolean {
    return this.#toApply.write(type, id, payload);
  }

  /** The same to the watch thread. */
  tellWatch(type: number, id: number, payload: Uint8Array): boolean {
    return this.#toWatch?.write(type, id, payload) ?? false;
  }

  /** Called once when the member stops, in front of everything that then fails: ends the calls that would never end. */
  readonly stopListeners = new Set<() => void>();

  /** The member begins to stop: calls that wait for nothing but their client end. */
  endStreams(): void {
    const listeners = [...this.stopListeners];
    this.stopListeners.clear();
    for (const listener of listeners) listener();
  }

  /** Sets who takes records of this type; the bytes are borrowed. */
  onRecord(type: number, handler: RecordHandler): void {
    this.#recordHandlers.set(type, handler);
  }

  /** Sets who answers requests of other members of this PeerRequestKind. */
  onPeerRequest(kind: number, handler: PeerRequestHandler): void {
    this.#peerRequests.on(kind, handler);
  }

  /**
   * Whether a call that main answers itself may go on; ends it if not.
   * @param forLearner learners answer it too
   */
  admits(call: Call, forLearner: boolean): boolean {
    const errorId = this.#admissionError(call, forLearner);
    if (errorId !== ErrorId.none) this.#refuse(call, errorId);
    return errorId === ErrorId.none;
  }

  /** A request of the member's own; resolves with the response message. */
  request(send: (call: Call) => void): Promise<Uint8Array> {
    const call = new InternalCall();
    send(call);
    return call.response;
  }

  /** Ends a call that main answers after a while, unless the client has gone meanwhile. Code 0 is success. */
  end(call: Call, status: CallFailure): void {
    if (call.cancelled) return;
    call.end(status.grpcCode, status.message);
    this.flush();
  }

  /** Writes out what main itself has sent on calls, outside of answers that come through the rings. */
  flush(): void {
    this.#transports.flush();
  }

  /** The transport ended this call (cancel, deadline, lost connection): whatever comes for it is dropped. */
  cancel(call: Call): void {
    const id = call.state as number;
    if (this.#pending.remove(id) === null && this.#streams.remove(id) === null) return;
    this.#toApply.write(RecordType.cancel, id, EMPTY);
  }

  /** The client has taken everything that waited for this call: lets apply go on. */
  drained(call: Call): void {
    this.#streams.drained(call);
  }

  /** Ends a pending request with a row of the error table. */
  fail(id: number, errorId: number): void {
    const row = ERRORS[errorId];
    assert(row !== undefined, "unknown error id", errorId);
    const call = this.#pending.remove(id);
    if (call === null) return;
    this.#noteTaken(this.meters.failed);
    call.end(row.grpcCode, row.message);
  }

  /** Takes what the other threads have sent. Returns the number of records; 0 = all inboxes were empty. */
  drainInboxes(): number {
    const records = this.#inboxes.drain();
    if (records > 0) this.flush();
    return records;
  }

  /** Takes them in the middle of other work, so that {@link status} is as new as it can be: its changes alone wake nobody. */
  refreshStatus(): void {
    if (this.#inboxes.drain() > 0) setImmediate(() => this.flush());
  }

  /** True if apply has more entries in front of it than new ones may join. */
  #isApplyBehind(): boolean {
    const { status } = this;
    if (status.commitIndex - status.appliedIndex <= UNAPPLIED_ENTRIES_MAX) return false;
    // How far apply is stands behind its answers, and after a pause of this thread those may be more than one drain takes.
    let drained = 0;
    while (status.commitIndex - status.appliedIndex > UNAPPLIED_ENTRIES_MAX) {
      const records = this.#inboxes.drain();
      if (records === 0) break;
      drained += records;
    }
    if (drained > 0) setImmediate(() => this.flush());
    return status.commitIndex - status.appliedIndex > UNAPPLIED_ENTRIES_MAX;
  }

  /** For record handlers: one record was copied to many clients, so many bytes in all. After too many others get their turn. */
  noteCopies(bytes: number): void {
    this.#inboxes.noteCopies(bytes);
  }

  inboxesEmpty(): boolean {
    return this.#inboxes.isEmpty();
  }

  /** Fails everything in progress and all that comes: the member stops. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#sweeper);
    this.endStreams();
    this.#timeouts.endAll(ErrorId.stopped);
    this.#streams.removeAll((call) => this.#refuse(call, ErrorId.stopped));
    this.flush();
  }

  #admissionError(call: Call, forLearner: boolean): number {
    if (this.#stopped) return ErrorId.stopped;
    // The member's own requests (publishing its name) go on while it learns.
    if (this.status.isLearner && !forLearner && !(call instanceof InternalCall))
      return ErrorId.notSupportedForLearner;
    if (this.status.leaderId === 0n && call.metadata("hasleader") === "true") return ErrorId.noLeader;
    return ErrorId.none;
  }

  /** @param type position in REQUEST_TYPES; 0 = its duration is not noted */
  #admit(call: Call, forLearner: boolean, type = 0): number {
    const errorId = this.#admissionError(call, forLearner);
    if (errorId !== ErrorId.none) return this.#refuse(call, errorId);
    const id = this.#pending.add(call, this.#clock.now(), type);
    if (id < 0) return this.#refuse(call, ErrorId.requestTooManyRequests);
    call.state = id;
    return id;
  }

  /** Notes how long the request took that was taken out of the pending ones last. */
  #noteTaken(durations: MainMeters["answered"]): void {
    const { takenType, removedStartedMs } = this.#pending;
    if (takenType !== 0)
      durations[takenType].observe(Math.max(0, this.#inboxes.drainedMs - removedStartedMs) / 1000);
  }

  #refuse(call: Call, errorId: number): -1 {
    const row = ERRORS[errorId];
    assert(row !== undefined, "unknown error id", errorId);
    call.end(row.grpcCode, row.message);
    return -1;
  }

  readonly #onRecord = (
    type: number,
    _flags: number,
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void => {
    switch (type) {
      case RecordType.response: {
        const call = this.#pending.remove(id);
        if (call === null) return;
        this.#noteTaken(this.meters.answered);
        call.sendMessage(bytes, start, end);
        call.end(0, "");
        return;
      }
      case RecordType.error:
        this.#onError(id, bytes, start, end);
        return;
      case RecordType.streamHead:
        this.#onStreamHead(id, bytes, start);
        return;
      case RecordType.streamData:
        this.#streams.receive(id, bytes, start, end);
        return;
      case RecordType.peerRequest:
        this.#onPeerRequest(id, bytes.slice(start, end));
        return;
      default: {
        const handler = this.#recordHandlers.get(type);
        if (handler !== undefined) return handler(bytes, start, end, id);
        const known = this.status.take(type, id, bytes, start, end);
        assert(known, "unexpected record in main", type);
      }
    }
  };

  #onError(id: number, bytes: Uint8Array, start: number, end: number): void {
    const row = ERRORS[viewOf(bytes).getUint32(bytes.byteOffset + start, true)];
    assert(row !== undefined, "unknown error id from a worker", id);
    const text = end - start > 4 ? Buffer.from(bytes.subarray(start + 4, end)).toString("utf8") : row.message;
    const pending = this.#pending.remove(id);
    if (pending !== null) this.#noteTaken(this.meters.failed);
    const call = pending ?? this.#streams.remove(id);
    if (call === null) return;
    call.end(row.grpcCode, text);
  }

  #onPeerRequest(id: number, payload: Uint8Array): void {
    this.#peerRequests.answer(payload).then((answer) => {
      this.#toRaft.write(RecordType.peerResponse, id, encodePeerAnswer(answer));
    }, this.#options.onFailure);
  }

  #onStreamHead(id: number, bytes: Uint8Array, start: number): void {
    // From here on the client sets the pace: the request time-out no longer applies.
    const call = this.#pending.remove(id);
    if (call === null) return;
    this.#noteTaken(this.meters.answered);
    this.#streams.add(id, call, viewOf(bytes).getFloat64(bytes.byteOffset + start, true), this.#clock.now());
  }

  #sweep(): void {
    this.drainInboxes();
    const nowMs = performance.now();
    this.#options.onSweep?.(nowMs - this.#sweptMs - SWEEP_INTERVAL_MS, nowMs);
    this.#sweptMs = nowMs;
    for (const id of this.#streams.stalled(nowMs)) {
      this.#streams.remove(id)?.end(GrpcCode.unavailable, "etcdserver: the client does not read its answer");
      this.#toApply.write(RecordType.cancel, id, EMPTY);
    }
    this.#timeouts.sweep(nowMs);
    this.flush();
  }

  #onExpired(id: number): void {
    this.#noteTaken(this.meters.failed);
    if (!this.#stopped) this.#toApply.write(RecordType.cancel, id, EMPTY);
  }
}

const EMPTY = new Uint8Array(0);
