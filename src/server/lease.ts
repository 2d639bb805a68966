/**
 * The Lease service: grants and revocations are proposals, keep-alives and times to live are asked of the primary lessor
 * (lease-primary.ts), and the list is this member's own. Holds nothing but the streams of keep-alives.
 */

import { ERRORS, ErrorId, GrpcCode } from "../base/errors.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";
import { encodeGrant, ID_AND_TTL_BYTES_MAX, LeaseView, writeIdAndTtl } from "../lease/lease-codec.ts";
import { ResponseHeader } from "../proto/kv-encode.ts";
import { RaftField } from "../proto/raft-request.ts";
import type { MemberIdentity } from "../proto/response-header.ts";
import { ReadKind } from "../ring/record-types.ts";
import { readNumberField } from "./number-field.ts";
import { CallFailure } from "./internal-call.ts";
import { hasCheckpoint, isNotPrimary, type LeasePrimary } from "./lease-primary.ts";
import { LeaderMonitor } from "./leader-monitor.ts";
import type { Router } from "./router.ts";
import { NO_SPACE_GUARD, type SpaceGuard } from "./space-guard.ts";

/** Keep-alives of one stream that wait for their answers; clients send one a lease and a third of its TTL. */
const KEEP_ALIVES_WAITING_MAX = 1 << 16;
/**
 * Keep-alives of all streams that wait for another member, about a kilobyte each. The pending requests' limit does not see them, and
 * a leader that hangs answers none.
 */
const RENEWALS_ELSEWHERE_MAX = 1 << 17;
/** Answers of one stream that its client has not read. */
const UNREAD_BYTES_MAX = 4 * 1024 * 1024;
/** Longest header of a response. */
const HEADER_BYTES_MAX = 64;

export interface LeaseMethodOptions {
  readonly identity: MemberIdentity;
  readonly electionTimeoutMs: number;
  readonly primary: Pick<LeasePrimary, "renew" | "timeToLive">;
  /** Keep-alives that may wait for another member at a time. */
  readonly renewalsElsewhereMax?: number;
  /** The quota; without, there is none. */
  readonly space?: Pick<SpaceGuard, "admits">;
}

type Receive = (call: Call, bytes: Uint8Array, start: number, end: number) => void;

/** Handlers of `etcdserverpb.Lease`. */
export function leaseMethods(router: Router, options: LeaseMethodOptions): MethodHandler[] {
  const space = options.space ?? NO_SPACE_GUARD;
  const view = new LeaseView();
  const timeToLive = new TimeToLive(router, options);
  return [
    new LeaseMethod(router, "LeaseGrant", (call, bytes, start, end) => {
      if (!view.decodeGrant(bytes, start, end)) return refuse(call, ErrorId.malformedRequest);
      if (!space.admits(call, RaftField.leaseGrant, bytes, start, end)) return;
      if ((view.low | view.high) !== 0) return router.propose(call, RaftField.leaseGrant, bytes, start, end);
      const { low, high } = chooseLeaseId(router);
      const request = encodeGrant(view.seconds, low, high);
      router.propose(call, RaftField.leaseGrant, request, 0, request.length);
    }),
    new LeaseMethod(router, "LeaseRevoke", (call, bytes, start, end) => {
      if (!view.decodeId(bytes, start, end)) return refuse(call, ErrorId.malformedRequest);
      router.propose(call, RaftField.leaseRevoke, bytes, start, end);
    }),
    new LeaseMethod(router, "LeaseTimeToLive", (call, bytes, start, end) => {
      if (!view.decodeTimeToLive(bytes, start, end)) return refuse(call, ErrorId.malformedRequest);
      if (router.admits(call, false)) void timeToLive.answer(call, bytes.slice(start, end));
    }),
    new LeaseMethod(router, "LeaseLeases", (call, bytes, start, end) => {
      if (readNumberField(call, bytes, start, end) !== null)
        router.read(call, ReadKind.leaseList, false, bytes, start, end);
    }),
    new LeaseKeepAlive(router, options),
  ];
}

/** An id that no member chooses again: positive as int64, and not 0. */
export function chooseLeaseId(router: Router): { low: number; high: number } {
  for (;;) {
    const { low, high } = router.newId();
    const positive = high & 0x7fff_ffff;
    if ((low | positive) !== 0) return { low, high: positive };
  }
}

function refuse(call: Call, errorId: number): void {
  const row = ERRORS[errorId];
  call.end(row.grpcCode, row.message);
}

class LeaseMethod implements MethodHandler {
  readonly path: string;
  readonly kind = "unary";
  readonly onMessage: Receive;
  readonly #router: Router;

  constructor(router: Router, method: string, receive: Receive) {
    this.path = `/etcdserverpb.Lease/${method}`;
    this.onMessage = receive;
    this.#router = router;
  }

  onCancel(call: Call): void {
    if (typeof call.state === "number") this.#router.cancel(call);
  }

  onDrain(call: Call): void {
    if (typeof call.state === "number") this.#router.drained(call);
  }
}

/** Answers of this service begin with this member's header, wherever the lease was looked up. */
class AnswerHeader {
  readonly #router: Router;
  readonly #header: ResponseHeader;
  #term = -1;

  constructor(router: Router, { clusterId, memberId }: MemberIdentity) {
    this.#router = router;
    this.#header = new ResponseHeader(clusterId, memberId);
  }

  write(target: Uint8Array, offset: number, revision: number): number {
    const { term } = this.#router.status;
    if (term !== this.#term) this.#header.setTerm((this.#term = term));
    return this.#header.write(target, offset, revision);
  }
}

class TimeToLive {
  readonly #router: Router;
  readonly #primary: LeaseMethodOptions["primary"];
  readonly #header: AnswerHeader;
  readonly #view = new LeaseView();

  constructor(router: Router, { identity, primary }: LeaseMethodOptions) {
    this.#router = router;
    this.#primary = primary;
    this.#header = new AnswerHeader(router, identity);
  }

  /** Never rejects. */
  async answer(call: Call, request: Uint8Array): Promise<void> {
    try {
      const found = await this.#primary.timeToLive(request);
      if (call.cancelled) return;
      this.#router.refreshStatus();
      const fields = found ?? this.#notFound(request);
      const response = new Uint8Array(HEADER_BYTES_MAX + fields.length);
      const headerBytes = this.#header.write(response, 0, this.#router.status.revision);
      response.set(fields, headerBytes);
      call.sendMessage(response, 0, headerBytes + fields.length);
      this.#router.end(call, new CallFailure(GrpcCode.ok, ""));
    } catch (error) {
      const { grpcCode, message } = error as CallFailure;
      // The leader changed meanwhile, or is about to: clients may try this again.
      const row = isNotPrimary({ message }) ? ERRORS[ErrorId.leaderChanged] : { grpcCode, message };
      this.#router.end(call, new CallFailure(row.grpcCode ?? GrpcCode.unknown, row.message));
    }
  }

  /** ID, and a TTL of -1. */
  #notFound(request: Uint8Array): Uint8Array {
    const view = this.#view;
    view.decodeTimeToLive(request, 0, request.length);
    const fields = new Uint8Array(ID_AND_TTL_BYTES_MAX);
    return fields.subarray(0, writeIdAndTtl(fields, 0, view.low, view.high, -1));
  }
}

/** A stream of keep-alives. */
interface KeepAliveStream {
  readonly call: Call;
  waiting: number;
  /** The client sends no more. */
  halfClosed: boolean;
  /** It was ended; whatever comes is dropped. */
  ended: boolean;
}

/** `LeaseKeepAlive`: each message is one read through raft and apply, many at a time; answers leave as they come. */
class LeaseKeepAlive implements MethodHandler {
  readonly path = "/etcdserverpb.Lease/LeaseKeepAlive";
  readonly kind = "bidi";
  readonly #router: Router;
  readonly #primary: LeaseMethodOptions["primary"];
  readonly #header: AnswerHeader;
  readonly #view = new LeaseView();
  readonly #elsewhereMax: number;
  /** Keep-alives that wait for another member. */
  #elsewhere = 0;
  readonly #answer = new Uint8Array(HEADER_BYTES_MAX + ID_AND_TTL_BYTES_MAX);
  readonly #monitor: LeaderMonitor;
  readonly #streams = new Set<KeepAliveStream>();

  constructor(router: Router, options: LeaseMethodOptions) {
    const { identity, primary, electionTimeoutMs, renewalsElsewhereMax = RENEWALS_ELSEWHERE_MAX } = options;
    this.#elsewhereMax = renewalsElsewhereMax;
    this.#router = router;
    this.#primary = primary;
    this.#header = new AnswerHeader(router, identity);
    this.#monitor = new LeaderMonitor(electionTimeoutMs, () => router.status.leaderId !== 0n);
    router.stopListeners.add(() => {
      for (const stream of this.#streams) this.#fail(stream, ERRORS[ErrorId.stopped]);
      this.#monitor.stop();
    });
  }

  onOpen(call: Call): void {
    const stream: KeepAliveStream = { call, waiting: 0, halfClosed: false, ended: false };
    call.state = stream;
    if (!this.#router.admits(call, false)) {
      stream.ended = true;
      return;
    }
    this.#streams.add(stream);
    if (call.metadata("hasleader") !== "true") return;
    this.#monitor.add(stream, () => {
      this.#fail(stream, ERRORS[ErrorId.noLeader]);
      this.#router.flush();
    });
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    const stream = call.state as KeepAliveStream;
    if (stream.ended) return;
    const view = this.#view;
    const { meters } = this.#router;
    if (!view.decodeId(bytes, start, end)) {
      meters.keepAliveReceiveFailures.add(1);
      return this.#fail(stream, ERRORS[ErrorId.malformedRequest]);
    }
    if (stream.waiting >= KEEP_ALIVES_WAITING_MAX || call.pendingBytes() > UNREAD_BYTES_MAX) {
      meters.keepAliveSendFailures.add(1);
      return this.#fail(stream, ERRORS[ErrorId.requestTooManyRequests]);
    }
    stream.waiting++;
    const request = new KeepAlive(this, stream, view.low, view.high, this.#router.status.revision);
    if (this.#router.status.isLeader)
      this.#router.read(request, ReadKind.leaseKeepAlive, true, bytes, start, end);
    else void this.renewElsewhere(request);
  }

  onHalfClose(call: Call): void {
    const stream = call.state as KeepAliveStream;
    stream.halfClosed = true;
    this.#endIfDone(stream);
  }

  onCancel(call: Call): void {
    const stream = call.state as KeepAliveStream | null;
    if (stream !== null) this.#leave(stream);
  }

  #leave(stream: KeepAliveStream): void {
    stream.ended = true;
    this.#streams.delete(stream);
    this.#monitor.remove(stream);
  }

  /** TTL 0: there is no such lease. */
  answer({ stream, low, high, revision }: KeepAlive, seconds: number): void {
    stream.waiting--;
    if (stream.ended) return;
    const at = this.#header.write(this.#answer, 0, revision);
    stream.call.sendMessage(this.#answer, 0, writeIdAndTtl(this.#answer, at, low, high, seconds));
    this.#endIfDone(stream);
  }

  /** Another member leads, or the lease has a checkpoint: the long way. Never rejects. */
  async renewElsewhere(request: KeepAlive): Promise<void> {
    if (this.#elsewhere >= this.#elsewhereMax) {
      request.stream.waiting--;
      this.#router.meters.keepAliveSendFailures.add(1);
      return this.#fail(request.stream, ERRORS[ErrorId.requestTooManyRequests]);
    }
    this.#elsewhere++;
    try {
      this.answer(request, await this.#primary.renew(request.low, request.high));
    } catch (error) {
      request.stream.waiting--;
      this.#fail(request.stream, error as CallFailure);
    }
    this.#elsewhere--;
    this.#router.flush();
  }

  /** What `request` was refused with by this member's own threads. */
  refused(request: KeepAlive, grpcCode: number, message: string): void {
    if (grpcCode === GrpcCode.notFound) return this.answer(request, 0);
    if (isNotPrimary({ message }) || hasCheckpoint({ message })) return void this.renewElsewhere(request);
    request.stream.waiting--;
    this.#fail(request.stream, { grpcCode, message });
  }

  #endIfDone(stream: KeepAliveStream): void {
    if (!stream.halfClosed || stream.waiting > 0 || stream.ended) return;
    this.#leave(stream);
    stream.call.end(GrpcCode.ok, "");
  }

  #fail(stream: KeepAliveStream, status: { readonly grpcCode: number; readonly message: string }): void {
    if (stream.ended) return;
    this.#leave(stream);
    stream.call.end(status.grpcCode ?? GrpcCode.unknown, status.message);
  }
}

/** One keep-alive in the rings: takes the place of a call there. */
class KeepAlive implements Call {
  state: unknown = null;
  readonly path = "/etcdserverpb.Lease/LeaseKeepAlive";
  readonly deadlineMs = Infinity;
  readonly cancelled = false;
  readonly stream: KeepAliveStream;
  readonly low: number;
  readonly high: number;
  /** Revision before the renewal: the answer must not name a later one, at which the lease may be gone. */
  readonly revision: number;
  readonly #method: LeaseKeepAlive;

  constructor(method: LeaseKeepAlive, stream: KeepAliveStream, low: number, high: number, revision: number) {
    this.#method = method;
    this.stream = stream;
    this.low = low;
    this.high = high;
    this.revision = revision;
  }

  get remote(): string {
    return this.stream.call.remote;
  }

  metadata(name: string): string | undefined {
    return this.stream.call.metadata(name);
  }

  sendMessage(bytes: Uint8Array, start: number, end: number): void {
    ANSWER.decodeKeepAlive(bytes, start, end);
    this.#method.answer(this, ANSWER.seconds);
  }

  startMessage(): void {}

  sendPart(): number {
    return 0;
  }

  pendingBytes(): number {
    return 0;
  }

  end(grpcCode: number, message: string): void {
    if (grpcCode !== GrpcCode.ok) this.#method.refused(this, grpcCode, message);
  }
}

const ANSWER = new LeaseView();
