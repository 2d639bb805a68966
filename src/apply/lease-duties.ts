/**
 * What the primary lessor does by the clock: hands expired leases and due checkpoints to main, which proposes them. And when
 * this member is primary: from the moment it has applied the first entry of the term in which it leads, until it hears that
 * it leads no more.
 *
 * Revocations are paced, so that any number of leases that expire together leave the log to clients' writes; what a round costs
 * here is bounded by the round, not by the number of leases.
 */
import { CHECKPOINT_LEASES_MAX, REVOKE_ROUND_MS, REVOKES_PER_ROUND_MAX } from "../lease/lease-limits.ts";
import { encodeCheckpoints } from "../lease/lease-codec.ts";
import { RecordType } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";
import type { LeaseApplier } from "./apply-lease.ts";

const TERM_BYTES = 8;
const ID_BYTES = 8;

export interface LeaseDutiesOptions {
  readonly leases: LeaseApplier;
  readonly toMain: RingWriter;
  /** A new primary gives every lease so much more. */
  readonly electionTimeoutMs: number;
}

export class LeaseDuties {
  readonly #options: LeaseDutiesOptions;
  /** Term in which this member leads; 0 = it does not. */
  #leadsInTerm = 0;
  /** Term of the newest empty entry applied: every term's leader begins with one. */
  #begunTerm = 0;
  /** Begin of the round, and how many were handed out in it. */
  #roundStartMs = -Infinity;
  #roundExpired = 0;
  #checkpointsAtMs = -Infinity;
  readonly #lows: number[] = [];
  readonly #highs: number[] = [];
  readonly #seconds: number[] = [];

  constructor(options: LeaseDutiesOptions) {
    this.#options = options;
  }

  /** Who leads has changed. */
  noteLeader(term: number, isLeader: boolean): void {
    const leadsInTerm = isLeader ? term : 0;
    if (leadsInTerm === this.#leadsInTerm) return;
    this.#leadsInTerm = leadsInTerm;
    this.#options.leases.demote();
    this.#promoteIfBegun();
  }

  /** The first entry of a leader's term was applied. */
  noteEmptyEntry(term: number): void {
    this.#begunTerm = term;
    this.#promoteIfBegun();
  }

  #promoteIfBegun(): void {
    const { leases, electionTimeoutMs } = this.#options;
    if (this.#leadsInTerm === 0 || this.#leadsInTerm !== this.#begunTerm || leases.lessor.isPrimary) return;
    leases.promote(electionTimeoutMs);
  }

  /** How long until {@link turn} has something to do; 0 = now. */
  sleepMs(nowMs: number): number {
    const { lessor } = this.#options.leases;
    if (!lessor.isPrimary) return Infinity;
    const roundEndMs = this.#roundStartMs + REVOKE_ROUND_MS;
    const isSpent = this.#roundExpired >= REVOKES_PER_ROUND_MAX && nowMs < roundEndMs;
    const expiredMs = isSpent ? Math.max(lessor.nextExpiredMs, roundEndMs) : lessor.nextExpiredMs;
    const checkpointMs = Math.max(lessor.nextCheckpointMs, this.#checkpointsAtMs);
    return Math.max(0, Math.min(expiredMs, checkpointMs) - nowMs);
  }

  /** Hands over what is due. To be published by the caller. */
  turn(nowMs: number): void {
    const { lessor } = this.#options.leases;
    if (!lessor.isPrimary) return;
    if (lessor.nextExpiredMs <= nowMs) this.#handOutExpired(nowMs);
    if (lessor.nextCheckpointMs <= nowMs && nowMs >= this.#checkpointsAtMs) this.#handOutCheckpoints(nowMs);
  }

  #handOutExpired(nowMs: number): void {
    const { leases } = this.#options;
    if (nowMs >= this.#roundStartMs + REVOKE_ROUND_MS) {
      this.#roundStartMs = nowMs;
      this.#roundExpired = 0;
    }
    const left = REVOKES_PER_ROUND_MAX - this.#roundExpired;
    if (left <= 0) return;
    this.#lows.length = this.#highs.length = 0;
    const count = leases.lessor.takeExpired(nowMs, left, (low, high) => {
      this.#lows.push(low);
      this.#highs.push(high);
    });
    this.#roundExpired += count;
    if (count > 0) this.#sendExpired(count);
  }

  #sendExpired(count: number): void {
    const payload = new Uint8Array(TERM_BYTES + count * ID_BYTES);
    const view = new DataView(payload.buffer);
    view.setFloat64(0, this.#leadsInTerm, true);
    for (let index = 0; index < count; index++) {
      view.setUint32(TERM_BYTES + index * ID_BYTES, this.#lows[index], true);
      view.setUint32(TERM_BYTES + index * ID_BYTES + 4, this.#highs[index], true);
    }
    this.#write(RecordType.leaseExpired, payload);
  }

  /** At most one request a round. */
  #handOutCheckpoints(nowMs: number): void {
    const { leases } = this.#options;
    this.#checkpointsAtMs = nowMs + REVOKE_ROUND_MS;
    this.#lows.length = this.#highs.length = this.#seconds.length = 0;
    const count = leases.lessor.takeCheckpoints(nowMs, CHECKPOINT_LEASES_MAX, (low, high, seconds) => {
      this.#lows.push(low);
      this.#highs.push(high);
      this.#seconds.push(seconds);
    });
    if (count === 0) return;
    const request = encodeCheckpoints(this.#lows, this.#highs, this.#seconds, count);
    const payload = new Uint8Array(TERM_BYTES + request.length);
    new DataView(payload.buffer).setFloat64(0, this.#leadsInTerm, true);
    payload.set(request, TERM_BYTES);
    this.#write(RecordType.leaseCheckpoint, payload);
  }

  #write(type: number, payload: Uint8Array): void {
    const { toMain } = this.#options;
    while (!toMain.write(type, 0, 0, payload, 0, payload.length)) toMain.waitForRoom(payload.length);
  }
}
