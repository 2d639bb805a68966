/** Leases, locks and elections against a real member: npm etcd3, our client, the raw services and Debian's etcdctl; restarts. */
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { Etcd3 } from "etcd3";
import { Client } from "../../src/client/client.ts";
import { Election, LeaderRequestSchema, LeaderResponseSchema } from "../../src/proto/gen/v3election_pb.ts";
import { Lock, LockRequestSchema, LockResponseSchema } from "../../src/proto/gen/v3lock_pb.ts";
import { findOnPath, skipWithout } from "../support/binaries.ts";
import { EtcdClient, failureOf } from "../support/etcd-client.ts";
import { type Member, startMember } from "../support/member.ts";
import { runTool } from "../support/run-tool.ts";
import { memoryDir } from "../support/temp-dir.ts";
import { waitFor } from "../support/wait.ts";

const WAIT_MS = 15_000;
const UNKNOWN = 2;
const etcdctl = findOnPath("etcdctl");
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array): string => new TextDecoder().decode(value);

describe("leases", { concurrency: 2 }, () => {
  test("leases, locks and elections", { timeout: 120_000 }, async (t) => {
    const member = await startMember(t, { dataDir: memoryDir(t) });
    const client = await Client.connect({ endpoints: [member.address] });
    const raw = new EtcdClient(member.address);
    t.after(() => {
      client.close();
      raw.close();
    });
    await t.test(
      "a lease that nobody renews takes its keys along, in one revision and not before its time",
      () => expires(client),
    );
    await t.test("a lease that is kept alive stays", () => staysAlive(client));
    await t.test("one stream renews many leases, and says of those that are gone", () =>
      manyKeepAlives(client),
    );
    await t.test("npm etcd3: lease, lock, election", () => withEtcd3(member));
    await t.test("Lock: waits its turn, leaves when its client does, ends with its session", (s) =>
      locks(s, member, raw, client),
    );
    await t.test("Election: campaign, proclaim, observe, resign", (s) => elections(s, member, raw));
    const noEtcdctl = skipWithout("etcdctl", etcdctl) ?? false;
    await t.test("etcdctl: lease, lock, elect", { skip: noEtcdctl }, () => ctl(member));
  });

  test(
    "leases and what hangs on them survive a restart, also by kill -9",
    { timeout: 120_000 },
    async (t) => {
      const options = { dataDir: memoryDir(t) };
      let member = await startMember(t, options);
      let client = await Client.connect({ endpoints: [member.address] });
      t.after(() => client.close());
      const short = await client.lease.leaseGrant({ TTL: 3n });
      const long = await client.lease.leaseGrant({ ID: 77n, TTL: 500n });
      await client.kv.put({ key: bytes("short"), lease: short.ID });
      for (const key of ["long/a", "long/b", "long/c"])
        await client.kv.put({ key: bytes(key), lease: long.ID });
      await client.kv.put({ key: bytes("long/b") });
      for (const kill of [true, false]) {
        client.close();
        if (kill) {
          member.process.kill("SIGKILL");
          await member.exited;
        } else await member.stop();
        member = await startMember(t, options);
        client = await Client.connect({ endpoints: [member.address] });
        const { TTL, grantedTTL, keys } = await client.lease.leaseTimeToLive({ ID: 77n, keys: true });
        equal(grantedTTL, 500n);
        ok(TTL > 400n && TTL <= 501n);
        deepEqual(keys.map(text).toSorted(), ["long/a", "long/c"]);
      }
      await waitFor("the short lease to expire", WAIT_MS, async () => {
        const { count } = await client.kv.range({ key: bytes("short") });
        return count === 0n ? true : undefined;
      });
      await client.lease.leaseRevoke({ ID: 77n });
      const { kvs } = await client.kv.range({ key: bytes("long/"), rangeEnd: bytes("long0") });
      deepEqual(
        kvs.map(({ key }) => text(key)),
        ["long/b"],
      );
    },
  );
});

async function expires(client: Client): Promise<void> {
  const startedMs = performance.now();
  const { ID, TTL } = await client.lease.leaseGrant({ TTL: 1n });
  equal(TTL, 2n, "the least there is");
  for (const name of ["b", "a"]) await client.kv.put({ key: bytes(`expires/${name}`), lease: ID });
  const before = await client.kv.put({ key: bytes("stays") });
  const last = await waitFor("the keys to go", WAIT_MS, async () => {
    const { count, header } = await client.kv.range({ key: bytes("expires/"), rangeEnd: bytes("expires0") });
    return count === 0n ? header : undefined;
  });
  ok(performance.now() - startedMs >= 2000, "not before its time");
  equal(last?.revision, (before.header?.revision ?? 0n) + 1n);
  const gone = await client.lease.leaseTimeToLive({ ID, keys: true });
  deepEqual([gone.TTL, gone.grantedTTL, gone.keys], [-1n, 0n, []]);
}

async function staysAlive(client: Client): Promise<void> {
  const { ID } = await client.lease.leaseGrant({ TTL: 2n });
  const keeper = client.keepAlive(ID);
  const startedMs = performance.now();
  for await (const { TTL } of keeper) {
    equal(TTL, 2n);
    if (performance.now() - startedMs > 3000) break;
  }
  const { TTL } = await client.lease.leaseTimeToLive({ ID });
  ok(TTL >= 0n && TTL <= 2n);
  await client.lease.leaseRevoke({ ID });
  equal(
    (await client.keepAliveOnce(ID).catch((error: unknown) => ({ TTL: error }))).TTL instanceof Error,
    true,
  );
}

async function manyKeepAlives(client: Client): Promise<void> {
  const leases = await Promise.all(Array.from({ length: 200 }, () => client.lease.leaseGrant({ TTL: 60n })));
  const listed = new Set((await client.lease.leaseLeases({})).leases.map((lease) => lease.ID));
  ok(leases.every(({ ID }) => listed.has(ID)));
  const answers = await Promise.all(leases.map(({ ID }) => client.keepAliveOnce(ID)));
  deepEqual(
    answers.map(({ ID, TTL }) => [ID, TTL]),
    leases.map(({ ID }) => [ID, 60n]),
  );
  await Promise.all(leases.map(({ ID }) => client.lease.leaseRevoke({ ID })));
  equal((await client.lease.leaseLeases({})).leases.length, 0);
}

async function withEtcd3(member: Member): Promise<void> {
  const client = new Etcd3({ hosts: member.clientUrl });
  try {
    const lease = client.lease(30);
    await lease.put("etcd3/leased").value("v");
    equal(await client.get("etcd3/leased").string(), "v");
    await lease.keepaliveOnce();
    await lease.revoke();
    equal(await client.get("etcd3/leased").string(), null);

    const first = await client.lock("etcd3/lock").acquire();
    await rejects(client.lock("etcd3/lock").acquire());
    await first.release();
    await client.lock("etcd3/lock").do(() => Promise.resolve());

    const election = client.election("etcd3/election", 10);
    const campaign = election.campaign("one");
    await new Promise((resolve) => campaign.once("elected", resolve));
    equal(await election.leader(), "one");
    await campaign.resign();
    equal(await election.leader(), undefined);
  } finally {
    client.close();
  }
}

/** A unary call that can be cancelled. */
function cancellable(
  t: TestContext,
  member: Member,
  path: string,
  request: Uint8Array,
): { response: Promise<Buffer>; cancel: () => void } {
  const client = new grpc.Client(member.address, grpc.credentials.createInsecure());
  t.after(() => client.close());
  const same = (message: Buffer): Buffer => message;
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const call = client.makeUnaryRequest(path, same, same, Buffer.from(request), (error, response) =>
    error === null ? resolve(response as Buffer) : reject(error),
  );
  return { response: promise, cancel: () => call.cancel() };
}

async function locks(t: TestContext, member: Member, raw: EtcdClient, client: Client): Promise<void> {
  const name = bytes("service-lock");
  const keys = async (): Promise<number> =>
    Number((await client.kv.range({ key: bytes("service-lock/"), rangeEnd: bytes("service-lock0") })).count);
  const lock = (lease: bigint): ReturnType<typeof cancellable> =>
    cancellable(
      t,
      member,
      "/v3lockpb.Lock/Lock",
      toBinary(LockRequestSchema, create(LockRequestSchema, { name, lease })),
    );
  const first = await raw.call(Lock.method.lock, { name });
  match(text(first.key), /^service-lock\/[0-9a-f]+$/);
  const [second, third] = [lock(0n), lock(0n)];
  await waitFor("three in the queue", WAIT_MS, async () => ((await keys()) === 3 ? true : undefined));
  third.cancel();
  await rejects(third.response);
  await waitFor("the key of the one that left to go", WAIT_MS, async () =>
    (await keys()) === 2 ? true : undefined,
  );
  await raw.call(Lock.method.unlock, { key: first.key });
  const held = fromBinary(LockResponseSchema, await second.response);
  equal(await keys(), 1);

  const session = await client.lease.leaseGrant({ TTL: 60n });
  const lost = lock(session.ID);
  await waitFor("two in the queue", WAIT_MS, async () => ((await keys()) === 2 ? true : undefined));
  await client.lease.leaseRevoke({ ID: session.ID });
  deepEqual(failureOf(await lost.response.catch((error: unknown) => error)), {
    code: UNKNOWN,
    message: "mutex: session is expired",
  });
  await raw.call(Lock.method.unlock, { key: held.key });
  const refused = await raw
    .call(Lock.method.lock, { name, lease: session.ID })
    .catch((error: unknown) => error);
  deepEqual(failureOf(refused), { code: UNKNOWN, message: "etcdserver: requested lease not found" });
}

async function elections(t: TestContext, member: Member, raw: EtcdClient): Promise<void> {
  const name = bytes("service-election");
  const stream = new grpc.Client(member.address, grpc.credentials.createInsecure());
  t.after(() => stream.close());
  const same = (message: Buffer): Buffer => message;
  const observed: string[] = [];
  const request = Buffer.from(toBinary(LeaderRequestSchema, create(LeaderRequestSchema, { name })));
  const call = stream.makeServerStreamRequest("/v3electionpb.Election/Observe", same, same, request);
  call.on("data", (message: Buffer) => {
    observed.push(text(fromBinary(LeaderResponseSchema, message).kv?.value ?? new Uint8Array(0)));
  });
  call.on("error", () => undefined);
  const heard = (last: string): Promise<true> =>
    waitFor(`the word ${last}`, WAIT_MS, () => (observed.at(-1) === last ? true : undefined));
  const nobody = await raw.call(Election.method.leader, { name }).catch((error: unknown) => error);
  deepEqual(failureOf(nobody), { code: UNKNOWN, message: "election: no leader" });
  const first = await raw.call(Election.method.campaign, { name, value: bytes("one") });
  await heard("one");
  const second = raw.call(Election.method.campaign, { name, value: bytes("two") });
  await raw.call(Election.method.proclaim, { leader: first.leader!, value: bytes("uno") });
  await heard("uno");
  await raw.call(Election.method.resign, { leader: first.leader! });
  const { leader } = await second;
  await heard("two");
  equal(text((await raw.call(Election.method.leader, { name })).kv!.value), "two");
  const late = await raw
    .call(Election.method.proclaim, { leader: first.leader!, value: bytes("x") })
    .catch((error: unknown) => error);
  deepEqual(failureOf(late), { code: UNKNOWN, message: "election: not leader" });
  const missing = await raw.call(Election.method.resign, {}).catch((error: unknown) => error);
  deepEqual(failureOf(missing), { code: UNKNOWN, message: '"leader" field must be provided' });
  await raw.call(Election.method.resign, { leader: leader! });
  deepEqual(observed, ["one", "uno", "two"]);
  call.cancel();
}

async function ctl(member: Member): Promise<void> {
  const run = async (...args: string[]): Promise<string> => {
    const result = await runTool("etcdctl", ["--endpoints", member.address, ...args], {
      env: { ETCDCTL_API: "3" },
    });
    equal(result.code, 0, result.stderr);
    return result.stdout;
  };
  const [, id] = /^lease ([0-9a-f]+) granted with TTL\(60s\)/.exec(await run("lease", "grant", "60")) ?? [];
  ok(id);
  await run("put", "--lease", id, "ctl/leased", "v");
  match(
    await run("lease", "timetolive", "--keys", id),
    /granted with TTL\(60s\), remaining\(\d+s\), attached keys\(\[ctl\/leased\]\)/,
  );
  equal(await run("lease", "keep-alive", "--once", id), `lease ${id} keepalived with TTL(60)\n`);
  match(await run("lease", "list"), new RegExp(id));
  equal(await run("lease", "revoke", id), `lease ${id} revoked\n`);
  equal(await run("get", "ctl/leased"), "");
  equal(await run("lease", "timetolive", id), `lease ${id} already expired\n`);
  equal(await run("lock", "ctl/lock", "echo", "held"), "held\n");
}
