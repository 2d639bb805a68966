/**
 * Leases in one cluster of our members and real etcd members: whoever leads, and whoever is asked, they are granted, renewed, looked
 * at, listed and revoked, and end with their keys on all members. Needs an etcd of 3.5 or 3.6 (ETCD_REFERENCE, or on PATH).
 */
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { describe, test } from "node:test";
import { KV, Lease } from "../../src/proto/gen/rpc_pb.ts";
import { TestCluster } from "../support/cluster.ts";
import { EtcdClient, failureOf } from "../support/etcd-client.ts";
import { lead, noReference, ours, theirs } from "../support/mixed-cluster.ts";
import { waitFor } from "../support/wait.ts";

const EXPIRY_MS = 20_000;
const NOT_FOUND = 5;
const TTL = 100n;
/** No lease has this id. */
const UNKNOWN_ID = 404n;
/** Renewals on one stream at once: more than one batch of ours. */
const LEASES = 50;

/** A client of each member, by name. */
type Clients = ReadonlyMap<string, EtcdClient>;

const bytes = (text: string): Buffer => Buffer.from(text);

describe("leases of a cluster with etcd", { skip: noReference, concurrency: 2 }, () => {
  for (const leader of ["m1", "m2"]) {
    const who = leader === "m1" ? "ours leads" : "etcd leads";
    test(who, { timeout: 120_000 }, async (t) => {
      const cluster = await new TestCluster(t, {
        size: 3,
        program: (name) => (name === "m2" ? theirs : ours),
      }).start();
      const clients = new Map(
        cluster.names.map((name) => [name, new EtcdClient(cluster.member(name).address)]),
      );
      t.after(() => clients.forEach((client) => client.close()));
      await lead(cluster, leader);
      for (const name of cluster.names) await liveAndRevoke(cluster, clients, name);
      for (const [name, client] of clients) await unknownLease(name, client);
      for (const client of clients.values()) await renewMany(client);
      await expire(clients);
      await outliveLeader(cluster, clients, leader === "m1" ? "m2" : "m1");
      equal((await cluster.converged()).length, 3);
    });
  }
});

/** Granted by `granter`, used through all, revoked by another. */
async function liveAndRevoke(cluster: TestCluster, clients: Clients, granter: string): Promise<void> {
  const names = cluster.names;
  const next = names[(names.indexOf(granter) + 1) % names.length];
  const own = clients.get(granter)!;
  const other = clients.get(next)!;
  const granted = await own.call(Lease.method.leaseGrant, { TTL });
  equal(granted.TTL, TTL);
  const { ID } = granted;
  const key = bytes(`lease of ${granter}`);
  await other.call(KV.method.put, { key, lease: ID });
  await cluster.converged();
  for (const [name, client] of clients) {
    const renewed = await client.callStream(Lease.method.leaseKeepAlive, { ID });
    deepEqual([renewed.ID, renewed.TTL], [ID, TTL], `renewed through ${name}`);
    const left = await client.call(Lease.method.leaseTimeToLive, { ID, keys: true });
    deepEqual([left.ID, left.grantedTTL, left.keys], [ID, TTL, [key]], `looked at through ${name}`);
    ok(left.TTL >= TTL - 2n && left.TTL <= TTL, `${left.TTL} s through ${name}`);
    const { leases } = await client.call(Lease.method.leaseLeases, {});
    ok(
      leases.some((lease) => lease.ID === ID),
      `listed by ${name}`,
    );
  }
  await other.call(Lease.method.leaseRevoke, { ID });
  await cluster.converged();
  for (const [name, client] of clients) {
    equal((await client.call(KV.method.range, { key, serializable: true })).count, 0n, `gone on ${name}`);
    equal((await client.call(Lease.method.leaseLeases, {})).leases.length, 0, `none listed by ${name}`);
    equal((await client.call(Lease.method.leaseTimeToLive, { ID })).TTL, -1n, `ended for ${name}`);
  }
}

async function unknownLease(name: string, client: EtcdClient): Promise<void> {
  const ID = UNKNOWN_ID;
  const renewed = await client.callStream(Lease.method.leaseKeepAlive, { ID });
  deepEqual([renewed.ID, renewed.TTL], [ID, 0n], name);
  const left = await client.call(Lease.method.leaseTimeToLive, { ID, keys: true });
  deepEqual([left.ID, left.TTL, left.grantedTTL, left.keys], [ID, -1n, 0n, []], name);
  await rejects(client.call(Lease.method.leaseRevoke, { ID }), (error) => {
    deepEqual(failureOf(error), { code: NOT_FOUND, message: "etcdserver: requested lease not found" }, name);
    return true;
  });
}

/** Many on one stream, which a member of ours may ask its leader for together; every second of them is not there. */
async function renewMany(client: EtcdClient): Promise<void> {
  const ids: bigint[] = [];
  for (let i = 0; i < LEASES; i++) ids.push((await client.call(Lease.method.leaseGrant, { TTL })).ID);
  const gone = ids.filter((_, i) => i % 2 === 1);
  for (const ID of gone) await client.call(Lease.method.leaseRevoke, { ID });
  const answers = new Map<bigint, bigint>();
  const all = Promise.withResolvers<void>();
  const stream = client.stream(Lease.method.leaseKeepAlive, ({ ID, TTL: seconds }) => {
    answers.set(ID, seconds);
    if (answers.size === LEASES) all.resolve();
  });
  for (const ID of ids) stream.send({ ID });
  await Promise.race([all.promise, stream.ended.then((status) => Promise.reject(new Error(status.message)))]);
  stream.finish();
  const expected = new Map(ids.map((ID) => [ID, gone.includes(ID) ? 0n : TTL]));
  deepEqual(answers, expected);
  for (const ID of ids) if (!gone.includes(ID)) await client.call(Lease.method.leaseRevoke, { ID });
}

/** One lease a member, each as short as it can be; one of them is kept alive, and lives. */
async function expire(clients: Clients): Promise<void> {
  const startedMs = performance.now();
  const ids: bigint[] = [];
  for (const [name, client] of clients) {
    const granted = await client.call(Lease.method.leaseGrant, { TTL: 1n });
    equal(granted.TTL, 2n, "the least there is");
    ids.push(granted.ID);
    await client.call(KV.method.put, { key: bytes(`expires/${name}`), lease: granted.ID });
  }
  const [kept, ...left] = ids;
  const [, keeper] = [...clients.values()];
  let renewedMs = startedMs;
  for (const [name, client] of clients) {
    await waitFor(`the keys to go on ${name}`, EXPIRY_MS, async () => {
      if (performance.now() - renewedMs > 500) {
        renewedMs = performance.now();
        equal((await keeper.callStream(Lease.method.leaseKeepAlive, { ID: kept })).TTL, 2n);
      }
      const range = { key: bytes("expires/"), rangeEnd: bytes("expires0"), serializable: true };
      return (await client.call(KV.method.range, range)).count === 1n ? true : undefined;
    });
    for (const ID of left) equal((await client.call(Lease.method.leaseTimeToLive, { ID })).TTL, -1n);
  }
  ok(performance.now() - startedMs >= 2000, "not before its time");
  await keeper.call(Lease.method.leaseRevoke, { ID: kept });
}

/** A lease that one kind of leader has kept is kept, and ended, by the other. */
async function outliveLeader(cluster: TestCluster, clients: Clients, next: string): Promise<void> {
  const [client] = clients.values();
  const { ID } = await client.call(Lease.method.leaseGrant, { TTL });
  const short = await client.call(Lease.method.leaseGrant, { TTL: 3n });
  const key = bytes("short");
  await client.call(KV.method.put, { key, lease: short.ID });
  await lead(cluster, next);
  for (const each of clients.values()) {
    equal((await each.callStream(Lease.method.leaseKeepAlive, { ID })).TTL, TTL);
    await waitFor("the new leader to end what nobody renews", EXPIRY_MS, async () => {
      const { count } = await each.call(KV.method.range, { key, serializable: true });
      return count === 0n ? true : undefined;
    });
  }
  await client.call(Lease.method.leaseRevoke, { ID });
}
