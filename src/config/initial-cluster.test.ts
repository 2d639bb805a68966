import assert from "node:assert/strict";
import { test } from "node:test";

import { loadConfig, type Config } from "./config.ts";
import { findAdvertiseProblem, findInitialClusterProblem, parseInitialCluster } from "./initial-cluster.ts";

async function load(...argv: string[]): Promise<Config> {
  const outcome = await loadConfig({ argv, env: {}, readFile: () => "" });
  assert.ok(outcome.kind === "config", JSON.stringify(outcome));
  return outcome.config;
}

test("members with one or several URLs", () => {
  const members = parseInitialCluster("a=http://10.0.0.1:2380,b=http://10.0.0.2:2,b=http://10.0.0.2:1");
  assert.deepEqual(
    [...members],
    [
      ["a", ["http://10.0.0.1:2380"]],
      ["b", ["http://10.0.0.2:1", "http://10.0.0.2:2"]],
    ],
  );
});

test("a new member must be in its own cluster, under its advertised URLs", async () => {
  assert.equal(findInitialClusterProblem(await load()), undefined);
  assert.equal(findInitialClusterProblem(await load("--name=a")), undefined);
  assert.equal(
    findInitialClusterProblem(await load("--name=a", "--initial-cluster=b=http://localhost:2380")),
    `couldn't find local name "a" in the initial cluster configuration`,
  );
  assert.equal(
    findInitialClusterProblem(await load("--initial-cluster=default=http://h:1,b=http://h:1")),
    "initial cluster default=http://h:1,b=http://h:1 has duplicate url",
  );
  assert.match(
    findInitialClusterProblem(await load("--discovery=http://d:1/x", "--initial-cluster=")) ?? "",
    /v2 discovery service .* not supported/,
  );
});

test("the member's URLs are those it advertises, as text or by address", async () => {
  const problem = async (...flags: string[]): Promise<string | undefined> => {
    const config = await load(...flags);
    const own = parseInitialCluster(config.initialCluster).get("default") ?? [];
    return findAdvertiseProblem(config, own, (host) => Promise.resolve(host === "h" ? "10.0.0.1" : host));
  };
  const cluster = "--initial-cluster=default=http://h:1";
  assert.equal(await problem(cluster, "--initial-advertise-peer-urls=http://10.0.0.1:1"), undefined);
  assert.equal(
    await problem("--initial-advertise-peer-urls=http://127.0.0.1:7"),
    "--initial-cluster has default=http://localhost:2380 but missing from " +
      "--initial-advertise-peer-urls=http://127.0.0.1:7 " +
      '(resolved urls: "http://127.0.0.1:7" != "http://localhost:2380")',
  );
  assert.equal(
    await problem(cluster, "--initial-advertise-peer-urls=http://h:1,http://h:2"),
    "--initial-advertise-peer-urls has http://h:2 but missing from " +
      "--initial-cluster=default=http://h:1,default=http://h:2",
  );
});
