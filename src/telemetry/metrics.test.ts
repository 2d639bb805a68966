import assert from "node:assert/strict";
import { test } from "node:test";

import { SERVER_VERSION } from "../base/version.ts";
import { addGrpcMetrics, createGrpcCounters } from "./grpc-metrics.ts";
import { HealthCheckCounters } from "./health-metrics.ts";
import { Metrics } from "./metrics.ts";
import { addProcessMetrics } from "./process-metrics.ts";
import { addServerMetrics } from "./server-metrics.ts";

async function scrapeLines(metrics: Metrics): Promise<string[]> {
  return (await metrics.scrape()).body.split("\n");
}

test("a scrape reads the numbers as they are at that moment", async () => {
  const metrics = new Metrics();
  const stats = {
    memberId: 0x8e9e05c52164694dn,
    hasLeader: true,
    isLeader: false,
    isLearner: false,
    leaderChangesSeen: 0,
    committedIndex: 7,
    appliedIndex: 0,
    proposalsPending: 0,
    proposalsFailed: 0,
    dbBytes: 0,
    dbBytesInUse: 0,
    currentRevision: 0,
    compactRevision: 0,
    healthSuccesses: 0,
    healthFailures: 0,
    clusterVersion: "3.6",
  };
  addServerMetrics(metrics, () => stats, { quotaBackendBytes: 0 });
  const lines = await scrapeLines(metrics);
  for (const line of [
    "# TYPE etcd_server_has_leader gauge",
    "etcd_server_has_leader 1",
    "etcd_server_is_leader 0",
    "etcd_server_proposals_committed_total 7",
    "etcd_server_quota_backend_bytes 2147483648",
    'etcd_server_id{server_id="8e9e05c52164694d"} 1',
    `etcd_server_version{server_version="${SERVER_VERSION}"} 1`,
    'etcd_cluster_version{cluster_version="3.6"} 1',
  ]) {
    assert.ok(lines.includes(line), line);
  }
  stats.committedIndex = 8;
  assert.ok((await scrapeLines(metrics)).includes("etcd_server_proposals_committed_total 8"));
});

test("families added after a scrape are in the next one", async () => {
  const metrics = new Metrics();
  metrics.addGauge("first", "First.", () => 1);
  await metrics.scrape();
  metrics.addGauge("second", "Second.", () => 2);
  assert.ok((await scrapeLines(metrics)).includes("second 2"));
});

test("numbers of other threads are fetched before the scrape", async () => {
  const metrics = new Metrics();
  let fetched = 0;
  metrics.addGauge("fetched", "Fetched.", () => fetched);
  metrics.beforeScrape(async () => {
    fetched = await Promise.resolve(42);
  });
  assert.ok((await scrapeLines(metrics)).includes("fetched 42"));
});

test("names stay as they are, and the text is that of Prometheus", async () => {
  const metrics = new Metrics();
  metrics.addCounter("etcd_server_health_success", "Calls.", () => 3);
  const { contentType, body } = await metrics.scrape();
  assert.equal(contentType, "text/plain; version=0.0.4; charset=utf-8");
  const lines = ["# HELP etcd_server_health_success Calls.", "# TYPE etcd_server_health_success counter"];
  assert.equal(body.trimEnd(), [...lines, "etcd_server_health_success 3"].join("\n"));
});

test("a histogram counts what is below each bound, and writes bounds as Go does", async () => {
  const metrics = new Metrics();
  const values = { bounds: [0.00005, 0.25, 1_048_576], counts: [1, 2, 0, 4], sum: 12.5 };
  metrics.addHistogram("took", "Durations.", () => [{ values, labels: { op: "x" } }]);
  assert.deepEqual((await scrapeLines(metrics)).slice(2, 8), [
    'took_bucket{op="x",le="5e-05"} 1',
    'took_bucket{op="x",le="0.25"} 3',
    'took_bucket{op="x",le="1.048576e+06"} 3',
    'took_bucket{op="x",le="+Inf"} 7',
    'took_sum{op="x"} 12.5',
    'took_count{op="x"} 7',
  ]);
});

test("scrapes are counted by their outcome", async () => {
  const metrics = new Metrics();
  metrics.addGauge("in_flight", "Now.", () => metrics.inFlight);
  assert.ok((await scrapeLines(metrics)).includes("in_flight 1"));
  metrics.beforeScrape(() => Promise.reject(new Error("boom")));
  await assert.rejects(metrics.scrape(), /boom/);
  assert.deepEqual([metrics.inFlight, metrics.succeeded, metrics.failed], [0, 1, 1]);
});

test("calls are shown by method and code, all of them from the start", async () => {
  const metrics = new Metrics();
  const path = "/etcdserverpb.KV/Put";
  const counters = createGrpcCounters([path, "/etcdserverpb.Watch/Watch"]);
  addGrpcMetrics(
    metrics,
    counters,
    new Map([
      [path, { kind: "unary" }],
      ["/etcdserverpb.Watch/Watch", { kind: "bidi" }],
    ]),
  );
  const put = counters.get(path);
  assert.ok(put);
  put.started = 5;
  put.handledByCode[0] = 4;
  put.handledByCode[8] = 1;
  const lines = await scrapeLines(metrics);
  const labels = 'grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"';
  assert.ok(lines.includes(`grpc_server_started_total{${labels}} 5`));
  assert.ok(lines.includes(`grpc_server_handled_total{grpc_code="OK",${labels}} 4`));
  assert.ok(lines.includes(`grpc_server_handled_total{grpc_code="ResourceExhausted",${labels}} 1`));
  const handled = lines.filter((line) => line.startsWith("grpc_server_handled_total{"));
  assert.equal(handled.length, 2 * 17);
  assert.ok(
    handled.some((line) => line.includes('grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"')),
  );
});

test("health checks are counted by result", async () => {
  const metrics = new Metrics();
  const checks = new HealthCheckCounters();
  checks.addTo(metrics);
  checks.record("readyz", "linearizable_read", true);
  checks.record("readyz", "linearizable_read", false);
  const lines = await scrapeLines(metrics);
  const name = 'name="linearizable_read"';
  const type = 'type="readyz"';
  assert.ok(lines.includes(`etcd_server_healthcheck{${name},${type}} 0`));
  assert.ok(lines.includes(`etcd_server_healthchecks_total{${name},status="success",${type}} 1`));
  assert.ok(lines.includes(`etcd_server_healthchecks_total{${name},status="error",${type}} 1`));
});

test("process metrics tell this process", { skip: process.platform !== "linux" }, async () => {
  const metrics = new Metrics();
  addProcessMetrics(metrics);
  const values = new Map<string, number>();
  for (const line of await scrapeLines(metrics)) {
    const [name, value] = line.split(" ");
    if (name !== undefined && !name.startsWith("#")) values.set(name, Number(value));
  }
  assert.ok((values.get("process_resident_memory_bytes") ?? 0) > 10e6);
  assert.ok((values.get("process_cpu_seconds_total") ?? 0) > 0);
  assert.ok((values.get("process_open_fds") ?? 0) > 2);
  assert.equal(values.get("process_max_fds"), values.get("os_fd_limit"));
  const startedAgo = Date.now() / 1000 - (values.get("process_start_time_seconds") ?? 0);
  assert.ok(startedAgo >= 0 && startedAgo < 600);
});
