/**
 * What recording one request costs (limit: 0.3 us), thread by thread, and how long a scrape keeps main from its work.
 * CPU time, so that it can be measured beside other load.
 */
import { openMeters } from "../src/base/meters.ts";
import { APPLY_LAYOUT, MAIN_LAYOUT, RAFT_LAYOUT, VITALS_LAYOUT } from "../src/base/thread-meters.ts";
import { ApplyTimer } from "../src/apply/apply-timer.ts";
import { createMethodCounters, versionCount } from "../src/grpc/service.ts";
import { RaftField } from "../src/proto/raft-request.ts";
import { addGrpcMetrics, createGrpcCounters } from "../src/telemetry/grpc-metrics.ts";
import { addMainMetrics } from "../src/telemetry/main-metrics.ts";
import { Metrics } from "../src/telemetry/metrics.ts";

const ROUNDS = 5;
const REQUESTS = 2_000_000;

function cpuNs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) * 1000;
}

/** The best of some rounds: the compiler needs the first ones. */
function measure(name: string, record: () => void): void {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const took = cpuNs(() => {
      for (let i = 0; i < REQUESTS; i++) record();
    });
    best = Math.min(best, took / REQUESTS);
  }
  console.log(`${name}: ${best.toFixed(0)} ns`);
}

const counters = createMethodCounters();
const version = versionCount(counters, "3.6");
const main = openMeters(MAIN_LAYOUT, new SharedArrayBuffer(65536));
const apply = openMeters(APPLY_LAYOUT, new SharedArrayBuffer(65536));
const timer = new ApplyTimer(apply, () => performance.now(), 100);

measure("main: a call's counters and its latency", () => {
  counters.started++;
  version.calls++;
  counters.messagesReceived++;
  counters.bytesReceived += 100;
  counters.messagesSent++;
  counters.bytesSent += 30;
  counters.handledByCode[0]++;
  main.answered[2].observe(0.0004);
});
timer.begin();
measure("apply: a put's counters and its duration, with the look at the clock", () => {
  apply.puts.add(1);
  apply.putBytes.add(100);
  timer.applied(RaftField.put, 0);
});
const timed = createMethodCounters(true);
measure("main with --metrics=extensive, in addition", () => {
  timed.durations?.observe((performance.now() - 1) / 1e6);
});
const raft = openMeters(RAFT_LAYOUT);
const vitals = openMeters(VITALS_LAYOUT);
measure("raft: a flush (shared by its entries)", () => {
  raft.walFlush.observe(0.0004);
  raft.walBytes.add(4096);
  raft.flushBytes.observe(4096);
  raft.flushEntries.observe(20);
});
measure("any thread: a round (shared by its records)", () => vitals.turn.observe(0.0002));

const METHODS = 50;
const methods = new Map(
  Array.from({ length: METHODS }, (_, i) => [`/etcdserverpb.Service/Method${i}`, { kind: "unary" as const }]),
);
for (const extensive of [false, true]) {
  const metrics = new Metrics();
  addGrpcMetrics(metrics, createGrpcCounters(methods.keys(), extensive), methods);
  addMainMetrics(metrics, main);
  for (let i = 0; i < 100; i++) metrics.addGauge(`gauge_${i}`, "A gauge.", () => i);
  let length = 0;
  let best = Infinity;
  for (let round = 0; round < 20; round++) {
    const before = process.cpuUsage();
    length = (await metrics.scrape()).body.length;
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1000);
  }
  console.log(
    `a scrape${extensive ? " with --metrics=extensive" : ""}: ${best.toFixed(1)} ms, ${length} bytes`,
  );
}
