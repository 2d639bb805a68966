/** Leases in a cluster: any member serves them, the leader decides, and they live on when it is gone. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../../src/client/client.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { TestCluster } from "../support/cluster.ts";
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
