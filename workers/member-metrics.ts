/**
 * All metrics of a member, put together at the first scrape: nothing here is loaded before. Whoever counts does so from the start, in
 * memory of his own; families read it. The numbers that only another thread has are fetched before each scrape, and stay as they
 * were when it does not answer in time.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ALARM_NAMES } from "../src/apply/alarms.ts";
import { openMeters } from "../src/base/meters.ts";
import {
  APPLY_LAYOUT,
  RAFT_LAYOUT,
  STORAGE_LAYOUT,
  VITALS_LAYOUT,
  WATCH_LAYOUT,
} from "../src/base/thread-meters.ts";
import { formatId } from "../src/cluster/identity.ts";
import type { Config } from "../src/config/config.ts";
import { FEATURE_GATES } from "../src/config/feature-gates.ts";
import type { GrpcCounters, ServiceTable } from "../src/grpc/service.ts";
import type { PeerReport } from "../src/peer/peer-report.ts";
import type { MemberIdentity } from "../src/proto/response-header.ts";
import { ReadKind } from "../src/ring/record-types.ts";
import { readRingStats } from "../src/ring/shared-ring.ts";
import type { Reconfigurer } from "../src/server/reconfigurer.ts";
import type { Router } from "../src/server/router.ts";
import { addClusterMetrics } from "../src/telemetry/cluster-metrics.ts";
import { addGrpcMetrics } from "../src/telemetry/grpc-metrics.ts";
import type { HealthCheckCounters } from "../src/telemetry/health-metrics.ts";
import { type LeaseStats, addLeaseMetrics, createLeaseStats } from "../src/telemetry/lease-metrics.ts";
import { addMainMetrics } from "../src/telemetry/main-metrics.ts";
import { addMaintenanceMetrics } from "../src/telemetry/maintenance-metrics.ts";
import { Metrics } from "../src/telemetry/metrics.ts";
import { addPeerMetrics } from "../src/telemetry/peer-metrics.ts";
import { addProcessMetrics } from "../src/telemetry/process-metrics.ts";
import { addRingMetrics } from "../src/telemetry/ring-metrics.ts";
import { type ServerStats, addServerMetrics } from "../src/telemetry/server-metrics.ts";
import { addThreadMetrics } from "../src/telemetry/thread-metrics.ts";
import type { SharedMemory } from "./control.ts";
import type { PromotionCounter } from "./promotion-counter.ts";
import type { ThreadVitals } from "./thread-vitals.ts";

/** How long a scrape waits for the numbers of another thread. */
const SCRAPE_WAIT_MS = 500;
const EMPTY = new Uint8Array(0);

/** Answers to `/health` so far. */
export interface HealthCounts {
  succeeded: number;
  failed: number;
}

/** Where the numbers come from. */
export interface MetricsSources {
  readonly router: Router;
  readonly identity: MemberIdentity;
  readonly config: Config;
  readonly memory: SharedMemory;
  /** Main's own. */
  readonly vitals: ThreadVitals;
  /** Asks the raft thread. */
  readonly peers: () => Promise<readonly PeerReport[]>;
  readonly services: ServiceTable;
  readonly counters: GrpcCounters;
  readonly reconfigurer: Reconfigurer;
  readonly promotions: PromotionCounter;
  readonly health: HealthCounts;
  readonly checks: HealthCheckCounters;
}

/** The metrics of a member. */
export function createMetrics(sources: MetricsSources): Metrics {
  const { router, memory, vitals } = sources;
  const metrics = new Metrics();
  addGrpcMetrics(metrics, sources.counters, sources.services);
  addProcessMetrics(metrics);
  sources.checks.addTo(metrics);
  addServer(metrics, sources);
  addLeases(metrics, router);
  addMaintenanceMetrics(metrics, () => ({
    alarms: router.status.alarms.map(({ memberId, type }) => ({
      memberId: formatId(memberId),
      type: ALARM_NAMES[type] ?? "NONE",
    })),
    isDefragmenting: router.status.isDefragmenting,
  }));
  addMainMetrics(metrics, router.meters);
  addThreads(metrics, memory, vitals);
  addPeers(metrics, sources);
  addReconfiguration(metrics, sources);
  return metrics;
}

function addServer(metrics: Metrics, sources: MetricsSources): void {
  let stats = serverStats(sources);
  const { quotaBackendBytes } = sources.config;
  addServerMetrics(metrics, () => stats, { quotaBackendBytes });
  metrics.beforeScrape(() => {
    // What raft and apply say of how far they are wakes nobody.
    sources.router.refreshStatus();
    stats = serverStats(sources);
    return Promise.resolve();
  });
}

function serverStats({ router, identity, health }: MetricsSources): ServerStats {
  const { status } = router;
  return {
    memberId: identity.memberId,
    hasLeader: status.leaderId !== 0n,
    isLeader: status.isLeader,
    isLearner: status.isLearner,
    leaderChangesSeen: status.leaderChanges,
    committedIndex: status.commitIndex,
    appliedIndex: status.appliedIndex,
    proposalsPending: router.pendingRequests,
    proposalsFailed: status.proposalsFailed,
    dbBytes: status.dbBytes,
    dbBytesInUse: status.dbInUseBytes,
    currentRevision: status.revision,
    compactRevision: status.compactRevision,
    healthSuccesses: health.succeeded,
    healthFailures: health.failed,
    clusterVersion: status.clusterVersion.split(".").slice(0, 2).join("."),
  };
}

function addLeases(metrics: Metrics, router: Router): void {
  const stats = createLeaseStats();
  addLeaseMetrics(metrics, stats);
  metrics.beforeScrape(async () => {
    const fetched = router.request((call) => router.read(call, ReadKind.leaseCounters, false, EMPTY, 0, 0));
    const answer = await inTime(fetched);
    if (answer !== null) Object.assign(stats, JSON.parse(new TextDecoder().decode(answer)) as LeaseStats);
    stats.expired = router.status.leasesExpired;
  });
}

function addThreads(metrics: Metrics, memory: SharedMemory, vitals: ThreadVitals): void {
  const { meters } = memory;
  addThreadMetrics(metrics, {
    raft: openMeters(RAFT_LAYOUT, meters.raft),
    apply: openMeters(APPLY_LAYOUT, meters.apply),
    storage: openMeters(STORAGE_LAYOUT, meters.storage),
    watch: openMeters(WATCH_LAYOUT, meters.watch),
    vitals: Object.fromEntries(
      Object.entries(memory.vitals).map(([thread, block]) => [thread, openMeters(VITALS_LAYOUT, block)]),
    ),
  });
  metrics.beforeScrape(() => {
    vitals.look();
    return Promise.resolve();
  });
  const rings = Object.entries(memory.rings).map(
    ([name, ring]) => [name, () => readRingStats(ring)] as const,
  );
  addRingMetrics(metrics, new Map(rings));
}

function addPeers(metrics: Metrics, { router, identity, peers }: MetricsSources): void {
  let reports: readonly PeerReport[] = [];
  addPeerMetrics(metrics, () => ({
    local: formatId(identity.memberId),
    known: router.status.members.map(({ id }) => formatId(id)),
    peers: reports,
  }));
  metrics.beforeScrape(async () => {
    reports = (await inTime(peers())) ?? reports;
  });
}

function addReconfiguration(metrics: Metrics, sources: MetricsSources): void {
  const { config, promotions, reconfigurer } = sources;
  addClusterMetrics(metrics, {
    features: FEATURE_GATES.map(({ name, stage }) => ({
      name,
      stage,
      isEnabled: config.featureGates[name] ?? false,
    })),
    promotions: () => promotions.succeeded,
    promotionsRefused: () => reconfigurer.promotionsRefused,
  });
}

/** Null when the answer does not come: a scrape does not wait for a busy thread. */
function inTime<T>(answer: Promise<T>): Promise<T | null> {
  return Promise.race([answer.catch(() => null), sleep(SCRAPE_WAIT_MS, null, { ref: false })]);
}
