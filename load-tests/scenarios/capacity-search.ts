/** The search for the highest rate that holds a goal; knows nothing of how a rate is tried. */

/** Below this part of the first rate the search gives up. */
const GIVE_UP_BELOW = 1 / 64;
/** How often a rate that did not hold again is lowered by the precision. */
const CONFIRMATIONS_MAX = 8;

export interface SearchOptions {
  /** The first rate that is tried. */
  readonly from: number;
  /** No rate above this one is tried. */
  readonly max: number;
  /** The answer is within this part of the highest rate that holds, such as 0.05. */
  readonly precision: number;
  /** Tries a rate. */
  readonly probe: (rate: number) => Promise<boolean>;
  /** Tries a rate again, and for longer. */
  readonly confirm: (rate: number) => Promise<boolean>;
}

/**
 * Doubles the rate until it does not hold, halves the interval until it is narrow, and confirms: a rate that held by luck is lowered until
 * one holds twice. Returns that rate, or 0 if there is none.
 */
export async function searchCapacity(options: SearchOptions): Promise<number> {
  const { max, precision, probe, confirm } = options;
  let { low, high } = await bracket(options);
  while (low > 0 && high / low > 1 + precision) {
    const middle = Math.round(Math.sqrt(low * high));
    if (middle <= low || middle >= high) break;
    if (await probe(middle)) low = middle;
    else high = middle;
  }
  for (let i = 0; i < CONFIRMATIONS_MAX && low > 0; i++) {
    if (await confirm(Math.min(low, max))) return Math.min(low, max);
    low = Math.floor(low * (1 - precision));
  }
  return 0;
}

/** A rate that holds, and one that does not; `high` is without bound if the largest one holds, `low` 0 if none does. */
async function bracket({ from, max, probe }: SearchOptions): Promise<{ low: number; high: number }> {
  let rate = Math.min(from, max);
  if (await probe(rate)) {
    while (rate < max) {
      const next = Math.min(rate * 2, max);
      if (!(await probe(next))) return { low: rate, high: next };
      rate = next;
    }
    return { low: max, high: max };
  }
  while (rate > from * GIVE_UP_BELOW && rate > 1) {
    const next = Math.max(1, Math.floor(rate / 2));
    if (await probe(next)) return { low: next, high: rate };
    rate = next;
  }
  return { low: 0, high: rate };
}
