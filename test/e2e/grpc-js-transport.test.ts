/** A member with `--grpc-transport=grpc-js`: the second transport does what the first does, from socket to disk. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Client, credentials, status } from "@grpc/grpc-js";
import { Etcd3 } from "etcd3";

import { Compare_CompareTarget, KV, Maintenance } from "../../src/proto/gen/rpc_pb.ts";
import { EtcdClient, failureOf } from "../support/etcd-client.ts";
import { launchMember, startMember, type Member } from "../support/member.ts";
import { memoryDir } from "../support/temp-dir.ts";

const KEYS = 3_000;
const VALUE_BYTES = 1_000;
const CALLS_AT_ONCE = 300;

const bytes = (text: string): Buffer => Buffer.from(text);
const text = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString();
const ALL = { key: bytes("big/"), rangeEnd: bytes("big0") };

test("a member on grpc-js", { timeout: 120_000 }, async (t) => {
  const member = await startMemberOnGrpcJs(t);
  const client = new EtcdClient(member.address);
  t.after(() => client.close());
  await t.test("put, range, delete", () => putRangeDelete(client));
  await t.test("txn", () => txn(client));
  await t.test("a range of 3 MB, whole and with limits, and many of them at once", () => bigRanges(client));
  await t.test("a cancelled range leaves the connection usable", () => cancel(member, client));
  await t.test("etcd's errors keep code and text", () => errors(client));
  await t.test("npm etcd3", () => withEtcd3(member));
  await t.test("what was acknowledged is there after a restart on the native transport", () =>
    restart(t, member),
  );
});

/** `/health` is served on an address of its own: grpc-js cannot share its port with HTTP/1.1. */
async function startMemberOnGrpcJs(t: TestContext): Promise<Member> {
  const dataDir = memoryDir(t);
  const member = await launchMember(t, { dataDir, args: ["--grpc-transport=grpc-js"] });
  const client = new EtcdClient(member.address);
  await client.connect(30_000);
  client.close();
  return member;
}

async function putRangeDelete(client: EtcdClient): Promise<void> {
  const key = bytes("js/key");
  await client.call(KV.method.put, { key, value: bytes("first") });
  const second = await client.call(KV.method.put, { key, value: bytes("second"), prevKv: true });
  assert.equal(text(second.prevKv?.value), "first");
  for (const serializable of [false, true]) {
    const range = await client.call(KV.method.range, { key, serializable });
    assert.equal(text(range.kvs[0]?.value), "second");
    assert.equal(range.kvs[0]?.version, 2n);
  }
  const deleted = await client.call(KV.method.deleteRange, { key, prevKv: true });
  assert.equal(deleted.deleted, 1n);
  assert.equal(text(deleted.prevKvs[0]?.value), "second");
}

async function txn(client: EtcdClient): Promise<void> {
  const key = bytes("js/txn");
  const attempt = () =>
    client.call(KV.method.txn, {
      compare: [
        { key, target: Compare_CompareTarget.CREATE, targetUnion: { case: "createRevision", value: 0n } },
      ],
      success: [{ request: { case: "requestPut", value: { key, value: bytes("mine") } } }],
      failure: [{ request: { case: "requestRange", value: { key } } }],
    });
  assert.equal((await attempt()).succeeded, true);
  const second = await attempt();
  assert.equal(second.succeeded, false);
  const answer = second.responses[0]?.response;
  assert.equal(answer?.case, "responseRange");
  assert.equal(text(answer.value.kvs[0]?.value), "mine");
}

async function bigRanges(client: EtcdClient): Promise<void> {
  const value = Buffer.alloc(VALUE_BYTES, "v");
  const puts = Array.from({ length: KEYS }, (_, i) =>
    client.call(KV.method.put, { key: bytes(`big/${i}`), value }),
  );
  await Promise.all(puts);
  const whole = await client.call(KV.method.range, ALL);
  assert.equal(whole.kvs.length, KEYS);
  assert.ok(whole.kvs.every((kv) => kv.value.length === VALUE_BYTES));
  const limits = Array.from({ length: CALLS_AT_ONCE }, (_, i) => 50 + i);
  const parts = await Promise.all(
    limits.map((limit) => client.call(KV.method.range, { ...ALL, limit: BigInt(limit) })),
  );
  assert.deepEqual(
    parts.map((part) => part.kvs.length),
    limits,
  );
  assert.ok(parts.every((part) => part.more && part.count === BigInt(KEYS)));
}

async function cancel(member: Member, client: EtcdClient): Promise<void> {
  const raw = new Client(member.address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
  });
  const same = (value: Buffer): Buffer => value;
  const request = Buffer.concat([Buffer.of(0x0a, 4), ALL.key, Buffer.of(0x12, 4), ALL.rangeEnd]);
  const codes = await Promise.all(
    Array.from({ length: 50 }, (_, i) => {
      return new Promise<number>((resolve) => {
        const call = raw.makeUnaryRequest("/etcdserverpb.KV/Range", same, same, request, (error) =>
          resolve(error?.code ?? 0),
        );
        // Some before they are sent, some while their answer is on its way.
        if (i % 2 === 0) call.cancel();
        else call.once("metadata", () => call.cancel());
      });
    }),
  );
  assert.deepEqual(new Set(codes), new Set([status.CANCELLED]));
  raw.close();
  assert.equal((await client.call(KV.method.range, { ...ALL, countOnly: true })).count, BigInt(KEYS));
}

async function errors(client: EtcdClient): Promise<void> {
  const cases = [
    [() => client.call(KV.method.put, { key: bytes("") }), 3, "etcdserver: key is not provided"],
    [
      () => client.call(KV.method.range, { key: bytes("x"), revision: 1n << 40n }),
      11,
      "etcdserver: mvcc: required revision is a future revision",
    ],
    [
      () => client.call(KV.method.put, { key: bytes("x"), value: Buffer.alloc(1_600_000) }),
      3,
      "etcdserver: request is too large",
    ],
    [
      () => client.callBytes("/etcdserverpb.Auth/UserList", Buffer.alloc(0)),
      12,
      "unknown method UserList for service etcdserverpb.Auth",
    ],
  ] as const;
  for (const [call, code, message] of cases) {
    await assert.rejects(call(), (error) => {
      assert.deepEqual(failureOf(error), { code, message });
      return true;
    });
  }
}

async function withEtcd3(member: Member): Promise<void> {
  const client = new Etcd3({ hosts: member.clientUrl });
  await client.put("js/etcd3").value("value");
  assert.equal(await client.get("js/etcd3").string(), "value");
  assert.equal(await client.getAll().prefix("big/").count(), KEYS);
  client.close();
}

async function restart(t: TestContext, member: Member): Promise<void> {
  const before = new EtcdClient(member.address);
  const { header } = await before.call(Maintenance.method.status, {});
  before.close();
  assert.deepEqual(await member.stop(), { code: 0, signal: null }, member.log);
  const again = await startMember(t, { dataDir: member.options.dataDir });
  const client = new EtcdClient(again.address);
  t.after(() => client.close());
  const range = await client.call(KV.method.range, { ...ALL, countOnly: true });
  assert.equal(range.count, BigInt(KEYS));
  assert.equal(range.header?.revision, header?.revision);
}
