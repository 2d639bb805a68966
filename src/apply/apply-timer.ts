import { ErrorId } from "../base/errors.ts";
import type { ApplyMeters } from "../base/thread-meters.ts";
import { ReadKind } from "../ring/record-types.ts";
import { applyOp } from "./apply-ops.ts";

/**
 * Times what apply does, one look at the clock a record: each record's time begins where the one before it ended.
 */
export class ApplyTimer {
  readonly #meters: ApplyMeters;
  readonly #nowMs: () => number;
  readonly #slowMs: number;
  #markMs = 0;
  #tookMs = 0;

  /** @param slowMs `--warning-apply-duration` */
  constructor(meters: ApplyMeters, nowMs: () => number, slowMs: number) {
    this.#meters = meters;
    this.#nowMs = nowMs;
    this.#slowMs = slowMs;
  }

  /** Records are about to be taken, after other work. */
  begin(): void {
    this.#markMs = this.#nowMs();
  }

  /** How long the last record took. */
  get tookMs(): number {
    return this.#tookMs;
  }

  /** When it was done. */
  get endedMs(): number {
    return this.#markMs;
  }

  /** An entry has been applied: payload `field` (0 = none), answered `error`. True if that was slow. */
  applied(field: number, error: number): boolean {
    const tookMs = this.#lap();
    if (field === 0) return false;
    const { applied, applyFailed } = this.#meters;
    // Compacting twice is no failure, as in etcd.
    const failed = error !== ErrorId.none && error !== ErrorId.compacted;
    (failed ? applyFailed : applied)[applyOp(field)].observe(tookMs / 1000);
    return tookMs > this.#slowMs;
  }

  /** A read of this ReadKind has been answered, or (a long one) has begun to be. True if a client's read was slow. */
  read(kind: number, error: number): boolean {
    const tookMs = this.#lap();
    const isSlow = tookMs > this.#slowMs;
    if (kind !== ReadKind.range) return isSlow && kind === ReadKind.txn;
    const { range, rangeFailed } = this.#meters;
    (error === ErrorId.none ? range : rangeFailed).observe(tookMs / 1000);
    return isSlow;
  }

  #lap(): number {
    const nowMs = this.#nowMs();
    const tookMs = nowMs - this.#markMs;
    this.#markMs = nowMs;
    this.#tookMs = tookMs;
    if (tookMs > this.#slowMs) this.#meters.slowApplies.add(1);
    return tookMs;
  }
}
