/**
 * A new primary gives every lease its time anew, counted from the same moment, so leases of one TTL would all fall due at once:
 * after an outage of their clients, tens of thousands. Spread, they fall due no faster than they can be revoked.
 */
import { SPREAD_EXPIRIES_PER_SECOND } from "./lease-limits.ts";
import type { LeaseTable } from "./lease-table.ts";

const SECOND_MS = 1000;

export interface Promotion {
  readonly nowMs: number;
  readonly extendMs: number;
  /** Time that a lease is given, without the extension. */
  readonly ttlMs: (row: number) => number;
}

/**
 * Walks the leases in the order of their expiry through windows of a second; those beyond what a window may hold are moved out, the
 * later the more of them there are, and the next window begins behind them. No lease is moved to before its time.
 */
export function spreadExpiries(table: LeaseTable, { nowMs, extendMs, ttlMs }: Promotion): void {
  const rows = rowsByExpiry(table);
  let windowMs = table.expiryMs[rows[0]] - nowMs;
  let nextWindowMs = windowMs + SECOND_MS;
  let expiries = 0;
  for (const row of rows) {
    const leftMs = table.expiryMs[row] - nowMs;
    if (leftMs > nextWindowMs) {
      windowMs = leftMs;
      nextWindowMs = windowMs + SECOND_MS;
      expiries = 1;
      continue;
    }
    expiries++;
    if (expiries <= SPREAD_EXPIRIES_PER_SECOND) continue;
    // A lease that would expire later in the window anyway is moved by that much less.
    const delayMs = (SECOND_MS * expiries) / SPREAD_EXPIRIES_PER_SECOND - (leftMs - windowMs);
    nextWindowMs = windowMs + delayMs;
    table.expiryMs[row] = nowMs + ttlMs(row) + extendMs + Math.max(0, delayMs);
  }
}

function rowsByExpiry(table: LeaseTable): Uint32Array {
  const rows = new Uint32Array(table.size);
  let count = 0;
  for (let row = 1; row < table.used; row++) if (table.isUsed(row)) rows[count++] = row;
  return rows.sort((a, b) => table.expiryMs[a] - table.expiryMs[b] || a - b);
}
