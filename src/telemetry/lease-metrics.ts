/** etcd's metrics of leases. The lessor counts in the apply thread; main fetches its numbers before a scrape. */
import type { Metrics, Sample } from "./metrics.ts";

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

const TTL_METRIC = "etcd_debugging_lease_ttl_total";
/** Buckets with a bound: 1, 2, 4 … 2^23 seconds. */
const TTL_BOUNDS = 24;

/** Adds the families. */
export function addLeaseMetrics(metrics: Metrics, stats: LeaseStats): void {
  metrics.addCounter("etcd_debugging_lease_granted_total", "Leases granted.", () => stats.granted);
  metrics.addCounter("etcd_debugging_lease_revoked_total", "Leases revoked.", () => stats.revoked);
  metrics.addCounter("etcd_debugging_lease_renewed_total", "Leases renewed.", () => stats.renewed);
  metrics.addCounter("etcd_debugging_server_lease_expired_total", "Leases expired.", () => stats.expired);
  metrics.add({
    name: TTL_METRIC,
    help: "TTLs granted, in seconds.",
    type: "histogram",
    collect: () => ttlSamples(stats),
  });
}

function ttlSamples({ ttlBuckets, ttlSum }: LeaseStats): Sample[] {
  const samples: Sample[] = [];
  let count = 0;
  for (let index = 0; index <= TTL_BOUNDS; index++) {
    count += ttlBuckets[index] ?? 0;
    const le = index === TTL_BOUNDS ? "+Inf" : String(2 ** index);
    samples.push({ metricName: `${TTL_METRIC}_bucket`, value: count, labels: { le } });
  }
  samples.push({ metricName: `${TTL_METRIC}_sum`, value: ttlSum });
  samples.push({ metricName: `${TTL_METRIC}_count`, value: count });
  return samples;
}
