/**
 * Three real members under load while one of them suffers: clients that go on trying lose no acknowledged write, the history is
 * linearizable, and in the end all members hold the same. The slow ones are in `cluster-faults.long.ts`.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ELECTION_MS } from "../support/cluster.ts";
import { killMember, stopMember } from "../support/member-faults.ts";
import { namespacesMissing } from "../support/namespaces.ts";
import { isolated, underLoad } from "./cluster-fault.ts";

describe("faults", { concurrency: 3 }, () => {
  test("the leader is killed: a new one accepts writes within two election time-outs", async (t) => {
    await underLoad(t, { size: 3 }, async (cluster, load) => {
      const leader = await cluster.leader();
      const at = performance.now();
      const restart = await killMember(cluster, leader);
      await load.moreWrites(50);
      const gap = load.longestGap(at);
      t.diagnostic(`${Math.round(gap)} ms without an acknowledged write`);
      assert.ok(gap < 2 * ELECTION_MS, `${Math.round(gap)} ms without an acknowledged write`);
      await restart();
    });
  });

  test("every member is restarted, one after another", async (t) => {
    await underLoad(t, { size: 3 }, async (cluster, load) => {
      for (const name of cluster.names) {
        const restart = await stopMember(cluster, name);
        await load.moreWrites(30);
        await restart();
        await cluster.leader();
      }
    });
  });

  test("the leader is cut off", { skip: namespacesMissing() }, async (t) => {
    await underLoad(t, { size: 3, ...isolated(t) }, async (cluster, load) => {
      const leader = await cluster.leader();
      cluster.options.namespaces?.isolate(leader);
      await load.moreWrites(50);
      cluster.options.namespaces?.heal();
      await load.moreWrites(50);
    });
  });
});
