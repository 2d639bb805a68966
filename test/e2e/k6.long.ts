/** The scripts of k6/ with the real k6 on our members: their thresholds hold, and they fail where something is wrong. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { KV } from "../../src/proto/gen/rpc_pb.ts";
import { findOnPath, PROJECT_ROOT, skipWithout } from "../support/binaries.ts";
import { TestCluster } from "../support/cluster.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { runTool, type ToolResult } from "../support/run-tool.ts";

const k6 = findOnPath("k6");
const FOLDER = join(PROJECT_ROOT, "k6");
const SCRIPTS = readdirSync(FOLDER).filter((file) => file.endsWith(".js"));
/** k6 ends with this when a threshold does not hold. */
const EXIT_THRESHOLD = 99;
/** Longer than a run takes on a loaded machine. */
const RUN_MS = 120_000;
/** What is tested is the answers and not the machine. */
const SLOW = "p99=5000,dropped=1";

function run(script: string, addresses: readonly string[], env: Record<string, string>): Promise<ToolResult> {
  const settings = { ENDPOINTS: addresses.join(","), DURATION: "5s", VUS: "6", LIMITS: SLOW, ...env };
  return runTool(k6 ?? "k6", ["run", "--quiet", "--address", "", join(FOLDER, script)], {
    env: settings,
    timeoutMs: RUN_MS,
  });
}

describe("k6", { skip: skipWithout("k6", k6) ?? false }, () => {
  for (const size of [1, 3]) {
    test(`${size} members`, async (t) => {
      const cluster = await new TestCluster(t, { size }).start();
      const addresses = cluster.running.map(({ address }) => address);
      for (const script of SCRIPTS) {
        await t.test(script, async () => {
          const { code, stdout, stderr } = await run(script, addresses, {});
          assert.equal(code, 0, stdout + stderr);
          assert.match(stdout, /^checks: (\d+) of \1 passed$/m);
          assert.match(stdout, /^thresholds: (\d+) of \1 hold$/m);
        });
      }
    });
  }

  test("a threshold that cannot hold, and an endpoint where nobody is, fail the run", async (t) => {
    const cluster = await new TestCluster(t, { size: 1 }).start();
    const [address] = cluster.running.map((member) => member.address);
    const late = await run("put.js", [address], { LIMITS: "put.p50=0.001" });
    assert.equal(late.code, EXIT_THRESHOLD, late.stdout);
    assert.match(late.stdout, /^ {2}BROKEN grpc_req_duration\{op:put\}: p\(50\)<=0.001, and it is \d/m);
    const nobody = await run("put.js", [address, "127.0.0.1:1"], {});
    assert.notEqual(nobody.code, 0);
    assert.match(nobody.stderr, /no member answers at 127\.0\.0\.1:1/);
  });

  test("keys that somebody else changes fail the checks", async (t) => {
    const cluster = await new TestCluster(t, { size: 1 }).start();
    const { address } = cluster.running[0];
    const client = new EtcdClient(address);
    t.after(() => client.close());
    const vandal = setInterval(() => {
      const request = { key: Buffer.from("k6/"), rangeEnd: Buffer.from("k60") };
      client.call(KV.method.deleteRange, request).catch(() => undefined);
    }, 500);
    const { code, stdout } = await run("range.js", [address], {});
    clearInterval(vandal);
    assert.equal(code, EXIT_THRESHOLD, stdout);
    assert.match(stdout, /^ {2}FAILED \d+ times: count: all keys are there$/m);
  });
});
