/**
 * What clients may rely on: a lease lives for its TTL from the moment at which the client asked for what was then acknowledged, by the clock
 * of whoever was primary, unless somebody asked for its end; its keys go with it, in one revision; and every member agrees.
 *
 * Clocks go at different rates. The fastest of all at each moment is the least that a client may have been promised.
 */

import type { CommittedHistory } from "./committed-history.ts";
import { InvariantError } from "./invariants.ts";
import type { Scheduler } from "./scheduler.ts";

/** Rounding of sums of fractions. */
const TOLERANCE_MS = 0.01;
/** Indexes whose leases are remembered. */
const STATES_KEPT = 4096;

interface PromisedLease {
  /** By {@link LeaseChecker.fastestMs}. */
  promisedUntilMs: number;
  /** Its grant was acknowledged. */
  isKnown: boolean;
  /** Somebody may have asked for its end. */
  mayBeRevoked: boolean;
  /** Virtual time at which the first member ended it. */
  endedMs: number;
  /** The same by {@link LeaseChecker.fastestMs}. */
  endedFastestMs: number;
}

export class LeaseChecker {
  readonly #scheduler: Scheduler;
  readonly #history: CommittedHistory;
  /** Rate of the fastest clock now. */
  readonly #fastestRate: () => number;
  readonly #leases = new Map<bigint, PromisedLease>();
  readonly #states = new Map<number, { readonly state: string; readonly member: string }>();
  #fastestMs = 0;
  #updatedMs = 0;
  #rate = 1;
  granted = 0;
  renewed = 0;
  /** Leases that ended although nobody had asked for it. */
  expired = 0;

  constructor(scheduler: Scheduler, history: CommittedHistory, fastestRate: () => number) {
    this.#scheduler = scheduler;
    this.#history = history;
    this.#fastestRate = fastestRate;
  }

  /** What the fastest clock, at each moment, would have counted. */
  get fastestMs(): number {
    return this.#fastestMs + (this.#scheduler.nowMs - this.#updatedMs) * this.#rate;
  }

  /** Some clock goes at another rate from now on. */
  clockChanged(): void {
    this.#fastestMs = this.fastestMs;
    this.#updatedMs = this.#scheduler.nowMs;
    this.#rate = this.#fastestRate();
  }

  /** A client is about to ask for this lease. */
  asked(id: bigint): void {
    this.#leases.set(id, {
      promisedUntilMs: 0,
      isKnown: false,
      mayBeRevoked: false,
      endedMs: Infinity,
      endedFastestMs: Infinity,
    });
  }

  /** Acknowledged: a grant, or a renewal, that was asked for at these times. */
  acknowledged(
    id: bigint,
    ttlSeconds: number,
    askedMs: number,
    askedFastestMs: number,
    isGrant: boolean,
  ): void {
    const lease = this.#lease(id);
    if (isGrant) this.granted++;
    else this.renewed++;
    if (lease.endedMs < askedMs) throw new InvariantError(`lease ${id} is kept alive after its end`);
    lease.isKnown = true;
    lease.promisedUntilMs = Math.max(lease.promisedUntilMs, askedFastestMs + ttlSeconds * 1000);
    // It may have ended before the answer came.
    this.#checkNotEarly(id, lease);
  }

  #checkNotEarly(id: bigint, lease: PromisedLease): void {
    const early = lease.promisedUntilMs - lease.endedFastestMs;
    if (!lease.mayBeRevoked && early > TOLERANCE_MS)
      throw new InvariantError(`lease ${id} has ended ${early} ms early`);
  }

  /** A client asks for the end. */
  revokeAsked(id: bigint): void {
    this.#lease(id).mayBeRevoked = true;
  }

  /** A client was told that there is no such lease. */
  notFound(id: bigint): void {
    const lease = this.#lease(id);
    if (lease.isKnown && lease.endedMs === Infinity)
      throw new InvariantError(`lease ${id} is not found, though nobody has ended it`);
  }

  /** A member has applied the revocation. */
  ended(id: bigint, member: string): void {
    const left = this.#history.keysOf(id);
    const lease = this.#lease(id);
    if (lease.endedMs !== Infinity) return;
    lease.endedMs = this.#scheduler.nowMs;
    lease.endedFastestMs = this.fastestMs;
    this.#scheduler.trace.note(
      lease.endedMs,
      member,
      "ends lease",
      Number(id >> 32n),
      Number(id & 0xffff_ffffn),
    );
    if (left.length > 0)
      throw new InvariantError(`lease ${id} has ended on ${member}, but not its keys ${left.join(", ")}`);
    if (lease.mayBeRevoked) return;
    this.expired++;
    this.#checkNotEarly(id, lease);
  }

  /** What a member holds when it has applied the entries up to `index`. */
  state(member: string, index: number, state: string): void {
    const known = this.#states.get(index);
    if (known !== undefined && known.state !== state) {
      const both = `${known.member}:\n${known.state}\n${member}:\n${state}`;
      throw new InvariantError(`leases differ at index ${index}, ${both}`);
    }
    if (known !== undefined) return;
    this.#states.set(index, { state, member });
    if (this.#states.size <= STATES_KEPT) return;
    const [oldest] = this.#states.keys();
    this.#states.delete(oldest);
  }

  #lease(id: bigint): PromisedLease {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw new InvariantError(`nobody has asked for lease ${id}`);
    return lease;
  }
}
