import assert from "node:assert/strict";
import { test } from "node:test";

import { loadConfig } from "./config.ts";
import { startLine } from "./start-line.ts";

test("the start's line has the settings under etcd's names, whichever name they were given by", async () => {
  const argv = ["--name=m1", "--experimental-snapshot-catchup-entries=1000", "--v2-deprecation=gone"];
  const outcome = await loadConfig({ argv, env: { ETCD_HEARTBEAT_INTERVAL: "200" }, readFile: () => "" });
  assert.ok(outcome.kind === "config");
  const { msg, fields } = startLine(outcome.config, true, 7);
  assert.equal(msg, "starting an etcd server");
  const text = JSON.stringify(fields);
  for (const part of [
    '"member-initialized":true',
    '"name":"m1"',
    '"heartbeat-interval":"200ms"',
    '"election-timeout":"1s"',
    '"snapshot-catchup-entries":1000',
    '"listen-client-urls":["http://localhost:2379"]',
    '"quota-backend-bytes":7',
    '"v2-deprecation":"write-only"',
  ]) {
    assert.ok(text.includes(part), `${part} in ${text}`);
  }
});
