/**
 * Checks between the flags, in etcd's order and with its texts. Each check returns the reason why etcd would not start, or
 * undefined.
 */
import type { Config } from "./config.ts";
import { ConfigError } from "./config-error.ts";
import { FLAGS } from "./flag-table.ts";
import { formatGoDuration, quoteGo } from "./go-values.ts";
import { parseLogRotation } from "./log-rotation.ts";
import { findUnadvertisable, findUnbindable, type ListenUrl } from "./urls.ts";

/** etcd allows no longer election timeout: a cluster without a leader for a minute serves nobody. */
const ELECTION_TIMEOUT_MS_MAX = 50_000;

/** Samples are counted per million spans. */
const TRACING_SAMPLES_MAX = 1_000_000;

/** What the checks look at. */
export interface Checked {
  readonly config: Config;
  /** Names of the flags that somebody set, by whatever source. */
  readonly set: ReadonlySet<string>;
  /** Value of `--experimental-compact-hash-check-time` before it went to the new name. */
  readonly oldCompactHashCheckTimeMs: number;
}

type Check = (checked: Checked) => string | undefined;

/** The first reason not to start, or undefined. */
export function findConfigProblem(checked: Checked): string | undefined {
  for (const check of CHECKS) {
    const problem = check(checked);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

const CHECKS: readonly Check[] = [
  checkRenamedFlags,
  checkLogging,
  checkUrls,
  checkBootstrap,
  checkDiscovery,
  checkTiming,
  checkAdvertised,
  checkCompactionMode,
  checkTracing,
  checkGates,
  checkHashTimes,
  checkTls,
];

function checkRenamedFlags({ set }: Checked): string | undefined {
  for (const { name, renamedTo } of FLAGS) {
    // The pair of --warning-unary-request-duration has its own rule and text.
    if (renamedTo === undefined || renamedTo === "warning-unary-request-duration") continue;
    if (set.has(name) && set.has(renamedTo)) {
      return `cannot set --${name} and --${renamedTo} at the same time, please use --${renamedTo} only`;
    }
  }
  return undefined;
}

function checkLogging({ config }: Checked): string | undefined {
  if (config.logger === "capnslog") return "--logger=capnslog is removed in v3.5";
  if (config.logger !== "zap") return `unknown logger option ${quoteGo(config.logger)}`;
  if (config.logOutputs.length > 1 && config.logOutputs.includes("default")) {
    return 'multi logoutput for "default" is not supported yet';
  }
  if (config.enableLogRotation) {
    const problem = checkLogRotation(config);
    if (problem !== undefined) return problem;
  }
  if (config.logFormat !== "json" && config.logFormat !== "console") {
    return `unknown log format: ${config.logFormat}, supported values json, console`;
  }
  return undefined;
}

function checkLogRotation(config: Config): string | undefined {
  const files = config.logOutputs.filter((output) => !["default", "stderr", "stdout"].includes(output));
  if (files.length > 1 || (config.logOutputs.length === 1 && files.length === 0)) {
    return "--log-outputs requires a single file path when --log-rotate-config-json is defined";
  }
  try {
    parseLogRotation(config.logRotationConfigJson);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message;
  }
  return undefined;
}

function checkUrls({ config }: Checked): string | undefined {
  for (const urls of [
    config.listenPeerUrls,
    config.listenClientUrls,
    config.listenClientHttpUrls,
    config.listenMetricsUrls,
  ]) {
    const problem = findUnbindable(urls);
    if (problem !== undefined) return problem;
  }
  return (
    describeUnadvertisable("initial-advertise-peer-urls", config.initialAdvertisePeerUrls) ??
    describeUnadvertisable("advertise-client-urls", config.advertiseClientUrls)
  );
}

function describeUnadvertisable(flag: string, urls: readonly ListenUrl[]): string | undefined {
  const problem = findUnadvertisable(urls, { allowUnix: flag === "initial-advertise-peer-urls" });
  const list = quoteGo(urls.map((url) => url.text).join(","));
  return problem && `--${flag} ${list} must be "host:port" (${problem})`;
}

function checkBootstrap({ config }: Checked): string | undefined {
  const ways = [config.discovery, config.initialCluster, config.discoverySrv];
  const count = ways.filter((way) => way !== "").length + (config.discoveryEndpoints.length > 0 ? 1 : 0);
  if (count <= 1) return undefined;
  return (
    "multiple discovery or bootstrap flags are set. Choose one of " +
    '"initial-cluster", "discovery", "discovery-endpoints" or "discovery-srv"'
  );
}

function checkDiscovery({ config }: Checked): string | undefined {
  const v3 = [
    ...config.discoveryEndpoints,
    config.discoveryToken,
    config.discoveryCert,
    config.discoveryKey,
    config.discoveryCacert,
    config.discoveryUser,
    config.discoveryPassword,
  ];
  if (config.discoveryProxy !== "" && v3.some((value) => value !== "")) {
    return (
      "both v2 discovery settings (discovery, discovery-proxy) " +
      "and v3 discovery settings (discovery-token, discovery-endpoints, discovery-cert, " +
      "discovery-key, discovery-cacert, discovery-user, discovery-password) are set"
    );
  }
  if ((config.discoveryToken !== "") !== config.discoveryEndpoints.length > 0) {
    return "both --discovery-token and --discovery-endpoints must be set";
  }
  if (config.discoveryEndpoints.some((endpoint) => endpoint.trim() === "")) {
    return "--discovery-endpoints must not contain empty endpoints";
  }
  return undefined;
}

function checkTiming({ config }: Checked): string | undefined {
  const { heartbeatIntervalMs: heartbeat, electionTimeoutMs: election } = config;
  if (heartbeat === 0) return "--heartbeat-interval must be >0 (set to 0ms)";
  if (election === 0) return "--election-timeout must be >0 (set to 0ms)";
  if (5 * heartbeat > election) {
    return `--election-timeout[${election}ms] should be at least as 5 times as --heartbeat-interval[${heartbeat}ms]`;
  }
  if (election > ELECTION_TIMEOUT_MS_MAX) {
    return `--election-timeout[${election}ms] is too long, and should be set less than ${ELECTION_TIMEOUT_MS_MAX}ms`;
  }
  return undefined;
}

/** Text of the one problem that etcd reports in two lines. */
export const ADVERTISE_CLIENT_URLS_MISSING =
  "--advertise-client-urls is required when --listen-client-urls is set explicitly";

function checkAdvertised({ config }: Checked): string | undefined {
  return config.advertiseClientUrls.length === 0 ? ADVERTISE_CLIENT_URLS_MISSING : undefined;
}

function checkCompactionMode({ config: { autoCompactionMode: mode } }: Checked): string | undefined {
  if (mode === "periodic" || mode === "revision") return undefined;
  return mode === "" ? "undefined auto-compaction-mode" : `unknown auto-compaction-mode ${quoteGo(mode)}`;
}

function checkTracing({ config }: Checked): string | undefined {
  if (!config.enableDistributedTracing)
    return config.traceSlowRequestsMs > 0
      ? "--trace-slow-requests-ms has no collector to send to without --enable-distributed-tracing"
      : undefined;
  const rate = config.distributedTracingSamplingRate;
  if (rate < 0) {
    return "distributed tracing configurition is not valid: (tracing sampling rate must be positive)";
  }
  if (rate > TRACING_SAMPLES_MAX) {
    return `distributed tracing configurition is not valid: (tracing sampling rate must be less than ${TRACING_SAMPLES_MAX})`;
  }
  return undefined;
}

function checkGates({ config: { featureGates: gates } }: Checked): string | undefined {
  return gates["LeaseCheckpointPersist"] && !gates["LeaseCheckpoint"]
    ? "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"
    : undefined;
}

function checkHashTimes({ config, oldCompactHashCheckTimeMs }: Checked): string | undefined {
  for (const [flag, ms] of [
    ["experimental-compact-hash-check-time", oldCompactHashCheckTimeMs],
    ["compact-hash-check-time", config.compactHashCheckTimeMs],
  ] as const) {
    if (ms <= 0) return `--${flag} must be >0 (set to ${formatGoDuration(ms)})`;
  }
  return undefined;
}

function checkTls({
  config: { tlsMinVersion: min, tlsMaxVersion: max, ...config },
}: Checked): string | undefined {
  for (const version of [min, max]) {
    if (!["", "TLS1.2", "TLS1.3"].includes(version)) {
      return `unexpected TLS version ${quoteGo(version)} (must be one of: TLS1.2, TLS1.3)`;
    }
  }
  if (max !== "" && min > max) return `min version (${min}) is greater than max version (${max})`;
  if (min === "TLS1.3" && config.cipherSuites.length > 0) {
    return "cipher suites cannot be configured when only TLS1.3 is enabled";
  }
  return undefined;
}
