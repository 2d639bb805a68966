import assert from "node:assert/strict";
import { test } from "node:test";

import { SERVER_VERSION } from "../base/version.ts";
import { loadConfig, type Config, type LoadOutcome } from "./config.ts";

interface Given {
  argv?: string[];
  env?: Record<string, string>;
  file?: string;
}

function load({ argv = [], env = {}, file }: Given): Promise<LoadOutcome> {
  const readFile = (path: string): string => {
    if (file === undefined) throw Object.assign(new Error(path), { code: "ENOENT" });
    return file;
  };
  return loadConfig({ argv: file === undefined ? argv : ["--config-file=c.yaml", ...argv], env, readFile });
}

async function loadOk(given: Given): Promise<Config> {
  const outcome = await load(given);
  assert.equal(outcome.kind, "config", JSON.stringify(outcome));
  return (outcome as { config: Config }).config;
}

/** The error of the line `failed to verify flags`, or stderr up to the usage text. */
async function loadProblem(given: Given): Promise<string> {
  const outcome = await load(given);
  assert.equal(outcome.kind, "exit");
  if (outcome.kind !== "exit") return "";
  if (outcome.code === 2) return outcome.stderr.split("\n")[0];
  assert.equal(outcome.code, 1);
  const line = outcome.log.find((entry) => entry.fields?.["error"] !== undefined);
  return `${line?.msg}: ${String(line?.fields?.["error"])}`;
}

const URLS = ["--listen-client-urls=http://127.0.0.1:1", "--advertise-client-urls=http://127.0.0.1:1"];

test("defaults", async () => {
  const config = await loadOk({});
  assert.equal(config.name, "default");
  assert.equal(config.dataDir, "default.etcd");
  assert.equal(config.inMemory, false);
  assert.equal(config.heartbeatIntervalMs, 100);
  assert.equal(config.electionTicks, 10);
  assert.equal(config.requestTimeoutMs, 7000);
  assert.equal(config.grpcKeepaliveIntervalMs, 7_200_000);
  assert.equal(config.concurrentStreamsMax, 4_294_967_295);
  assert.equal(config.initialCluster, "default=http://localhost:2380");
  assert.equal(config.featureGates["TxnModeWriteWithSharedBuffer"], true);
  assert.equal(config.featureGates["LeaseCheckpoint"], true);
  assert.deepEqual(
    config.listenClientUrls.map((url) => url.text),
    ["http://localhost:2379"],
  );
  assert.equal(config.backendBatchIntervalMs, 100, "0 stands for a default");
  assert.equal(config.quotaBackendBytes, 0, "clients are told the flag's value");
});

test("the configuration is frozen and can be handed to a worker", async () => {
  const config = await loadOk({ argv: ["--name=a", ...URLS] });
  assert.ok(Object.isFrozen(config) && Object.isFrozen(config.listenClientUrls));
  assert.deepEqual(structuredClone(config), config);
});

test("the forms of Go's command line", async () => {
  const config = await loadOk({
    argv: [
      "--name",
      "first",
      "-name=a",
      "--pre-vote=false",
      "-unsafe-no-fsync",
      "--max-txn-ops",
      "0x10",
      "--",
    ],
  });
  assert.equal(config.name, "a", "the last one wins");
  assert.equal(config.preVote, false);
  assert.equal(config.unsafeNoFsync, true);
  assert.equal(config.txnOpsMax, 16);
  assert.equal(config.initialCluster, "a=http://localhost:2380", "follows the name");
});

test(":memory: is a data directory of its own kind", async () => {
  assert.equal((await loadOk({ argv: ["--data-dir=:memory:"] })).inMemory, true);
});

test("older names set the newer fields and gates", async () => {
  const config = await loadOk({
    argv: ["--experimental-compaction-batch-limit=7", "--experimental-initial-corrupt-check"],
    env: { ETCD_EXPERIMENTAL_WARNING_UNARY_REQUEST_DURATION: "1s" },
  });
  assert.equal(config.compactionBatchLimit, 7);
  assert.equal(config.featureGates["InitialCorruptCheck"], true);
  assert.equal(config.warningUnaryRequestDurationMs, 1000);
});

test("AllAlpha sets the gates that were not set by name", async () => {
  const { featureGates } = await loadOk({
    argv: ["--feature-gates=AllAlpha=true,LeaseCheckpointPersist=false"],
  });
  assert.deepEqual([featureGates["CompactHashCheck"], featureGates["LeaseCheckpointPersist"]], [true, false]);
});

test("variables stand in for flags, unknown ones are reported", async () => {
  const outcome = await load({
    env: { ETCD_NAME: "e", ETCD_NONSENSE: "1", ETCD_MAX_WALS: "", ETCDCTL_API: "3" },
  });
  assert.ok(outcome.kind === "config");
  assert.equal(outcome.config.name, "e");
  const about = (msg: string): unknown[] =>
    outcome.log.filter((line) => line.msg === msg).map((line) => line.fields);
  assert.deepEqual(about("recognized and used environment variable"), [
    { "variable-name": "ETCD_NAME", "variable-value": "e" },
  ]);
  assert.deepEqual(about("unrecognized environment variable"), [
    { "environment-variable": "ETCD_NONSENSE=1" },
    { "environment-variable": "ETCD_MAX_WALS=" },
  ]);
});

test("a variable against a flag ends the start, as in etcd", async () => {
  const outcome = await load({ argv: ["--name=a"], env: { ETCD_NAME: "b" } });
  assert.ok(outcome.kind === "exit");
  assert.equal(outcome.code, 1);
  const line = outcome.log.at(-1);
  assert.equal(line?.level, "fatal");
  assert.deepEqual(line?.fields, { "environment-variable": "ETCD_NAME" });
});

test("progress of watches comes every ten minutes unless told otherwise, and not more often than etcd's", async () => {
  const intervalOf = async (...argv: string[]): Promise<[number | undefined, string[]]> => {
    const outcome = await load({ argv });
    const warnings = outcome.log.filter((line) => line.msg.includes("watch progress")).map(({ msg }) => msg);
    const config = outcome.kind === "config" ? outcome.config : undefined;
    return [config?.watchProgressNotifyIntervalMs, warnings];
  };
  assert.deepEqual(await intervalOf(), [600_000, []]);
  assert.deepEqual(await intervalOf("--watch-progress-notify-interval=-1s"), [600_000, []]);
  assert.deepEqual(await intervalOf("--experimental-watch-progress-notify-interval=2s"), [2000, []]);
  assert.deepEqual(await intervalOf("--watch-progress-notify-interval=5ms"), [
    100,
    ["adjusting watch progress notify interval to minimum period"],
  ]);
});

test("a flag that has no effect yet says so, once for each that was set", async () => {
  const outcome = await load({ argv: ["--bcrypt-cost=9", "--experimental-memory-mlock"] });
  const flags = outcome.log
    .filter((line) => line.msg.includes("no effect yet"))
    .map((line) => line.fields?.["flag-name"]);
  assert.deepEqual(flags, ["bcrypt-cost", "experimental-memory-mlock"]);
  assert.ok(!(await load({})).log.some((line) => line.msg.includes("no effect yet")));
});

test("flags of a discovery that is not used say so; zeros mean the defaults", async () => {
  const without = "this flag has no effect without a discovery service";
  const warned = async (...argv: string[]): Promise<unknown[]> =>
    (await load({ argv })).log
      .filter(({ msg }) => msg === without)
      .map(({ fields }) => fields?.["flag-name"]);
  assert.deepEqual(await warned("--discovery-user=a", "--discovery-srv-name=x"), [
    "discovery-user",
    "discovery-srv-name",
  ]);
  const endpoints = ["--discovery-token=t", "--discovery-endpoints=http://d:1", "--discovery-user=a"];
  assert.deepEqual(await warned(...endpoints), []);
  const outcome = await load({ argv: ["--snapshot-count=0", "--snapshot-catchup-entries=0"] });
  assert.ok(outcome.kind === "config");
  assert.deepEqual([outcome.config.snapshotCount, outcome.config.snapshotCatchupEntries], [10_000, 5000]);
});

test("help and version", async () => {
  for (const flag of ["-h", "--help"]) {
    const help = await load({ argv: [flag] });
    assert.ok(help.kind === "exit" && help.code === 0);
    assert.match(help.stdout, /^Member:\n {2}--name 'default'\n/);
  }
  const version = await load({ argv: ["--version"] });
  assert.ok(version.kind === "exit" && version.code === 0);
  assert.equal(version.stdout.split("\n")[0], `etcd Version: ${SERVER_VERSION}`);
});

// Every text was compared with etcd 3.6.6.
const VERIFY = "failed to verify flags: ";
const PROBLEMS: readonly (readonly [string[], string])[] = [
  [["--foo"], "flag provided but not defined: -foo"],
  [["--name"], "flag needs an argument: -name"],
  [["---x"], "bad flag syntax: ---x"],
  [["--=x"], "bad flag syntax: --=x"],
  [["--heartbeat-interval=x"], 'invalid value "x" for flag -heartbeat-interval: parse error'],
  [["--grpc-keepalive-min-time=5"], 'invalid value "5" for flag -grpc-keepalive-min-time: parse error'],
  [["--unsafe-no-fsync=maybe"], 'invalid boolean value "maybe" for -unsafe-no-fsync: parse error'],
  [["--initial-cluster-state=x"], 'invalid value "x" for flag -initial-cluster-state: invalid value'],
  [["--v2-deprecation=not-yet"], 'invalid value "not-yet" for flag -v2-deprecation: invalid value "not-yet"'],
  [
    ["--max-concurrent-streams=99999999999"],
    'invalid value "99999999999" for flag -max-concurrent-streams: ' +
      'strconv.ParseUint: parsing "99999999999": value out of range',
  ],
  [
    ["--feature-gates=foo=true"],
    'invalid value "foo=true" for flag -feature-gates: unrecognized feature gate: foo',
  ],
  [["--feature-gates=foo"], 'invalid value "foo" for flag -feature-gates: missing bool value for foo'],
  [["--log-level=foo"], 'panic: unrecognized level: "foo"'],
  [["extra"], `${VERIFY}"extra" is not a valid flag`],
  [["--name=a", "extra", "--foo"], `${VERIFY}"extra" is not a valid flag`],
  [["--listen-client-urls=http://foo:1"], `${VERIFY}expected IP in URL for binding (http://foo:1)`],
  [
    ["--listen-client-urls=http://127.0.0.1:1"],
    `${VERIFY}--advertise-client-urls is required when --listen-client-urls is set explicitly`,
  ],
  [
    ["--advertise-client-urls=http://:1"],
    `${VERIFY}--advertise-client-urls "http://:1" must be "host:port" (unexpected empty host (http://:1))`,
  ],
  [["--heartbeat-interval=0"], `${VERIFY}--heartbeat-interval must be >0 (set to 0ms)`],
  [["--election-timeout=0"], `${VERIFY}--election-timeout must be >0 (set to 0ms)`],
  [
    ["--heartbeat-interval=500"],
    `${VERIFY}--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[500ms]`,
  ],
  [
    ["--election-timeout=50001"],
    `${VERIFY}--election-timeout[50001ms] is too long, and should be set less than 50000ms`,
  ],
  [["--auto-compaction-mode=x"], `${VERIFY}unknown auto-compaction-mode "x"`],
  [["--auto-compaction-mode="], `${VERIFY}undefined auto-compaction-mode`],
  [["--logger=capnslog"], `${VERIFY}--logger=capnslog is removed in v3.5`],
  [["--logger=x"], `${VERIFY}unknown logger option "x"`],
  [["--log-outputs=default,stderr"], `${VERIFY}multi logoutput for "default" is not supported yet`],
  [["--log-format=x"], `${VERIFY}unknown log format: x, supported values json, console`],
  [
    ["--enable-log-rotation"],
    `${VERIFY}--log-outputs requires a single file path when --log-rotate-config-json is defined`,
  ],
  [["--tls-min-version=TLS1.1"], `${VERIFY}unexpected TLS version "TLS1.1" (must be one of: TLS1.2, TLS1.3)`],
  [
    ["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
    `${VERIFY}min version (TLS1.3) is greater than max version (TLS1.2)`,
  ],
  [
    ["--tls-min-version=TLS1.3", "--cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA"],
    `${VERIFY}cipher suites cannot be configured when only TLS1.3 is enabled`,
  ],
  [["--compact-hash-check-time=0s"], `${VERIFY}--compact-hash-check-time must be >0 (set to 0s)`],
  [
    ["--enable-distributed-tracing", "--distributed-tracing-sampling-rate=-1"],
    `${VERIFY}distributed tracing configurition is not valid: (tracing sampling rate must be positive)`,
  ],
  [
    ["--feature-gates=LeaseCheckpoint=false,LeaseCheckpointPersist=true"],
    `${VERIFY}enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint`,
  ],
  [
    ["--compaction-batch-limit=1", "--experimental-compaction-batch-limit=1"],
    `${VERIFY}cannot set --experimental-compaction-batch-limit and --compaction-batch-limit at the same time, ` +
      "please use --compaction-batch-limit only",
  ],
  [
    ["--experimental-initial-corrupt-check", "--feature-gates=InitialCorruptCheck=true"],
    `${VERIFY}cannot specify both flags: --experimental-initial-corrupt-check=true and ` +
      "--feature-gates=InitialCorruptCheck=true at the same time, please just use " +
      "--feature-gates=InitialCorruptCheck=true",
  ],
  [["--discovery-token=x"], `${VERIFY}both --discovery-token and --discovery-endpoints must be set`],
  [
    ["--discovery=http://a", "--initial-cluster=default=http://localhost:2380"],
    `${VERIFY}multiple discovery or bootstrap flags are set. Choose one of ` +
      '"initial-cluster", "discovery", "discovery-endpoints" or "discovery-srv"',
  ],
  [
    ["--discovery-fallback=proxy"],
    `${VERIFY}v2 proxy is deprecated, and --discovery-fallback can't be configured as "proxy"`,
  ],
  [
    ["--listen-client-urls=https://127.0.0.1:1", "--advertise-client-urls=https://127.0.0.1:1"],
    "discovery failed: TLS key/cert (--cert-file, --key-file) must be provided for client url " +
      "https://127.0.0.1:1 with HTTPS scheme",
  ],
  [
    ["--listen-client-http-urls=http://127.0.0.1:1", ...URLS],
    "discovery failed: cannot bind both --listen-client-urls and --listen-client-http-urls on the same url " +
      "http://127.0.0.1:1",
  ],
];

for (const [argv, message] of PROBLEMS) {
  test(`refused: ${argv.join(" ")}`, async () => assert.equal(await loadProblem({ argv }), message));
}

test("a bad variable is refused with its name", async () => {
  const problem = await loadProblem({ env: { ETCD_HEARTBEAT_INTERVAL: "x" } });
  assert.equal(problem, `${VERIFY}invalid value "x" for ETCD_HEARTBEAT_INTERVAL: parse error`);
});
