/** etcd's metrics of maintenance, as far as they are numbers that main knows. */
import type { Metrics } from "./metrics.ts";

/** What is read at a scrape. */
export interface MaintenanceState {
  /** Active alarms: member id in hex, name of the type. */
  readonly alarms: ReadonlyArray<{ readonly memberId: string; readonly type: string }>;
  readonly isDefragmenting: boolean;
}

export function addMaintenanceMetrics(metrics: Metrics, read: () => MaintenanceState): void {
  metrics.add({
    name: "etcd_debugging_server_alarms",
    help: "Alarms by member and type: 1 while one is active.",
    type: "gauge",
    collect: () =>
      read().alarms.map(({ memberId, type }) => ({
        value: 1,
        labels: { alarm_type: type, server_id: memberId },
      })),
  });
  metrics.addGauge("etcd_disk_defrag_inflight", "1 while the database is defragmented, 0 else.", () =>
    Number(read().isDefragmenting),
  );
}
