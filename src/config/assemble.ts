/** From the values that somebody set to the whole {@link Config}: defaults, older names, feature gates, derived fields. */
import { ConfigError } from "./config-error.ts";
import type { Config } from "./config.ts";
import { resolveFeatureGates } from "./feature-gates.ts";
import type { FlagRow, FlagValue } from "./flag-row.ts";
import { FLAG_BY_NAME, FLAGS, type FlagConfig } from "./flag-table.ts";
import { defaultFlagValue } from "./flag-values.ts";
import { resolveInitialCluster } from "./initial-cluster.ts";
import type { LogLine } from "./log-line.ts";
import { findConfigProblem } from "./validate.ts";
import { findStartProblem } from "./validate-start.ts";

/** What the sources said. */
export interface Gathered {
  /** Values by flag name, of the flags that were set. */
  readonly values: ReadonlyMap<string, FlagValue>;
  /** They come from a configuration file, which has a few rules of its own. */
  readonly fromFile: boolean;
}

/** The configuration, checked. */
export interface Assembled {
  readonly config: Config;
  readonly log: readonly LogLine[];
  /** Why etcd would refuse these flags. */
  readonly problem?: string | undefined;
  /** Why etcd would accept the flags and then fail to start. */
  readonly startProblem?: string | undefined;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Peers are read from and written to with at least this much patience. */
const RAFT_TIMEOUT_MS_MIN = 5000;

/** Default of `--experimental-compact-hash-check-time`. */
const COMPACT_HASH_CHECK_MS = 60_000;

/** Defaults of `--snapshot-count` and `--snapshot-catchup-entries`, which 0 stands for too. */
const SNAPSHOT_COUNT = 10_000;
const CATCHUP_ENTRIES = 5000;

/** Time for a request beyond two elections. */
const REQUEST_TIMEOUT_BASE_MS = 5000;
/** More often, and notifications would be most of what an idle member does; etcd's number. */
const WATCH_PROGRESS_INTERVAL_MS_MIN = 100;

/**
 * Builds and checks the configuration.
 * @throws ConfigError if flags contradict each other before there is a configuration to check
 */
export function assembleConfig({ values, fromFile }: Gathered): Assembled {
  const set = new Set(values.keys());
  const flags = collectFields(values);
  flags.featureGates = collectGates(values);
  if (!fromFile) forgetAdvertised(flags, set);
  flags.initialCluster = resolveInitialCluster(flags, { given: set.has("initial-cluster") });
  const early: LogLine[] = raiseRaftTimeouts(flags);
  flags.warningUnaryRequestDurationMs = resolveUnaryWarning(values);
  resolveZeros(flags, early);
  flags.v2Deprecation = ["write-only"];
  const config = freeze(flags);
  const late = warnings(config, { set, dataDirEmpty: flags.dataDir === "" });
  const oldCheckTime = values.get("experimental-compact-hash-check-time") ?? COMPACT_HASH_CHECK_MS;
  const problem =
    flags.discoveryFallback === "proxy"
      ? `v2 proxy is deprecated, and --discovery-fallback can't be configured as "proxy"`
      : findConfigProblem({ config, set, oldCompactHashCheckTimeMs: oldCheckTime as number });
  const startProblem = problem === undefined ? findStartProblem(config) : undefined;
  return { config, log: [...early, ...(problem === undefined ? late : [])], problem, startProblem };
}

function collectFields(values: ReadonlyMap<string, FlagValue>): Mutable<FlagConfig> {
  const fields: Record<string, FlagValue> = {};
  for (const row of FLAGS) {
    if (row.field !== undefined) fields[row.field] = values.get(row.name) ?? defaultFlagValue(row);
  }
  for (const row of FLAGS) {
    const value = values.get(row.name);
    const target = row.renamedTo && FLAG_BY_NAME.get(row.renamedTo);
    if (value !== undefined && target && target.field !== undefined) fields[target.field] = value;
  }
  // Every row with a field wrote it, with the type that its row says: this is what FlagConfig is derived from.
  return fields as unknown as Mutable<FlagConfig>;
}

function collectGates(values: ReadonlyMap<string, FlagValue>): Record<string, boolean> {
  const set = { ...(values.get("feature-gates") as Record<string, boolean> | undefined) };
  const resolved = resolveFeatureGates(set);
  for (const row of FLAGS) {
    const value = values.get(row.name);
    if (row.gate === undefined || value === undefined) continue;
    if (row.gate in set) {
      const instead = `--feature-gates=${row.gate}=${resolved[row.gate]}`;
      throw new ConfigError(
        `cannot specify both flags: --${row.name}=${value as boolean} and ${instead} at the same time, please just use ${instead}`,
      );
    }
    resolved[row.gate] = value as boolean;
  }
  return resolved;
}

/** etcd does not guess what to publish once it is told where to listen. */
function forgetAdvertised(flags: Mutable<FlagConfig>, set: ReadonlySet<string>): void {
  if (set.has("listen-client-urls") && !set.has("advertise-client-urls")) flags.advertiseClientUrls = [];
}

function raiseRaftTimeouts(flags: Mutable<FlagConfig>): LogLine[] {
  const log: LogLine[] = [];
  if (flags.raftReadTimeoutMs < RAFT_TIMEOUT_MS_MIN) {
    flags.raftReadTimeoutMs = RAFT_TIMEOUT_MS_MIN;
    log.push({ level: "info", msg: "raft-read-timeout increased to minimum value: 5s" });
  }
  if (flags.raftWriteTimeoutMs < RAFT_TIMEOUT_MS_MIN) {
    flags.raftWriteTimeoutMs = RAFT_TIMEOUT_MS_MIN;
    log.push({ level: "info", msg: "raft-write-timeout increased to minimum value: 5s" });
  }
  return log;
}

/** The one pair of old and new name that is told apart by its values, not by what was set. */
function resolveUnaryWarning(values: ReadonlyMap<string, FlagValue>): number {
  const old = (values.get("experimental-warning-unary-request-duration") as number | undefined) ?? 0;
  const current = (values.get("warning-unary-request-duration") as number | undefined) ?? 0;
  if (old !== 0 && current !== 0) {
    throw new ConfigError(
      "both --experimental-warning-unary-request-duration and --warning-unary-request-duration flags are set. " +
        "Use only --warning-unary-request-duration",
    );
  }
  return current || old || 300;
}

/** Zeros that stand for "the default", see the table of limits in etcd's documentation. */
function resolveZeros(flags: Mutable<FlagConfig>, log: LogLine[]): void {
  if (flags.snapshotCount === 0) {
    flags.snapshotCount = SNAPSHOT_COUNT;
    const fields = { "given-snapshot-count": 0, "updated-snapshot-count": SNAPSHOT_COUNT };
    log.push({ level: "info", msg: "updating snapshot-count to default", fields });
  }
  if (flags.snapshotCatchupEntries === 0) {
    flags.snapshotCatchupEntries = CATCHUP_ENTRIES;
    const fields = {
      "given-snapshot-catchup-entries": 0,
      "updated-snapshot-catchup-entries": CATCHUP_ENTRIES,
    };
    log.push({ level: "info", msg: "updating snapshot catch-up entries to default", fields });
  }
  flags.backendBatchIntervalMs ||= 100;
  flags.backendBatchLimit ||= 10_000;
  if (flags.watchProgressNotifyIntervalMs <= 0) flags.watchProgressNotifyIntervalMs = 600_000;
  if (flags.watchProgressNotifyIntervalMs < WATCH_PROGRESS_INTERVAL_MS_MIN) {
    const fields = { "min-watch-progress-notify-interval": `${WATCH_PROGRESS_INTERVAL_MS_MIN}ms` };
    log.push({
      level: "warn",
      msg: "adjusting watch progress notify interval to minimum period",
      fields,
    });
    flags.watchProgressNotifyIntervalMs = WATCH_PROGRESS_INTERVAL_MS_MIN;
  }
  flags.selfSignedCertValidityYears ??= 1;
  if (flags.logOutputs.length === 0) flags.logOutputs = ["default"];
}

function freeze(flags: Mutable<FlagConfig>): Config {
  const config: Config = {
    ...flags,
    dataDir: flags.dataDir === "" ? `${flags.name}.etcd` : flags.dataDir,
    inMemory: flags.dataDir === ":memory:",
    electionTicks: Math.floor(flags.electionTimeoutMs / flags.heartbeatIntervalMs),
    requestTimeoutMs: REQUEST_TIMEOUT_BASE_MS + 2 * flags.electionTimeoutMs,
  };
  for (const value of Object.values(config)) Object.freeze(value);
  return Object.freeze(config);
}

function warnings(
  config: Config,
  { set, dataDirEmpty }: { set: ReadonlySet<string>; dataDirEmpty: boolean },
): LogLine[] {
  const log: LogLine[] = [];
  const warn = (msg: string, fields?: Record<string, unknown>): void => {
    log.push(fields === undefined ? { level: "warn", msg } : { level: "warn", msg, fields });
  };
  if (config.listenClientHttpUrls.length === 0) {
    warn("Running http and grpc server on single port. This is not recommended for production.");
  }
  const gates = config.featureGates;
  const gatesSet = set.has("feature-gates") || set.has("experimental-enable-lease-checkpoint");
  if (gatesSet && gates["LeaseCheckpoint"] && !gates["LeaseCheckpointPersist"]) {
    warn(
      "Detected that checkpointing is enabled without persistence. Consider enabling feature gate LeaseCheckpointPersist",
    );
  }
  if (config.name === "default") {
    warn(
      "it isn't recommended to use default name, please set a value for --name. " +
        "Note that etcd might run into issue when multiple members have the same default name",
      { name: config.name },
    );
  }
  for (const row of FLAGS) {
    if (!set.has(row.name)) continue;
    warnAbout(row, warn);
    if (row.name.startsWith("discovery-") && !discoveryUses(config, row.name)) {
      warn("this flag has no effect without a discovery service", { "flag-name": row.name });
    }
  }
  if (dataDirEmpty) warn("'data-dir' was empty; using default", { "data-dir": config.dataDir });
  return log;
}

/** Whether something acts on this flag: those of v3 discovery, DNS discovery and v2 discovery belong to their service alone. */
function discoveryUses(config: Config, flag: string): boolean {
  if (flag.startsWith("discovery-srv")) return config.discoverySrv !== "";
  return flag === "discovery-proxy" || flag === "discovery-fallback" || config.discoveryEndpoints.length > 0;
}

function warnAbout(row: FlagRow, warn: (msg: string, fields?: Record<string, unknown>) => void): void {
  const instead = row.renamedTo === undefined ? `--feature-gates=${row.gate}=true` : `--${row.renamedTo}`;
  if (row.deprecated !== undefined) warn(row.deprecated);
  else if (row.renamedTo !== undefined || row.gate !== undefined) {
    const fate = "is deprecated in v3.6 and will be decommissioned in v3.7.";
    warn(`--${row.name} ${fate} Use '${instead}' instead.`);
  }
  const effective = row.renamedTo === undefined ? row : FLAG_BY_NAME.get(row.renamedTo);
  if (effective?.noEffectYet) {
    warn("this flag has no effect yet, it is accepted and ignored", { "flag-name": row.name });
  }
}
