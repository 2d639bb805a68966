import assert from "node:assert/strict";
import { test } from "node:test";

import { loadConfig, type Config } from "./config.ts";
import { parseConfigFile } from "./config-file.ts";

async function load(file: string, argv: string[] = [], env: Record<string, string> = {}): Promise<Config> {
  const outcome = await loadConfig({ argv: ["--config-file=c.yaml", ...argv], env, readFile: () => file });
  assert.ok(outcome.kind === "config", JSON.stringify(outcome));
  return outcome.config;
}

test("keys, groups, lists and nanoseconds", async () => {
  const config = await load(`
name: from-file
listen-client-urls: http://127.0.0.1:3,http://127.0.0.1:2
grpc-keepalive-min-time: 7000000000
max-txn-ops: 9
pre-vote: false
log-outputs: [stderr, stdout]
cipher-suites: [TLS_RSA_WITH_AES_128_CBC_SHA]
client-transport-security: { cert-file: c.pem, client-cert-auth: true, allowed-hostname: [a, b] }
peer-transport-security: { trusted-ca-file: ca.pem }
socket-options: { reuse-port: true }
discovery-config: { client: { dial-timeout: 1000000 } }
feature-gates: CompactHashCheck=true
experimental-snapshot-catch-up-entries: 11
unknown-key: ignored
`);
  assert.equal(config.name, "from-file");
  assert.equal(config.dataDir, "from-file.etcd");
  assert.deepEqual(
    config.listenClientUrls.map((url) => url.port),
    [2, 3],
  );
  assert.equal(config.grpcKeepaliveMinTimeMs, 7000);
  assert.equal(config.txnOpsMax, 9);
  assert.equal(config.preVote, false);
  assert.deepEqual(config.logOutputs, ["stderr", "stdout"]);
  assert.equal(config.certFile, "c.pem");
  assert.equal(config.clientCertAuth, true);
  assert.deepEqual(config.clientCertAllowedHostname, ["a", "b"]);
  assert.equal(config.peerTrustedCaFile, "ca.pem");
  assert.equal(config.socketReusePort, true);
  assert.equal(config.discoveryDialTimeoutMs, 1);
  assert.equal(config.featureGates["CompactHashCheck"], true);
  assert.equal(config.snapshotCatchupEntries, 11);
});

test("the file beats flags and variables", async () => {
  const config = await load("max-txn-ops: 1\n", ["--max-txn-ops=2", "--name=flag"], { ETCD_NAME: "env" });
  assert.equal(config.txnOpsMax, 1);
  assert.equal(config.name, "default");
});

test("advertise-client-urls keeps its default beside listen-client-urls, unlike on the command line", async () => {
  const config = await load("listen-client-urls: http://127.0.0.1:5\n");
  assert.equal(config.advertiseClientUrls[0]?.text, "http://localhost:2379");
});

test("JSON is YAML, and an empty file sets nothing", async () => {
  assert.equal((await load('{"name": "json"}')).name, "json");
  assert.equal((await load("")).name, "default");
});

// Every text was compared with etcd 3.6.6.
const JSON_ERROR = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal";
const REFUSED: Readonly<Record<string, string>> = {
  'heartbeat-interval: "x"': `${JSON_ERROR} string into Go struct field configYAML.Config.heartbeat-interval of type uint`,
  "heartbeat-interval: 1.5": `${JSON_ERROR} number 1.5 into Go struct field configYAML.Config.heartbeat-interval of type uint`,
  "heartbeat-interval: -5": `${JSON_ERROR} number -5 into Go struct field configYAML.Config.heartbeat-interval of type uint`,
  "grpc-keepalive-min-time: 5s": `${JSON_ERROR} string into Go struct field configYAML.Config.grpc-keepalive-min-time of type time.Duration`,
  "name: 5": `${JSON_ERROR} number into Go struct field configYAML.Config.name of type string`,
  'pre-vote: "yes"': `${JSON_ERROR} string into Go struct field configYAML.Config.pre-vote of type bool`,
  "log-outputs: stderr": `${JSON_ERROR} string into Go struct field configYAML.Config.log-outputs of type []string`,
  "peer-transport-security: 5": `${JSON_ERROR} number into Go struct field configYAML.configJSON.peer-transport-security of type embed.securityConfig`,
  "- a": `${JSON_ERROR} array into Go value of type embed.configYAML`,
  "initial-cluster-state: foo": 'unexpected clusterState "foo"',
  "feature-gates: Foo=true": "unrecognized feature gate: Foo",
  "feature-gates: toString=true": "unrecognized feature gate: toString",
};

for (const [file, message] of Object.entries(REFUSED)) {
  test(`refused: ${file}`, () => assert.throws(() => parseConfigFile(file), { message }));
}

test("broken YAML is refused with its place", () => {
  assert.throws(() => parseConfigFile("a: ["), { message: /^error converting YAML to JSON: yaml: .*line 1/ });
});

test("a file that is not there is refused", async () => {
  const readFile = (): string => {
    throw Object.assign(new Error("x"), { code: "ENOENT" });
  };
  const outcome = await loadConfig({ argv: [], env: { ETCD_CONFIG_FILE: "/c.yaml" }, readFile });
  assert.ok(outcome.kind === "exit");
  assert.deepEqual(outcome.log.at(-1)?.fields, { error: "open /c.yaml: no such file or directory" });
});
