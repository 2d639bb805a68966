/** Metrics of what main counts itself (`MainMeters`), and of the scrapes. */
import { type MainMeters, REQUEST_TYPES } from "../base/thread-meters.ts";
import { type Metrics, type Sample } from "./metrics.ts";
import { hasCounted } from "./thread-metrics.ts";

/** Adds the families. */
export function addMainMetrics(metrics: Metrics, meters: MainMeters): void {
  const byType = (success: string, histograms: MainMeters["answered"]) =>
    histograms.map((histogram, i) => ({
      values: histogram.copy(),
      labels: { success, type: REQUEST_TYPES[i] },
    }));
  metrics.addHistogram("etcd_server_request_duration_seconds", "From a request to its answer.", () =>
    [...byType("true", meters.answered), ...byType("false", meters.failed)].filter(hasCounted),
  );
  metrics.addHistogram("etcd_disk_backend_snapshot_duration_seconds", "Writing a snapshot file.", () => [
    { values: meters.snapshot.copy() },
  ]);
  metrics.addHistogram("etcd_disk_backend_defrag_duration_seconds", "Defragmentations.", () => [
    { values: meters.defragmentation.copy() },
  ]);
  metrics.addGauge(
    "etcd_server_snapshot_apply_in_progress_total",
    "1 while a snapshot of the leader is installed.",
    () => meters.installing.value,
  );
  metrics.add({
    name: "etcd_network_server_stream_failures_total",
    help: "Streams that ended for a fault of the client.",
    type: "counter",
    collect: () => streamFailures(meters),
  });
  addScrapes(metrics);
}

function streamFailures(meters: MainMeters): Sample[] {
  return [
    { value: meters.watchReceiveFailures.value, labels: { API: "watch", Type: "receive" } },
    { value: meters.keepAliveReceiveFailures.value, labels: { API: "lease-keepalive", Type: "receive" } },
    { value: meters.keepAliveSendFailures.value, labels: { API: "lease-keepalive", Type: "send" } },
  ];
}

function addScrapes(metrics: Metrics): void {
  metrics.addGauge(
    "promhttp_metric_handler_requests_in_flight",
    "Scrapes being served.",
    () => metrics.inFlight,
  );
  metrics.add({
    name: "promhttp_metric_handler_requests_total",
    help: "Scrapes by HTTP status.",
    type: "counter",
    collect: () => [
      { value: metrics.succeeded, labels: { code: "200" } },
      { value: metrics.failed, labels: { code: "500" } },
      // Scrapes are never refused.
      { value: 0, labels: { code: "503" } },
    ],
  });
}
