/** Faults that take their time; `cluster-faults.test.ts` has the quick ones. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { KV } from "../../src/proto/gen/rpc_pb.ts";
import { namespacesMissing } from "../support/namespaces.ts";
import { killMember, pauseMember } from "../support/member-faults.ts";
import { cannotMount, resizeDisk, smallDisk } from "../support/small-disk.ts";
import type { TestCluster } from "../support/cluster.ts";
import { isolated, underLoad } from "./cluster-fault.ts";

describe("slow faults", { concurrency: 2 }, () => {
  test("five members, two are killed", async (t) => {
    await underLoad(t, { size: 5 }, async (cluster, load) => {
      const leader = await cluster.leader();
      const follower = await cluster.follower();
      const restarts = await Promise.all([leader, follower].map((name) => killMember(cluster, name)));
      await load.moreWrites(50);
      await Promise.all(restarts.map((restart) => restart()));
    });
  });

  test("a member's process is paused for 5 s, leader and follower", async (t) => {
    await underLoad(t, { size: 3 }, async (cluster, load) => {
      for (const name of [await cluster.leader(), await cluster.follower()]) {
        const resume = await pauseMember(cluster, name);
        await Promise.all([load.moreWrites(50), new Promise((resolve) => setTimeout(resolve, 5000))]);
        await resume();
        await load.moreWrites(50);
        await cluster.converged();
      }
    });
  });

  test("a follower loses its data and is replaced by a new member", async (t) => {
    await underLoad(t, { size: 3 }, async (cluster, load) => {
      const follower = await cluster.follower();
      await cluster.member(follower).kill();
      cluster.wipe(follower);
      await cluster.remove(follower);
      await load.moreWrites(50);
      await cluster.grow();
      await load.moreWrites(50);
    });
  });

  test("from one member to three to five and back", async (t) => {
    await underLoad(t, { size: 1 }, async (cluster, load) => {
      while (cluster.names.length < 5) {
        await cluster.grow();
        await load.moreWrites(20);
      }
      while (cluster.names.length > 1) {
        const leader = await cluster.leader();
        const name = cluster.names.length === 2 ? await cluster.follower() : leader;
        await cluster.remove(name);
        await load.moreWrites(20);
      }
    });
  });

  test("a follower is cut off, both ways and one way", { skip: namespacesMissing() }, async (t) => {
    await underLoad(t, { size: 3, ...isolated(t) }, async (cluster, load) => {
      const { namespaces } = cluster.options;
      const follower = await cluster.follower();
      const leader = await cluster.leader();
      namespaces?.isolate(follower);
      await load.moreWrites(50);
      namespaces?.heal();
      await cluster.converged().catch(() => undefined);
      namespaces?.cutOneWay(follower, leader);
      await load.moreWrites(50);
      namespaces?.heal();
      namespaces?.cutOneWay(leader, follower);
      await load.moreWrites(50);
      namespaces?.heal();
    });
  });

  test("a member's disk fills up", { skip: cannotMount() }, async (t) => {
    const disk = smallDisk(t, DISK_MEGABYTES);
    const dataDir = (name: string): string | undefined => (name === "m2" ? join(disk, name) : undefined);
    await underLoad(t, { size: 3, dataDir }, async (cluster, load) => {
      const { exited } = cluster.member("m2");
      await writeUntilGone(cluster, "m2");
      assert.notEqual((await exited).code, 0);
      assert.match(cluster.member("m2").log, /no space left|ENOSPC|No space left/);
      await load.moreWrites(50);
      resizeDisk(disk, 8 * DISK_MEGABYTES);
      await cluster.restart("m2");
    });
  });
});

const DISK_MEGABYTES = 150;
const FILLING_BYTES = 500_000;
const FILLING_KEYS = 10_000;

/** Large values, until a member has ended. */
async function writeUntilGone(cluster: TestCluster, name: string): Promise<void> {
  const value = Buffer.alloc(FILLING_BYTES, "F");
  for (let i = 0; i < FILLING_KEYS && cluster.member(name).exit === undefined; i++) {
    const others = cluster.running.filter((member) => member !== cluster.member(name));
    await cluster.callAny(
      (client) => client.call(KV.method.put, { key: Buffer.from(`filling/${i}`), value }),
      others,
    );
  }
}
