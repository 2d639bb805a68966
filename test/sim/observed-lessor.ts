/**
 * A member's lessor, watched: beside it a plain model says when, by the member's own clock, each lease is to be handed out. Early or late,
 * and a revocation that leaves keys behind, end the run.
 */

import { Lessor, type LeaseVisitor, type LessorOptions, Renewal } from "../../src/lease/lessor.ts";
import type { Canary } from "./canaries.ts";
import { InvariantError } from "./invariants.ts";
import type { LeaseChecker } from "./lease-checker.ts";

/** A lease that is due is handed out within this time of a process that runs. */
const LATE_MS_MAX = 1000;

interface ModelledLease {
  readonly id: bigint;
  readonly ttlMs: number;
  remainingMs: number;
  /** By the member's clock; Infinity while it is not primary. */
  dueMs: number;
  handedOut: boolean;
}

export interface ObservedLessorOptions extends LessorOptions {
  readonly member: string;
  readonly checker: LeaseChecker;
  readonly canary: Canary | null;
  /** Some other machine's clock. */
  readonly otherClockMs: () => number;
}

/** Where bugs are planted, beneath what observes. */
class PlantedLessor extends Lessor {
  readonly #canary: Canary | null;
  readonly #otherClockMs: () => number;

  constructor(options: ObservedLessorOptions) {
    super(options);
    this.#canary = options.canary;
    this.#otherClockMs = options.otherClockMs;
  }

  override promote(nowMs: number, extendMs: number): void {
    if (this.#canary === "old-leaders-clock") super.promote(this.#otherClockMs(), extendMs);
    else if (this.#canary === "ignored-checkpoint") this.#promoteWithoutCheckpoints(nowMs, extendMs);
    else super.promote(nowMs, extendMs);
  }

  #promoteWithoutCheckpoints(nowMs: number, extendMs: number): void {
    const kept: Array<readonly [row: number, seconds: number]> = [];
    const ids = this.ids();
    for (let i = 0; i < ids.length; i += 2) {
      const row = this.find(ids[i], ids[i + 1]);
      kept.push([row, this.remainingSeconds(row)]);
      super.checkpoint(row, 0, nowMs);
    }
    super.promote(nowMs, extendMs);
    for (const [row, seconds] of kept) super.checkpoint(row, seconds, nowMs);
  }

  override renew(low: number, high: number, nowMs: number): number {
    // The renewal is answered, and not made.
    if (this.#canary === "forgotten-renewal" && this.isPrimary && this.has(low, high)) return Renewal.renewed;
    return super.renew(low, high, nowMs);
  }
}

export class ObservedLessor extends PlantedLessor {
  readonly #observer: ObservedLessorOptions;
  readonly #leases = new Map<number, ModelledLease>();

  constructor(options: ObservedLessorOptions) {
    super(options);
    this.#observer = options;
  }

  override grant(low: number, high: number, ttlSeconds: number, nowMs: number): number {
    const row = super.grant(low, high, ttlSeconds, nowMs);
    const ttlMs = this.ttlSeconds(row) * 1000;
    const dueMs = this.isPrimary ? nowMs + ttlMs : Infinity;
    this.#leases.set(row, { id: idOf(low, high), ttlMs, remainingMs: 0, dueMs, handedOut: false });
    return row;
  }

  override restore(low: number, high: number, ttlSeconds: number, remainingSeconds: number): void {
    super.restore(low, high, ttlSeconds, remainingSeconds);
    const row = this.find(low, high);
    this.#leases.set(row, {
      id: idOf(low, high),
      ttlMs: ttlSeconds * 1000,
      remainingMs: remainingSeconds * 1000,
      dueMs: Infinity,
      handedOut: false,
    });
  }

  override renew(low: number, high: number, nowMs: number): number {
    const result = super.renew(low, high, nowMs);
    if (result !== Renewal.renewed) return result;
    const lease = this.#lease(this.find(low, high));
    if (lease.handedOut) throw this.#error(lease, "is renewed after it was handed out");
    lease.dueMs = nowMs + lease.ttlMs;
    return result;
  }

  override checkpoint(row: number, remainingSeconds: number, nowMs: number): void {
    super.checkpoint(row, remainingSeconds, nowMs);
    this.#lease(row).remainingMs = remainingSeconds * 1000;
  }

  override promote(nowMs: number, extendMs: number): void {
    super.promote(nowMs, extendMs);
    for (const lease of this.#leases.values()) {
      const leftMs = lease.remainingMs > 0 ? lease.remainingMs : lease.ttlMs;
      lease.dueMs = nowMs + extendMs + leftMs;
      lease.handedOut = false;
    }
  }

  override demote(): void {
    super.demote();
    for (const lease of this.#leases.values()) lease.dueMs = Infinity;
  }

  override takeExpired(nowMs: number, leasesMax: number, visit: LeaseVisitor): number {
    return super.takeExpired(nowMs, leasesMax, (low, high, seconds) => {
      const lease = this.#lease(this.find(low, high));
      if (nowMs < lease.dueMs) {
        throw this.#error(lease, `is handed out ${lease.dueMs - nowMs} ms early`);
      }
      lease.handedOut = true;
      visit(low, high, seconds);
    });
  }

  override remove(row: number): void {
    const { id } = this.#lease(row);
    super.remove(row);
    this.#leases.delete(row);
    this.#observer.checker.ended(id, this.#observer.member);
  }

  /** Throws if a lease should have been handed out long ago. To be called while the process runs. */
  sweep(nowMs: number): void {
    for (const lease of this.#leases.values()) {
      if (!lease.handedOut && lease.dueMs + LATE_MS_MAX < nowMs)
        throw this.#error(lease, `should have ended ${nowMs - lease.dueMs} ms ago`);
    }
  }

  /** All that the log says of leases: equal on all members that have applied the same entries. */
  describe(keyText: (keyId: number) => string): string {
    const lines: string[] = [];
    for (const [row, { id }] of this.#leases) {
      const keys = Array.from(this.keysOf(row), keyText).sort();
      lines.push(`${id} ${this.ttlSeconds(row)} ${this.remainingSeconds(row)} [${keys.join(" ")}]`);
    }
    return lines.sort().join("\n");
  }

  #lease(row: number): ModelledLease {
    const lease = this.#leases.get(row);
    if (lease === undefined) throw new InvariantError(`${this.#observer.member} has no lease in row ${row}`);
    return lease;
  }

  #error({ id, ttlMs }: ModelledLease, what: string): InvariantError {
    return new InvariantError(`lease ${id} of ${ttlMs} ms on ${this.#observer.member} ${what}`);
  }
}

function idOf(low: number, high: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}
