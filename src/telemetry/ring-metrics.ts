/** The rings between the threads: how full they are, and how often somebody waited for one. */
import type { RingStats } from "../ring/ring.ts";
import type { Metrics } from "./metrics.ts";

/** Adds the families; `rings` reads the counters of a ring, by its name. */
export function addRingMetrics(metrics: Metrics, rings: ReadonlyMap<string, () => RingStats>): void {
  const add = (
    name: string,
    help: string,
    type: "gauge" | "counter",
    read: (stats: RingStats) => number,
  ): void => {
    const collect = (): { value: number; labels: { ring: string } }[] =>
      [...rings].map(([ring, stats]) => ({ value: read(stats()), labels: { ring } }));
    metrics.add({ name, help, type, collect });
  };
  add("concord_ring_capacity_bytes", "What fits into a ring.", "gauge", (ring) => ring.capacityBytes);
  add("concord_ring_depth_bytes", "What waits in a ring.", "gauge", (ring) => ring.depthBytes);
  add("concord_ring_depth_max_bytes", "Most that ever waited.", "gauge", (ring) => ring.depthBytesMax);
  add("concord_ring_records_total", "Records published.", "counter", (ring) => ring.records);
  add("concord_ring_full_waits_total", "Waits of the writer for room.", "counter", (ring) => ring.fullWaits);
  add("concord_ring_wake_ups_total", "Wake-ups of the reader.", "counter", (ring) => ring.wakeUps);
}
