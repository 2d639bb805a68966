/** Opens the member to clients: service table, gRPC transport, HTTP endpoints, metrics. */

import type { Server } from "node:http";
import type * as Comlink from "comlink";
import { ALARM_NAMES } from "../src/apply/alarms.ts";
import { detectedStorageVersion } from "../src/cluster/version.ts";
import type { Config } from "../src/config/config.ts";
import { CallWatchers } from "../src/grpc/call-watchers.ts";
import type { ListenUrl } from "../src/config/urls.ts";
import { type ListenAddress, type ListeningTransport, listenNative } from "../src/grpc/native-transport.ts";
import type { MemberIdentity } from "../src/proto/response-header.ts";
import { PeerRequestKind, ReadKind } from "../src/ring/record-types.ts";
import { AutoPromoter } from "../src/server/auto-promoter.ts";
import type { ActiveAlarm } from "../src/server/http/health.ts";
import { createHttp1Handler, type Debugging, type HttpDeps } from "../src/server/http/http.ts";
import type { ClientSnapshotSource } from "../src/server/client-snapshot.ts";
import type { Defragmenter } from "../src/server/defragment.ts";
import { downgradeEnabledHandler } from "../src/server/peer-downgrade.ts";
import { LeasePrimary } from "../src/server/lease-primary.ts";
import { hashKvHandler } from "../src/server/peer-hash-kv.ts";
import {
  leaseKeepAliveHandler,
  leaseKeepAlivesHandler,
  leaseTimeToLiveHandler,
} from "../src/server/peer-leases.ts";
import { promoteHandler } from "../src/server/peer-promote.ts";
import { Reconfigurer } from "../src/server/reconfigurer.ts";
import type { Router } from "../src/server/router.ts";
import { SlowRequests } from "../src/server/slow-requests.ts";
import { logQuota, SpaceGuard } from "../src/server/space-guard.ts";
import { createServiceTable } from "../src/server/services.ts";
import { createGrpcCounters } from "../src/telemetry/grpc-metrics.ts";
import { HealthCheckCounters } from "../src/telemetry/health-metrics.ts";
import type { Log } from "../src/telemetry/log.ts";
import type { Metrics } from "../src/telemetry/metrics.ts";
import type { SharedMemory, ThreadName } from "./control.ts";
import type { Tracing } from "../src/telemetry/tracing.ts";
import { defragmentAtStart } from "./defragment-at-start.ts";
import type { MetricsSources } from "./member-metrics.ts";
import { MaintenanceTasks } from "./maintenance-tasks.ts";
import { quotaBytes } from "./member-options.ts";
import { PromotionCounter } from "./promotion-counter.ts";
import { RECEIVE_OVERHEAD_BYTES } from "./shared-memory.ts";
import type { ThreadDiagnostics } from "./thread-diagnostics.ts";
import type { ThreadVitals } from "./thread-vitals.ts";

/** How long calls in progress may take to end when the member stops; then they fail with "server stopped". */
const DRAIN_GRACE_MS = 1000;
/** How long after that clients have to take their answers and close. */
const CLOSE_GRACE_MS = 250;
const EMPTY = new Uint8Array(0);

export interface ServeOptions {
  readonly router: Router;
  readonly identity: MemberIdentity;
  readonly config: Config;
  readonly log: Log;
  readonly snapshots: ClientSnapshotSource;
  readonly defragmenter: Defragmenter;
  /** The worker threads, for profiles of them. */
  readonly diagnostics: ReadonlyMap<ThreadName, Comlink.Remote<ThreadDiagnostics>>;
  /** For metrics: all threads' memory, main's vitals, and what the raft thread has counted of peers. */
  readonly memory: SharedMemory;
  readonly vitals: ThreadVitals;
  readonly peers: MetricsSources["peers"];
  /** Null: no call is traced. */
  readonly tracing: Tracing | null;
  /** Called with every stream of watches that opens. */
  readonly onWatchStream: () => void;
}

/** The open doors of a member. */
export interface Serving {
  /** `host:port` or socket path of each client listener. */
  readonly addresses: readonly string[];
  stop(): Promise<void>;
}

/** Starts to listen. Rejects, with nothing left listening, when an address cannot be bound. */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { router, identity, config, log, snapshots, defragmenter, tracing, onWatchStream } = options;
  const storageVersion = (): string => detectedStorageVersion(router.status.clusterVersion);
  const reconfigurer = new Reconfigurer({
    router,
    strict: config.strictReconfigCheck,
    requestTimeoutMs: config.requestTimeoutMs,
    log,
  });
  router.onPeerRequest(PeerRequestKind.promote, promoteHandler(reconfigurer));
  router.onPeerRequest(PeerRequestKind.downgradeEnabled, downgradeEnabledHandler(router));
  router.onPeerRequest(PeerRequestKind.hashKv, hashKvHandler(router));
  void defragmentAtStart({
    router,
    defragmenter,
    log,
    thresholdMb: config.bootstrapDefragThresholdMegabytes,
  });
  const tasks = new MaintenanceTasks({ router, identity, config, log });
  tasks.start();
  const promoter = config.autoPromoteLearners ? new AutoPromoter({ router, reconfigurer, log }) : null;
  logQuota(log, config.quotaBackendBytes, quotaBytes(config));
  const space = new SpaceGuard({
    router,
    quotaBytes: quotaBytes(config),
    autoDisarm: config.quotaAutoDisarm,
    log,
  });
  const primary = new LeasePrimary({ router, requestTimeoutMs: config.requestTimeoutMs });
  router.onPeerRequest(PeerRequestKind.leaseKeepAlive, leaseKeepAliveHandler(primary));
  router.onPeerRequest(PeerRequestKind.leaseKeepAlives, leaseKeepAlivesHandler(primary));
  router.onPeerRequest(PeerRequestKind.leaseTimeToLive, leaseTimeToLiveHandler(primary));
  const services = createServiceTable(router, {
    ...identity,
    identity,
    primary,
    reconfigurer,
    space,
    requestTimeoutMs: config.requestTimeoutMs,
    txnOpsMax: config.txnOpsMax,
    electionTimeoutMs: config.electionTimeoutMs,
    onWatchStream,
    quotaBackendBytes: quotaBytes(config),
    storageVersion,
    snapshots,
    defragmenter,
    stopsOnDefrag: config.featureGates["StopGRPCServiceOnDefrag"],
    log,
  });
  const counters = createGrpcCounters(services.keys(), config.metrics === "extensive");
  const deps = httpDeps({
    ...options,
    services,
    counters,
    reconfigurer,
    promotions: new PromotionCounter(router),
    health: { succeeded: 0, failed: 0 },
    checks: new HealthCheckCounters(),
  });
  const http1 = createHttp1Handler(deps);
  const listen = config.grpcTransport === "native" ? listenNative : await loadGrpcJs();
  const slowRequests = new SlowRequests({ router, log, warningMs: config.warningUnaryRequestDurationMs });
  const separateHttp = config.listenClientHttpUrls.length > 0;
  const transport = await listen({
    services,
    counters,
    ...(tracing === null ? {} : { tracer: tracing.tracer }),
    watcher: tracing?.slow ? new CallWatchers([slowRequests, tracing.slow]) : slowRequests,
    limits: {
      receiveBytesMax: config.requestBytesMax + RECEIVE_OVERHEAD_BYTES,
      concurrentStreamsMax: config.concurrentStreamsMax,
      keepaliveMinTimeMs: config.grpcKeepaliveMinTimeMs,
      keepaliveIntervalMs: config.grpcKeepaliveIntervalMs,
      keepaliveTimeoutMs: config.grpcKeepaliveTimeoutMs,
    },
    listeners: config.listenClientUrls.map(listenAddress),
    http1: separateHttp ? null : http1,
  });
  router.attach(transport);
  const servers = await Promise.all([
    ...config.listenClientHttpUrls.map((url) => listenHttp(createHttp1Handler(deps), url)),
    ...config.listenMetricsUrls.map((url) =>
      listenHttp(createHttp1Handler(deps, { surface: "metrics" }), url),
    ),
  ]).catch(async (error: unknown) => {
    await transport.drain(0);
    throw error;
  });
  log.info("ready to serve client requests", {});
  const addresses = transport.addresses().map(formatAddress);
  for (const address of addresses)
    log.info("serving client traffic insecurely; this is strongly discouraged!", { address });
  return {
    addresses,
    stop: () => {
      promoter?.stop();
      tasks.stop();
      primary.close();
      space.stop();
      return stopServing(router, transport, [http1, ...servers]);
    },
  };
}

async function loadGrpcJs(): Promise<typeof listenNative> {
  const { listenGrpcJs } = await import("../src/grpc/grpc-js-transport.ts");
  return listenGrpcJs;
}

async function stopServing(
  router: Router,
  transport: ListeningTransport,
  servers: readonly Server[],
): Promise<void> {
  for (const server of servers) server.close();
  const late = setTimeout(() => router.stop(), DRAIN_GRACE_MS);
  const drained = transport.drain(DRAIN_GRACE_MS + CLOSE_GRACE_MS);
  // Clients know by now that they have to come back on another connection.
  router.endStreams();
  await drained;
  clearTimeout(late);
  for (const server of servers) server.closeAllConnections();
}

function listenAddress(url: ListenUrl): ListenAddress {
  return url.scheme.startsWith("unix") ? { path: url.address } : { host: url.host, port: url.port };
}

function formatAddress(address: ListenAddress): string {
  if ("path" in address) return address.path;
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

function listenHttp(server: Server, url: ListenUrl): Promise<Server> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(listenAddress(url), () => {
      server.off("error", reject);
      resolve(server);
    });
  });
}

function httpDeps(options: ServeOptions & MetricsSources): HttpDeps {
  const { router, config, log, diagnostics, health, checks } = options;
  const loadMetrics = createLoader(options);
  const barrier = async (linearizable: boolean): Promise<void> => {
    await router.request((call) => router.read(call, ReadKind.barrier, linearizable, EMPTY, 0, 0));
  };
  return {
    logger: log,
    hostWhitelist: config.hostWhitelist,
    corsOrigins: config.corsOrigins,
    clusterVersion: () => router.status.clusterVersion || undefined,
    storageVersion: () => detectedStorageVersion(router.status.clusterVersion) || undefined,
    scrapeMetrics: async () => (await loadMetrics()).scrape(),
    raftStatus: () => raftStatus(router),
    debugging: config.enablePprof ? debugging(log, diagnostics) : null,
    alarms: () => router.status.alarms.map(({ memberId, type }) => ({ memberId, type: alarmName(type) })),
    hasLeader: () => router.status.leaderId !== 0n,
    isLearner: () => router.status.isLearner,
    linearizableRead: () => barrier(true),
    serializableRead: () => barrier(false),
    recordHealth: (healthy) => {
      if (healthy) health.succeeded++;
      else health.failed++;
    },
    recordHealthCheck: (type, name, passed) => checks.record(type, name, passed),
  };
}

function debugging(log: Log, diagnostics: ServeOptions["diagnostics"]): Debugging {
  log.info("pprof is enabled", { path: "/debug/pprof" });
  return {
    threshold: log.threshold,
    loadProfiles: async () => {
      const { MemberProfiles } = await import("./member-profiles.ts");
      return new MemberProfiles(diagnostics);
    },
  };
}

function alarmName(type: number): ActiveAlarm["type"] {
  return (ALARM_NAMES[type] ?? "NONE") as ActiveAlarm["type"];
}

/** The metrics, from the first scrape on. */
function createLoader(sources: MetricsSources): () => Promise<Metrics> {
  let loading: Promise<Metrics> | null = null;
  const load = async (): Promise<Metrics> => {
    const { createMetrics } = await import("./member-metrics.ts");
    return createMetrics(sources);
  };
  return () => (loading ??= load());
}

function raftStatus(router: Router): unknown {
  router.refreshStatus();
  const { term, leaderId, commitIndex, appliedIndex } = router.status;
  return { term, lead: leaderId.toString(16), commit: commitIndex, applied: appliedIndex };
}
