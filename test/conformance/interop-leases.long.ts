/**
 * Checkpoints of leases between our members and real etcd members: what one kind of leader has noted of a lease's remaining time after
 * five minutes (etcd's interval, which no flag changes), the other kind goes on from. Needs an etcd of 3.6 (ETCD_REFERENCE, or on PATH).
 */
import { equal, ok } from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "node:test";
import { Lease } from "../../src/proto/gen/rpc_pb.ts";
import { TestCluster } from "../support/cluster.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { cannotJoin, lead, noReference, ours, theirs } from "../support/mixed-cluster.ts";

const TTL = 1000n;
const CHECKPOINT_SECONDS = 300n;
/** Later than the checkpoint by less than this. */
const SPARE_SECONDS = 15n;

describe("checkpoints of leases with etcd", { skip: noReference ?? cannotJoin, concurrency: 2 }, () => {
  for (const [leader, next] of [
    ["m1", "m2"],
    ["m2", "m1"],
  ] as const) {
    const title = leader === "m1" ? "of ours, taken over by etcd" : "of etcd, taken over by ours";
    test(title, { timeout: 500_000 }, async (t) => {
      const cluster = await new TestCluster(t, {
        size: 3,
        program: (name) => (name === "m1" ? ours : theirs),
        args: ["--experimental-enable-lease-checkpoint", "--experimental-enable-lease-checkpoint-persist"],
      }).start();
      await lead(cluster, leader);
      const client = new EtcdClient(cluster.member("m3").address);
      t.after(() => client.close());
      const { ID } = await client.call(Lease.method.leaseGrant, { TTL });
      await sleep(Number(CHECKPOINT_SECONDS + 5n) * 1000);
      await lead(cluster, next);
      // Without a checkpoint the lease would begin anew.
      const left = await client.call(Lease.method.leaseTimeToLive, { ID });
      const most = TTL - CHECKPOINT_SECONDS;
      ok(left.TTL <= most && left.TTL >= most - SPARE_SECONDS, `${left.TTL} s are left`);
      equal(left.grantedTTL, TTL);
      const renewed = await client.callStream(Lease.method.leaseKeepAlive, { ID });
      equal(renewed.TTL, TTL);
      // A renewal ends what the checkpoint said, for the leader after that too.
      await lead(cluster, leader);
      const again = await client.call(Lease.method.leaseTimeToLive, { ID });
      ok(again.TTL >= TTL - SPARE_SECONDS, `${again.TTL} s are left of the renewed one`);
    });
  }
});
