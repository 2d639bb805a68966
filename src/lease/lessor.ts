/**
 * The lessor: which leases there are, which keys hang on them, and, on the primary, when they expire. It belongs to the apply
 * thread and changes with the log, so it is the same on every member but for the times. Pure: time is an argument.
 *
 * Only the primary (the leader that has applied the first entry of its term) has expiry times; on all others leases live for
 * ever. The primary never removes a lease by itself: it hands expired ones out, and they go when their revocation comes back
 * through the log. So no lease ends before its time, and it ends at the same revision everywhere.
 *
 * ```
 *   grant ──▶ lives for ever ──promote──▶ expires at … ──due──▶ handed out ──revocation applied──▶ gone
 *                   ▲                        │  ▲                  │  ▲
 *                   └────────demote──────────┘  └──renew (not once ┘  └── again after the retry interval
 *                                                   it is past its time)
 * ```
 *
 * Read next: lease-table.ts (a row a lease), lease-keys.ts (keys by lease), due-heap.ts (what is due), spread-expiries.ts (a new
 * primary), lease-codec.ts (bytes). What entries do with it: src/apply/apply-lease.ts.
 */
import { assert } from "../base/assert.ts";
import { DueHeap } from "./due-heap.ts";
import { LeaseKeys } from "./lease-keys.ts";
import { SPREAD_LEASES_MIN } from "./lease-limits.ts";
import { LeaseTable } from "./lease-table.ts";
import { spreadExpiries } from "./spread-expiries.ts";

export interface LessorOptions {
  /** Shorter TTLs are raised to it. */
  readonly minTtlSeconds: number;
  /** A lease that was handed out and is still there is handed out again after this time. */
  readonly retryMs: number;
  /** A lease that has longer to live is checkpointed when this time has passed; 0 = leases are not checkpointed. */
  readonly checkpointIntervalMs: number;
  /** Secret of the process, against ids made to collide. */
  readonly hashSeed: number;
}

/** What {@link Lessor.renew} found. */
export const Renewal = { renewed: 0, notFound: 1, notPrimary: 2, expired: 3, hasCheckpoint: 4 } as const;

/** Takes one lease: its id in two unsigned halves, and a number. */
export type LeaseVisitor = (low: number, high: number, seconds: number) => void;

export class Lessor {
  readonly #options: LessorOptions;
  readonly #table: LeaseTable;
  readonly #keys = new LeaseKeys();
  /** On the primary: every lease, by when it is to be handed out. */
  readonly #due = new DueHeap();
  /** On the primary: leases to be checkpointed, by when. */
  readonly #checkpoints = new DueHeap();
  #isPrimary = false;

  constructor(options: LessorOptions) {
    this.#options = options;
    this.#table = new LeaseTable(options.hashSeed);
  }

  /** Number of leases. */
  get size(): number {
    return this.#table.size;
  }

  /** Keys attached to any lease. */
  get attachedKeys(): number {
    return this.#keys.attached;
  }

  get isPrimary(): boolean {
    return this.#isPrimary;
  }

  /** When {@link takeExpired} has something to hand out; Infinity if never. */
  get nextExpiredMs(): number {
    return this.#due.firstDueMs;
  }

  /** When {@link takeCheckpoints} has something to hand out; Infinity if never. */
  get nextCheckpointMs(): number {
    return this.#checkpoints.firstDueMs;
  }

  has(low: number, high: number): boolean {
    return this.#table.find(low, high) !== 0;
  }

  /** Row of a lease, valid until the lease is removed; 0 if it is not known. */
  find(low: number, high: number): number {
    return this.#table.find(low, high);
  }

  /** TTL of the lease in `row`, in seconds, as granted. */
  ttlSeconds(row: number): number {
    return this.#table.ttlSeconds[row];
  }

  /** What the last checkpoint said of its remaining time; 0 = no checkpoint. */
  remainingSeconds(row: number): number {
    return this.#table.remainingSeconds[row];
  }

  /** When it expires; Infinity on members that are not primary. */
  expiryMs(row: number): number {
    return this.#table.expiryMs[row];
  }

  /** A new lease; the id must not be in use. Returns its row. */
  grant(low: number, high: number, ttlSeconds: number, nowMs: number): number {
    const row = this.#add(low, high, ttlSeconds);
    if (this.#isPrimary) this.#refresh(row, nowMs);
    return row;
  }

  /** At start: a lease from the database. */
  restore(low: number, high: number, ttlSeconds: number, remainingSeconds: number): void {
    assert(!this.#isPrimary, "leases are restored before a member leads");
    const row = this.#add(low, high, ttlSeconds); // may replace the columns
    this.#table.remainingSeconds[row] = remainingSeconds;
  }

  #add(low: number, high: number, ttlSeconds: number): number {
    assert(!this.has(low, high), "a lease is granted once", low, high);
    return this.#table.add(low, high, Math.max(ttlSeconds, this.#options.minTtlSeconds));
  }

  /** Forgets a lease whose keys have been detached. */
  remove(row: number): void {
    assert(this.#keys.count(row) === 0, "a lease that is removed holds no keys", row);
    this.#due.remove(row);
    this.#checkpoints.remove(row);
    this.#table.remove(row);
  }

  /** A {@link Renewal}; only `renewed` changed anything. */
  renew(low: number, high: number, nowMs: number): number {
    if (!this.#isPrimary) return Renewal.notPrimary;
    const row = this.#table.find(low, high);
    if (row === 0) return Renewal.notFound;
    if (nowMs >= this.#table.expiryMs[row]) return Renewal.expired;
    // The next primary would believe the checkpoint, also one that is on its way: it must be taken back first.
    if (this.#checkpointsLeases && this.#hasCheckpoint(row)) return Renewal.hasCheckpoint;
    this.#setExpiry(row, nowMs + this.#table.ttlSeconds[row] * 1000);
    return Renewal.renewed;
  }

  /** Seconds that a lease in `row` has left, rounded down; below zero when it waits for its revocation. */
  secondsLeft(row: number, nowMs: number): number {
    return Math.trunc((this.#table.expiryMs[row] - nowMs) / 1000);
  }

  /** A checkpoint from the log: what counts when the next primary begins. */
  checkpoint(row: number, remainingSeconds: number, nowMs: number): void {
    this.#table.remainingSeconds[row] = remainingSeconds;
    // One that takes back may have been asked for before the one that is on its way, and says nothing of that.
    if (remainingSeconds > 0) this.#table.isCheckpointing[row] = 0;
    if (this.#isPrimary) this.#scheduleCheckpoint(row, nowMs);
  }

  /** The key is on this lease now (both halves 0, or a lease that is not known: on none), whatever it was on before. */
  attach(low: number, high: number, keyId: number): void {
    const row = (low | high) === 0 ? 0 : this.#table.find(low, high);
    if (row === 0) this.#keys.detach(keyId);
    else this.#keys.attach(row, keyId);
  }

  detach(keyId: number): void {
    this.#keys.detach(keyId);
  }

  /** Ids of the keys attached to a lease, in no order. */
  keysOf(row: number): Uint32Array {
    return this.#keys.keysOf(row);
  }

  /**
   * This member leads: every lease gets an expiry, `extendMs` beyond its time, since clients could not renew while there was no
   * leader. O(leases).
   */
  promote(nowMs: number, extendMs: number): void {
    this.#isPrimary = true;
    const table = this.#table;
    this.#clearSchedules();
    for (let row = 1; row < table.used; row++) {
      if (table.isUsed(row)) table.expiryMs[row] = nowMs + extendMs + this.#effectiveSeconds(row) * 1000;
    }
    if (table.size >= SPREAD_LEASES_MIN) {
      spreadExpiries(table, { nowMs, extendMs, ttlMs: (row) => this.#effectiveSeconds(row) * 1000 });
    }
    for (let row = 1; row < table.used; row++) {
      if (!table.isUsed(row)) continue;
      this.#due.set(row, table.expiryMs[row]);
      this.#scheduleCheckpoint(row, nowMs);
    }
  }

  /** Another member leads, or none: leases live for ever here. */
  demote(): void {
    if (!this.#isPrimary) return;
    this.#isPrimary = false;
    this.#table.expiryMs.fill(Infinity);
    this.#clearSchedules();
  }

  /** What an earlier term has handed out was applied before this one began, or never will be. */
  #clearSchedules(): void {
    this.#due.clear();
    this.#checkpoints.clear();
    this.#table.isCheckpointing.fill(0);
  }

  /** Hands out up to `leasesMax` expired leases, those first that wait longest; returns how many. */
  takeExpired(nowMs: number, leasesMax: number, visit: LeaseVisitor): number {
    let taken = 0;
    for (; taken < leasesMax && this.#due.firstDueMs <= nowMs; taken++) {
      const row = this.#due.first;
      this.#due.set(row, nowMs + this.#options.retryMs);
      visit(this.#table.idLow[row], this.#table.idHigh[row], 0);
    }
    return taken;
  }

  /**
   * Hands out up to `leasesMax` leases that are to be checkpointed, with the seconds they have left, rounded up. Each must come back
   * by {@link checkpoint} as long as this member stays primary: until then its lease is not renewed, and not handed out again.
   */
  takeCheckpoints(nowMs: number, leasesMax: number, visit: LeaseVisitor): number {
    const table = this.#table;
    let taken = 0;
    while (taken < leasesMax && this.#checkpoints.firstDueMs <= nowMs) {
      const row = this.#checkpoints.first;
      this.#checkpoints.remove(row);
      const left = Math.ceil((table.expiryMs[row] - nowMs) / 1000);
      // Expired, or renewed just now.
      if (left <= 0 || left >= table.ttlSeconds[row]) {
        if (left > 0) this.#scheduleCheckpoint(row, nowMs);
        continue;
      }
      table.isCheckpointing[row] = 1;
      visit(table.idLow[row], table.idHigh[row], left);
      taken++;
    }
    return taken;
  }

  /** Ids of all leases, those first that expire first, in two halves. O(n log n). */
  ids(): Uint32Array {
    const table = this.#table;
    const rows = new Uint32Array(table.size);
    let count = 0;
    for (let row = 1; row < table.used; row++) if (table.isUsed(row)) rows[count++] = row;
    if (this.#isPrimary) rows.sort((a, b) => table.expiryMs[a] - table.expiryMs[b]);
    const ids = new Uint32Array(count * 2);
    for (let index = 0; index < count; index++) {
      ids[2 * index] = table.idLow[rows[index]];
      ids[2 * index + 1] = table.idHigh[rows[index]];
    }
    return ids;
  }

  #hasCheckpoint(row: number): boolean {
    return this.#table.remainingSeconds[row] > 0 || this.#table.isCheckpointing[row] !== 0;
  }

  get #checkpointsLeases(): boolean {
    return this.#options.checkpointIntervalMs > 0;
  }

  /** What a new primary gives a lease. */
  #effectiveSeconds(row: number): number {
    const remaining = this.#table.remainingSeconds[row];
    return remaining > 0 ? remaining : this.#table.ttlSeconds[row];
  }

  #refresh(row: number, nowMs: number): void {
    this.#setExpiry(row, nowMs + this.#table.ttlSeconds[row] * 1000);
    this.#scheduleCheckpoint(row, nowMs);
  }

  #setExpiry(row: number, expiryMs: number): void {
    this.#table.expiryMs[row] = expiryMs;
    this.#due.set(row, expiryMs);
  }

  #scheduleCheckpoint(row: number, nowMs: number): void {
    const { checkpointIntervalMs } = this.#options;
    if (!this.#checkpointsLeases || this.#table.isCheckpointing[row] !== 0) return;
    if (this.#effectiveSeconds(row) * 1000 <= checkpointIntervalMs) return;
    this.#checkpoints.set(row, nowMs + checkpointIntervalMs);
  }
}
