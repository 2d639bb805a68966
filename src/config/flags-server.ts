import type { FlagRow } from "./flag-row.ts";

/** Auth flags. */
export const AUTH_FLAGS = [
  {
    name: "auth-token",
    type: "string",
    default: "simple",
    field: "authToken",
    noEffectYet: true,
    help: "Token provider: simple or jwt,opt=val,.",
  },
  {
    name: "bcrypt-cost",
    type: "uint",
    default: "10",
    field: "bcryptCost",
    noEffectYet: true,
    help: "bcrypt work factor for passwords.",
  },
  {
    name: "auth-token-ttl",
    type: "uint",
    default: "300",
    field: "authTokenTtlSeconds",
    noEffectYet: true,
    help: "Simple token idle lifetime.",
  },
] as const satisfies readonly FlagRow[];

/** Profiling and Monitoring flags. */
export const MONITORING_FLAGS = [
  {
    name: "listen-metrics-urls",
    type: "urls",
    default: "",
    field: "listenMetricsUrls",
    help: "Extra sockets serving metrics and health only.",
  },
  {
    name: "enable-pprof",
    type: "bool",
    default: "false",
    field: "enablePprof",
    help: "Serve /debug/pprof on client URLs.",
  },
  {
    name: "metrics",
    type: "string",
    default: "basic",
    field: "metrics",
    noEffectYet: true,
    help: "basic or extensive (adds gRPC latency histogram).",
  },
] as const satisfies readonly FlagRow[];

/** Logging flags. */
export const LOGGING_FLAGS = [
  { name: "logger", type: "string", default: "zap", field: "logger", help: "Logging backend name." },
  {
    name: "log-outputs",
    type: "stringSet",
    default: "default",
    field: "logOutputs",
    help: "default (stderr/journald), stdout, stderr, or file paths.",
  },
  {
    name: "log-level",
    type: "string",
    default: "info",
    field: "logLevel",
    help: "debug|info|warn|error|panic|fatal.",
  },
  { name: "log-format", type: "string", default: "json", field: "logFormat", help: "json or console." },
  {
    name: "enable-log-rotation",
    type: "bool",
    default: "false",
    field: "enableLogRotation",
    help: "Rotate the single log file.",
  },
  {
    name: "log-rotation-config-json",
    type: "string",
    default: '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}',
    field: "logRotationConfigJson",
    help: "Rotation settings (MB, days, count).",
  },
  {
    name: "warning-unary-request-duration",
    type: "duration",
    default: "0s",
    field: "warningUnaryRequestDurationMs",
    help: "Log slow unary RPCs above this.",
  },
] as const satisfies readonly FlagRow[];

/** Unsafe feature flags. */
export const UNSAFE_FLAGS = [
  {
    name: "unsafe-no-fsync",
    type: "bool",
    default: "false",
    field: "unsafeNoFsync",
    help: "Skip fsync (data loss risk).",
  },
  {
    name: "force-new-cluster",
    type: "bool",
    default: "false",
    field: "forceNewCluster",
    help: "Rewrite membership to this member alone.",
  },
] as const satisfies readonly FlagRow[];

/** Flags that etcd does not have. */
export const CONCORD_FLAGS = [
  {
    name: "grpc-transport",
    type: "choice",
    default: "native",
    choices: ["native", "grpc-js"],
    field: "grpcTransport",
    ours: true,
    help: "Server transport: our own, or the slower one of @grpc/grpc-js to compare with.",
  },
  {
    name: "trace-slow-requests-ms",
    type: "uint",
    default: "0",
    field: "traceSlowRequestsMs",
    ours: true,
    help: "Also trace, after the fact, requests that took longer; 0 = none. Needs --enable-distributed-tracing.",
  },
  {
    name: "value-cache-bytes",
    type: "int64",
    default: "134217728",
    field: "valueCacheBytes",
    ours: true,
    help: "Memory for the values of current keys; others are read from disk.",
  },
  {
    name: "quota-auto-disarm",
    type: "bool",
    default: "true",
    field: "quotaAutoDisarm",
    ours: true,
    help: "A member takes its NOSPACE alarm back once there is room; false: it stays until it is disarmed, as with etcd.",
  },
  {
    name: "auto-promote-learners",
    type: "bool",
    default: "false",
    field: "autoPromoteLearners",
    ours: true,
    help: "The leader promotes learners that are in sync with it.",
  },
] as const satisfies readonly FlagRow[];
