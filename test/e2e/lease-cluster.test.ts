/** Leases in a cluster: any member serves them, the leader decides, and they live on when it is gone. */
import { deepEqual, doesNotMatch, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../../src/client/client.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { statusOf, TestCluster } from "../support/cluster.ts";
import { Lease } from "../../src/proto/gen/rpc_pb.ts";
import { waitFor } from "../support/wait.ts";

const WAIT_MS = 30_000;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test(
  "leases are granted, renewed and looked at on any member, and survive the leader",
  { timeout: 120_000 },
  async (t) => {
    const cluster = await new TestCluster(t, { size: 3 }).start();
    const leader = await cluster.leader();
    const clients = new Map<string, Client>();
    for (const name of cluster.names)
      clients.set(name, await Client.connect({ endpoints: [cluster.member(name).address] }));
    t.after(() => clients.forEach((client) => client.close()));
    const [one, two] = cluster.names.filter((name) => name !== leader).map((name) => clients.get(name)) as [
      Client,
      Client,
    ];

    const { ID } = await one.lease.leaseGrant({ TTL: 100n });
    await two.kv.put({ key: bytes("k"), lease: ID });
    for (const client of clients.values()) {
      equal((await client.keepAliveOnce(ID)).TTL, 100n);
      const { TTL, grantedTTL, keys, header } = await client.lease.leaseTimeToLive({ ID, keys: true });
      deepEqual([grantedTTL, keys.map((key) => Buffer.from(key).toString())], [100n, ["k"]]);
      ok(TTL >= 98n && TTL <= 100n);
      ok((header?.memberId ?? 0n) !== 0n, "the header is that of the member that was asked");
      equal((await client.lease.leaseTimeToLive({ ID: 404n })).TTL, -1n);
    }
    const headers = await Promise.all(
      [...clients.values()].map(
        async (client) => (await client.lease.leaseTimeToLive({ ID })).header?.memberId,
      ),
    );
    equal(new Set(headers).size, 3);

    const short = await one.lease.leaseGrant({ TTL: 5n });
    await one.kv.put({ key: bytes("short"), lease: short.ID });
    cluster.member(leader).process.kill("SIGKILL");
    await cluster.member(leader).exited;
    await cluster.leader();
    equal((await one.keepAliveOnce(ID)).TTL, 100n);
    const raw = new EtcdClient(cluster.member(cluster.names.find((name) => name !== leader)!).address);
    t.after(() => raw.close());
    const { leases } = await raw.call(Lease.method.leaseLeases, {});
    ok(leases.some((lease) => lease.ID === ID));
    await waitFor("the short lease to expire by the new leader", WAIT_MS, async () => {
      const { count } = await two.kv.range({ key: bytes("short") });
      return count === 0n ? true : undefined;
    });
    await cluster.restart(leader);
    const again = await Client.connect({ endpoints: [cluster.member(leader).address] });
    t.after(() => again.close());
    equal((await again.kv.range({ key: bytes("short") })).count, 0n);
    await again.lease.leaseRevoke({ ID });
    equal((await two.kv.range({ key: bytes("k") })).count, 0n);
  },
);

test(
  "a leader that was stopped for a while revokes nothing that was renewed elsewhere meanwhile",
  { timeout: 120_000 },
  async (t) => {
    const cluster = await new TestCluster(t, { size: 3 }).start();
    const leader = await cluster.leader();
    const others = cluster.names.filter((name) => name !== leader).map((name) => cluster.member(name));
    const client = await Client.connect({ endpoints: others.map(({ address }) => address) });
    t.after(() => client.close());
    const { ID } = await client.lease.leaseGrant({ TTL: 3n });
    await client.kv.put({ key: bytes("held"), lease: ID });
    const paused = cluster.member(leader).process;
    paused.kill("SIGSTOP");
    await cluster.leader(others);
    // Longer than the old leader's clock says that the lease lives; each renewal counts from the new leader's.
    const endMs = performance.now() + 4000;
    while (performance.now() < endMs) {
      equal((await client.keepAliveOnce(ID)).TTL, 3n);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    paused.kill("SIGCONT");
    await waitFor("the old leader to follow", WAIT_MS, async () => {
      const status = await statusOf(cluster.member(leader)).catch(() => undefined);
      return status !== undefined && status.leader !== "0" && status.leader !== status.id ? true : undefined;
    });
    equal((await client.keepAliveOnce(ID)).TTL, 3n);
    equal((await client.kv.range({ key: bytes("held") })).count, 1n);
    doesNotMatch(cluster.member(leader).log, /failed to revoke lease/);
  },
);
