import assert from "node:assert/strict";
import { test } from "node:test";

import { loadConfig, type Config } from "./config.ts";
import { findInitialClusterProblem, parseInitialCluster } from "./initial-cluster.ts";

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
  assert.equal(
    findInitialClusterProblem(await load("--initial-advertise-peer-urls=http://127.0.0.1:7")),
    "--initial-cluster has default=http://localhost:2380 but missing from " +
      "--initial-advertise-peer-urls=http://127.0.0.1:7",
  );
});
