/**
 * One cluster of our members and real etcd members: they elect each other, replicate to each other by log and by snapshot, and
 * hold the same data in the end. Needs an etcd of 3.5 or 3.6 (ETCD_REFERENCE, or on PATH).
 */
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { Maintenance } from "../../src/proto/gen/rpc_pb.ts";
import type { Program } from "../support/binaries.ts";
import { ClusterLoad, assertLinearizable } from "../support/cluster-load.ts";
import { TestCluster, statusOf } from "../support/cluster.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { cannotJoin, lead, noReference, ours, theirs } from "../support/mixed-cluster.ts";
import { waitFor } from "../support/wait.ts";
import { SEED } from "../support/seed.ts";

const CATCH_UP_MS = 20_000;
const CATCH_UP_ENTRIES = 5000;
const CLIENTS = 4;

interface Plan {
  /** Founding members, by name. */
  readonly founders: readonly Program[];
  readonly joiner: Program;
  /** Entries between snapshots; few of them, and a new member cannot catch up by log alone. */
  readonly snapshotCount: number;
  /** How the new member must have got its data. Left out where etcd leads: it sends an empty member a snapshot in any case. */
  readonly catchesUpBy?: "log" | "snapshot";
  /** All members trace every request: contexts must not get in the way of members that know nothing of them. */
  readonly isTraced?: boolean;
}

/** For every request, to a collector that is not there. Names that etcd 3.5 knows, too. */
const TRACING_ARGS = [
  "--experimental-enable-distributed-tracing",
  "--experimental-distributed-tracing-address=127.0.0.1:9",
  "--experimental-distributed-tracing-sampling-rate=1000000",
];

/** A third member of the other kind joins two under load, leads, restarts, and all end with the same data. */
async function joinUnderLoad(
  t: TestContext,
  { founders, joiner, snapshotCount, catchesUpBy, isTraced = false }: Plan,
): Promise<void> {
  t.diagnostic(`SEED=${SEED}`);
  const args = [
    `--snapshot-count=${snapshotCount}`,
    `--experimental-snapshot-catchup-entries=${Math.min(snapshotCount, CATCH_UP_ENTRIES)}`,
    ...(isTraced ? TRACING_ARGS : []),
  ];
  const cluster = await new TestCluster(t, {
    size: founders.length,
    program: (name) => founders[Number(name.slice(1)) - 1],
    args,
  }).start();
  const addresses = (): string[] => cluster.running.map(({ address }) => address);
  const load = new ClusterLoad({ seed: SEED, clients: CLIENTS, addresses });
  try {
    await load.moreWrites(300);
    const name = await cluster.grow({ program: joiner });
    await caughtUp(cluster, name);
    const bySnapshot = /"msg":"applied snapshot"/.test(cluster.member(name).log);
    if (catchesUpBy !== undefined) assert.equal(bySnapshot ? "snapshot" : "log", catchesUpBy);
    await load.moreWrites(50);
    await lead(cluster, name);
    await load.moreWrites(100);
    await lead(cluster, "m1");
    await load.moreWrites(50);
    await cluster.member(name).stop();
    await load.moreWrites(50);
    await cluster.restart(name, { program: joiner });
    await load.moreWrites(50);
  } catch (error) {
    load.abandon();
    for (const member of cluster.members.values()) t.diagnostic(member.log.split("\n").slice(-15).join("\n"));
    throw error;
  }
  const report = await load.stop();
  assertLinearizable(report.history);
  await assertSameData(cluster);
}

async function caughtUp(cluster: TestCluster, name: string): Promise<void> {
  await waitFor(`${name} to have caught up`, CATCH_UP_MS, async () => {
    const [own, first] = await Promise.all([
      statusOf(cluster.member(name)),
      statusOf(cluster.member("m1")),
    ]).catch(() => []);
    return own !== undefined && first !== undefined && own.appliedIndex >= first.appliedIndex - 100
      ? true
      : undefined;
  });
}

async function assertSameData(cluster: TestCluster): Promise<void> {
  const states = await cluster.converged();
  const revision = BigInt(states[0]?.revision ?? 0);
  const hashes = await Promise.all(
    cluster.running.map(async (member) => {
      const client = new EtcdClient(member.address);
      const { hash } = await client.call(Maintenance.method.hashKV, { revision });
      client.close();
      return hash;
    }),
  );
  assert.equal(new Set(hashes).size, 1, `members differ: ${hashes.join(", ")}`);
}

describe("one cluster with etcd", { skip: noReference, concurrency: 2 }, () => {
  test("ours joins two etcd members and catches up by snapshot", async (t) => {
    await joinUnderLoad(t, {
      founders: [theirs, theirs],
      joiner: ours,
      snapshotCount: 50,
      catchesUpBy: "snapshot",
    });
  });

  test("an etcd member joins two of ours and catches up by log", { skip: cannotJoin }, async (t) => {
    await joinUnderLoad(t, {
      founders: [ours, ours],
      joiner: theirs,
      snapshotCount: 10_000,
      catchesUpBy: "log",
      isTraced: true,
    });
  });

  test("an etcd member joins two of ours and catches up by snapshot", { skip: cannotJoin }, async (t) => {
    await joinUnderLoad(t, {
      founders: [ours, ours],
      joiner: theirs,
      snapshotCount: 50,
      catchesUpBy: "snapshot",
    });
  });

  test("ours and etcd found a cluster together", async (t) => {
    await joinUnderLoad(t, { founders: [ours, theirs], joiner: ours, snapshotCount: 10_000, isTraced: true });
  });
});
