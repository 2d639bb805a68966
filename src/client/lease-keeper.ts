/** Keeps leases alive over one gRPC stream, which is opened again when it breaks. */
import { GrpcCode } from "../base/errors.ts";
import type { Lease, LeaseKeepAliveResponse } from "../proto/gen/rpc_pb.ts";
import { EtcdError } from "./etcd-error.ts";
import type { OpenStream, StreamCall } from "./stream-call.ts";

type KeepAliveMethod = (typeof Lease)["method"]["leaseKeepAlive"];

/** How often the leases are looked through for those that are due: what a lease of one second needs. */
const TICK_MS = 250;
/** A lease is renewed when this part of its time is over. */
const RENEW_PART = 1 / 3;
/** Pause before a lost stream is opened again. */
const PAUSE_MS = 500;
/** Answers kept for a reader; older ones are of no interest. */
const ANSWERS_MAX = 16;

/**
 * A lease that is kept alive. Iterate over it for the answers, or only wait for {@link ended}. The iteration ends when the lease
 * is no longer kept: it expired, was revoked, could not be renewed in time, or {@link cancel} was called.
 */
export class LeaseKeeper implements AsyncIterableIterator<LeaseKeepAliveResponse, undefined> {
  readonly leaseId: bigint;
  /** Resolves when the lease is no longer kept. */
  readonly ended: Promise<void>;
  readonly #onCancel: () => void;
  #resolveEnded: () => void;
  #isEnded = false;
  #answers: LeaseKeepAliveResponse[] = [];
  #waiting: Array<(result: IteratorResult<LeaseKeepAliveResponse, undefined>) => void> = [];

  constructor(leaseId: bigint, onCancel: () => void) {
    this.leaseId = leaseId;
    this.#onCancel = onCancel;
    const ended = Promise.withResolvers<void>();
    this.ended = ended.promise;
    this.#resolveEnded = ended.resolve;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<LeaseKeepAliveResponse, undefined>> {
    const value = this.#answers.shift();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    if (this.#isEnded) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<IteratorResult<LeaseKeepAliveResponse, undefined>> {
    this.cancel();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Stops renewing. The lease itself lives on until its time is over. */
  cancel(): void {
    this.#onCancel();
    this.end();
  }

  /** For the stream. */
  push(answer: LeaseKeepAliveResponse): void {
    const reader = this.#waiting.shift();
    if (reader !== undefined) return reader({ done: false, value: answer });
    this.#answers.push(answer);
    if (this.#answers.length > ANSWERS_MAX) this.#answers.shift();
  }

  /** For the stream. */
  end(): void {
    this.#isEnded = true;
    for (const reader of this.#waiting.splice(0)) reader({ done: true, value: undefined });
    this.#resolveEnded();
  }
}

/** When a lease is due. Times are those of `performance.now()`. */
interface Kept {
  readonly keepers: Set<LeaseKeeper>;
  nextMs: number;
  /** The lease counts as lost from then on. */
  deadlineMs: number;
}

/** All leases that a client keeps alive. */
export class KeepAliveStream {
  readonly #open: OpenStream<KeepAliveMethod>;
  /** Time that the first answer may take, when the time to live is not known yet. */
  readonly #firstAnswerMs: number;
  readonly #leases = new Map<bigint, Kept>();
  #call: StreamCall<KeepAliveMethod> | undefined;
  #opening = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(open: OpenStream<KeepAliveMethod>, firstAnswerMs: number) {
    this.#open = open;
    this.#firstAnswerMs = firstAnswerMs;
  }

  /** Renews a lease from now on. */
  keep(leaseId: bigint): LeaseKeeper {
    const keeper = new LeaseKeeper(leaseId, () => this.#release(keeper));
    const nowMs = performance.now();
    let kept = this.#leases.get(leaseId);
    if (kept === undefined) {
      kept = { keepers: new Set(), nextMs: nowMs, deadlineMs: nowMs + this.#firstAnswerMs };
      this.#leases.set(leaseId, kept);
    }
    kept.keepers.add(keeper);
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
    return keeper;
  }

  close(): void {
    for (const leaseId of this.#leases.keys()) this.#lose(leaseId);
  }

  #tick(): void {
    const nowMs = performance.now();
    for (const [leaseId, { deadlineMs }] of this.#leases) if (deadlineMs <= nowMs) this.#lose(leaseId);
    if (this.#call === undefined) return void this.#connect();
    for (const [leaseId, kept] of this.#leases) {
      if (kept.nextMs > nowMs) continue;
      // Until the answer says more: not again with each tick.
      kept.nextMs = nowMs + PAUSE_MS;
      this.#call.send({ ID: leaseId });
    }
  }

  async #connect(): Promise<void> {
    if (this.#opening || this.#leases.size === 0) return;
    this.#opening = true;
    try {
      const call = await this.#open({
        onMessage: (answer) => this.#onAnswer(answer),
        onEnd: () => this.#reconnectLater(),
      });
      this.#opening = false;
      if (this.#leases.size === 0) return call.cancel();
      this.#call = call;
      // The old stream may have taken what it did not answer with it.
      for (const kept of this.#leases.values()) kept.nextMs = 0;
      this.#tick();
    } catch {
      this.#opening = false;
      this.#reconnectLater();
    }
  }

  /** With the timer's next turn after the pause; whoever waits learns of it from the deadline only. */
  #reconnectLater(): void {
    this.#call = undefined;
    this.#opening = true;
    setTimeout(() => {
      this.#opening = false;
      if (this.#leases.size > 0) this.#tick();
    }, PAUSE_MS).unref();
  }

  #onAnswer(answer: LeaseKeepAliveResponse): void {
    const kept = this.#leases.get(answer.ID);
    if (kept === undefined) return;
    if (answer.TTL <= 0n) return this.#lose(answer.ID);
    const nowMs = performance.now();
    const ttlMs = Number(answer.TTL) * 1000;
    kept.nextMs = nowMs + ttlMs * RENEW_PART;
    kept.deadlineMs = nowMs + ttlMs;
    for (const keeper of kept.keepers) keeper.push(answer);
  }

  #release(keeper: LeaseKeeper): void {
    const kept = this.#leases.get(keeper.leaseId);
    kept?.keepers.delete(keeper);
    if (kept?.keepers.size === 0) this.#lose(keeper.leaseId);
  }

  #lose(leaseId: bigint): void {
    const keepers = this.#leases.get(leaseId)?.keepers ?? [];
    this.#leases.delete(leaseId);
    for (const keeper of keepers) keeper.end();
    if (this.#leases.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#call?.cancel();
    this.#call = undefined;
  }
}

/**
 * Renews a lease once, over a stream of its own. Rejects with EtcdError: NOT_FOUND if there is no such lease.
 */
export async function keepAliveOnce(
  open: OpenStream<KeepAliveMethod>,
  leaseId: bigint,
): Promise<LeaseKeepAliveResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<LeaseKeepAliveResponse>();
  const call = await open({ onMessage: resolve, onEnd: reject });
  try {
    call.send({ ID: leaseId });
    const answer = await promise;
    if (answer.TTL > 0n) return answer;
    throw new EtcdError(GrpcCode.notFound, "etcdserver: requested lease not found");
  } finally {
    call.cancel();
  }
}
