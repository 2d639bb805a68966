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
  readonly low: number;
  readonly high: number;
  readonly ttlMs: number;
  remainingMs: number;
  /** By the member's clock; Infinity while it is not primary. */
  dueMs: number;
  handedOut: boolean;
}

/** Names the keys that leases hold. */
export interface LeasedKeys {
  keyLength(keyId: number): number;
  copyKey(keyId: number, target: Uint8Array, offset: number): number;
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
  readonly #reading = new Reading();
  #described = "";

  constructor(options: ObservedLessorOptions) {
    super(options);
    this.#observer = options;
  }

  override grant(low: number, high: number, ttlSeconds: number, nowMs: number): number {
    const row = super.grant(low, high, ttlSeconds, nowMs);
    const ttlMs = this.ttlSeconds(row) * 1000;
    const dueMs = this.isPrimary ? nowMs + ttlMs : Infinity;
    this.#leases.set(row, { id: idOf(low, high), low, high, ttlMs, remainingMs: 0, dueMs, handedOut: false });
    return row;
  }

  override restore(low: number, high: number, ttlSeconds: number, remainingSeconds: number): void {
    super.restore(low, high, ttlSeconds, remainingSeconds);
    const row = this.find(low, high);
    this.#leases.set(row, {
      id: idOf(low, high),
      low,
      high,
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
  describe(keys: LeasedKeys): string {
    const reading = this.#reading;
    reading.begin();
    for (const [row, { low, high }] of this.#leases) {
      reading.note(low);
      reading.note(high);
      reading.note(this.ttlSeconds(row));
      reading.note(this.remainingSeconds(row));
      for (const keyId of this.keysOf(row)) reading.noteKey(keys, keyId);
    }
    if (reading.end()) this.#described = this.#text(keys);
    return this.#described;
  }

  #text(keys: LeasedKeys): string {
    const lines: string[] = [];
    for (const [row, { id }] of this.#leases) {
      const names = Array.from(this.keysOf(row), (keyId) => keyText(keys, keyId)).sort();
      lines.push(`${id} ${this.ttlSeconds(row)} ${this.remainingSeconds(row)} [${names.join(" ")}]`);
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

/** A state as numbers, read again and again: says whether it differs from the last time, and makes nothing. */
class Reading {
  readonly #numbers: number[] = [];
  #count = 0;
  #differs = false;
  #key = new Uint8Array(64);

  begin(): void {
    this.#count = 0;
    this.#differs = false;
  }

  note(value: number): void {
    const at = this.#count++;
    if (this.#numbers[at] === value) return;
    this.#numbers[at] = value;
    this.#differs = true;
  }

  noteKey(keys: LeasedKeys, keyId: number): void {
    const length = keys.keyLength(keyId);
    if (length > this.#key.length) this.#key = new Uint8Array(length);
    keys.copyKey(keyId, this.#key, 0);
    this.note(-length);
    for (let i = 0; i < length; i++) this.note(this.#key[i]);
  }

  end(): boolean {
    if (this.#numbers.length !== this.#count) this.#differs = true;
    this.#numbers.length = this.#count;
    return this.#differs;
  }
}

function keyText(keys: LeasedKeys, keyId: number): string {
  const bytes = new Uint8Array(keys.keyLength(keyId));
  keys.copyKey(keyId, bytes, 0);
  return Buffer.from(bytes).toString("latin1");
}

function idOf(low: number, high: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}
