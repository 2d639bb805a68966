/** etcd's metrics of leases. The lessor counts in the apply thread; main fetches its numbers before a scrape. */
import { exponentialBounds } from "../base/meters.ts";
import type { Metrics } from "./metrics.ts";

/** What the lessor of this member has done since the process began. */
export interface LeaseStats {
  granted: number;
  revoked: number;
  /** By this member as primary. */
  renewed: number;
  /** Expired leases that were handed out for revocation. */
  expired: number;
  /** Grants whose TTL is at most 2^i seconds and more than the bucket before allows; the last one holds all beyond. */
  ttlBuckets: readonly number[];
  /** Seconds granted in all. */
  ttlSum: number;
}

/** All zero. */
export function createLeaseStats(): LeaseStats {
  return { granted: 0, revoked: 0, renewed: 0, expired: 0, ttlBuckets: [], ttlSum: 0 };
}

/** Seconds. */
const TTL_BOUNDS = exponentialBounds(1, 2, 24);

/** Adds the families. */
export function addLeaseMetrics(metrics: Metrics, stats: LeaseStats): void {
  metrics.addCounter("etcd_debugging_lease_granted_total", "Leases granted.", () => stats.granted);
  metrics.addCounter("etcd_debugging_lease_revoked_total", "Leases revoked.", () => stats.revoked);
  metrics.addCounter("etcd_debugging_lease_renewed_total", "Leases renewed.", () => stats.renewed);
  metrics.addCounter("etcd_debugging_server_lease_expired_total", "Leases expired.", () => stats.expired);
  metrics.addHistogram("etcd_debugging_lease_ttl_total", "TTLs granted, in seconds.", () => {
    const counts = Array.from({ length: TTL_BOUNDS.length + 1 }, (_, i) => stats.ttlBuckets[i] ?? 0);
    return [{ values: { bounds: TTL_BOUNDS, counts, sum: stats.ttlSum } }];
  });
}
