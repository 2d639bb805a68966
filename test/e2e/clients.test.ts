/** Real clients do real work: npm etcd3, grpc-js, Debian's etcdctl, curl, and many streams over several connections at once. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Etcd3 } from "etcd3";
import { Cluster, KV, Maintenance, type PutResponse } from "../../src/proto/gen/rpc_pb.ts";
import { findOnPath, skipWithout } from "../support/binaries.ts";
import { EtcdClient, failureOf } from "../support/etcd-client.ts";
import { startMember, type Member } from "../support/member.ts";
import { runTool, type ToolResult } from "../support/run-tool.ts";
import { memoryDir } from "../support/temp-dir.ts";

const CONNECTIONS = 5;
const CALLS_A_CONNECTION = 1000;
const OUT_OF_RANGE = 11;

const etcdctl = findOnPath("etcdctl");
const curl = findOnPath("curl");

test("real clients", { timeout: 120_000 }, async (t) => {
  const member = await startMember(t, { dataDir: memoryDir(t) });
  await t.test("npm etcd3: put, get, delete", (s) => withEtcd3(s, member, putGetDelete));
  await t.test("npm etcd3: ranges", (s) => withEtcd3(s, member, ranges));
  await t.test("npm etcd3: namespaces", (s) => withEtcd3(s, member, namespaces));
  await t.test("npm etcd3: transactions", (s) => withEtcd3(s, member, transactions));
  await t.test("grpc-js: KV, MemberList and Status", (s) => withGrpc(s, member, kvAndStatus));
  await t.test("thousands of streams over several connections are all answered", (s) =>
    manyStreams(s, member),
  );
  const noEtcdctl = skipWithout("etcdctl", etcdctl) ?? false;
  await t.test("etcdctl: put, get, del", { skip: noEtcdctl }, () => ctlPutGetDel(member));
  await t.test("etcdctl: output formats", { skip: noEtcdctl }, () => ctlFormats(member));
  await t.test("etcdctl: txn and compaction", { skip: noEtcdctl }, () => ctlTxnAndCompaction(member));
  await t.test("etcdctl: endpoint and member", { skip: noEtcdctl }, () => ctlEndpointAndMember(member));
  await t.test("curl: /version, /health, /metrics", { skip: skipWithout("curl", curl) ?? false }, () =>
    curlEndpoints(member),
  );
});

async function withEtcd3(
  t: TestContext,
  member: Member,
  use: (client: Etcd3) => Promise<void>,
): Promise<void> {
  const client = new Etcd3({ hosts: member.clientUrl });
  t.after(() => client.close());
  await use(client);
}

async function withGrpc(
  t: TestContext,
  member: Member,
  use: (client: EtcdClient) => Promise<void>,
): Promise<void> {
  const client = new EtcdClient(member.address);
  t.after(() => client.close());
  await use(client);
}

async function putGetDelete(client: Etcd3): Promise<void> {
  await client.put("basic/key").value("first");
  assert.equal(await client.get("basic/key").string(), "first");
  const previous = await client.put("basic/key").value("second").getPrevious();
  assert.equal(previous.value.toString(), "first");
  const response = await client.get("basic/key").exec();
  assert.equal(response.kvs[0]?.version, "2");
  assert.equal((await client.delete().key("basic/key").exec()).deleted, "1");
  assert.equal(await client.get("basic/key").string(), null);
  assert.equal((await client.delete().key("basic/key").exec()).deleted, "0");
}

async function ranges(client: Etcd3): Promise<void> {
  for (const [index, name] of ["c", "a", "b", "d"].entries())
    await client.put(`range/${name}`).value(`${index}`);
  assert.deepEqual(await client.getAll().prefix("range/").keys(), [
    "range/a",
    "range/b",
    "range/c",
    "range/d",
  ]);
  assert.deepEqual(await client.getAll().prefix("range/").sort("Value", "Descend").limit(2).keys(), [
    "range/d",
    "range/b",
  ]);
  assert.deepEqual(await client.getAll().inRange({ start: "range/b", end: "range/d" }).strings(), {
    "range/b": "2",
    "range/c": "0",
  });
  assert.equal(await client.getAll().prefix("range/").count(), 4);
  assert.equal((await client.delete().prefix("range/").exec()).deleted, "4");
}

async function namespaces(client: Etcd3): Promise<void> {
  const space = client.namespace("space/");
  await space.put("key").value("inside");
  assert.equal(await client.get("space/key").string(), "inside");
  assert.equal(await space.get("key").string(), "inside");
  assert.equal(await client.get("key").string(), null);
  await space.delete().all().exec();
  assert.equal(await client.get("space/key").string(), null);
}

async function transactions(client: Etcd3): Promise<void> {
  const attempt = () =>
    client
      .if("lock", "Create", "==", 0)
      .then(client.put("lock").value("mine"))
      .else(client.get("lock"))
      .commit();
  assert.equal((await attempt()).succeeded, true);
  const second = await attempt();
  assert.equal(second.succeeded, false);
  assert.equal(second.responses[0]?.response_range.kvs[0]?.value.toString(), "mine");
}

async function kvAndStatus(client: EtcdClient): Promise<void> {
  const key = Buffer.from("grpc/key");
  const put = await client.call(KV.method.put, { key, value: Buffer.from("value") });
  const revision = put.header?.revision ?? 0n;
  const range = await client.call(KV.method.range, { key });
  assert.equal(Buffer.from(range.kvs[0]?.value ?? []).toString(), "value");
  assert.equal(range.kvs[0]?.modRevision, revision);
  const future = client.call(KV.method.range, { key, revision: revision + 1n });
  await assert.rejects(future, (error) => {
    assert.deepEqual(failureOf(error), {
      code: OUT_OF_RANGE,
      message: "etcdserver: mvcc: required revision is a future revision",
    });
    return true;
  });
  const { members } = await client.call(Cluster.method.memberList, {});
  const status = await client.call(Maintenance.method.status, {});
  assert.equal(members.length, 1);
  assert.equal(status.leader, members[0]?.ID);
  assert.equal(status.header?.memberId, members[0]?.ID);
}

async function manyStreams(t: TestContext, member: Member): Promise<void> {
  const clients = Array.from({ length: CONNECTIONS }, () => new EtcdClient(member.address));
  t.after(() => clients.forEach((client) => client.close()));
  const puts: Array<Promise<PutResponse>> = [];
  for (const [c, client] of clients.entries()) {
    for (let i = 0; i < CALLS_A_CONNECTION; i++) {
      puts.push(
        client.call(KV.method.put, { key: Buffer.from(`many/${c}/${i}`), value: Buffer.from(`${c}.${i}`) }),
      );
    }
  }
  const revisions = new Set((await Promise.all(puts)).map(({ header }) => header?.revision));
  assert.equal(revisions.size, CONNECTIONS * CALLS_A_CONNECTION, "every Put has a revision of its own");
  const reads = clients.flatMap((client, c) =>
    Array.from({ length: CALLS_A_CONNECTION }, async (_, i) => {
      // Each connection reads what another one wrote.
      const writer = (c + 1) % CONNECTIONS;
      const { kvs } = await client.call(KV.method.range, { key: Buffer.from(`many/${writer}/${i}`) });
      assert.equal(Buffer.from(kvs[0]?.value ?? []).toString(), `${writer}.${i}`);
    }),
  );
  await Promise.all(reads);
}

/** Runs etcdctl against the member; fails if it does. */
async function ctl(member: Member, args: readonly string[], input?: string): Promise<string> {
  const result = await ctlResult(member, args, input);
  assert.equal(result.code, 0, `etcdctl ${args.join(" ")}: ${result.stderr}`);
  return result.stdout;
}

function ctlResult(member: Member, args: readonly string[], input = ""): Promise<ToolResult> {
  const env = { ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: member.address };
  return runTool(etcdctl as string, args, { env, input });
}

async function ctlPutGetDel(member: Member): Promise<void> {
  assert.equal(await ctl(member, ["put", "ctl/a", "1"]), "OK\n");
  assert.equal(await ctl(member, ["put", "ctl/b"], "from standard input"), "OK\n");
  assert.equal(await ctl(member, ["put", "ctl/a", "2", "--prev-kv"]), "OK\nctl/a\n1\n");
  assert.equal(await ctl(member, ["get", "ctl/a"]), "ctl/a\n2\n");
  assert.equal(await ctl(member, ["get", "ctl/", "--prefix"]), "ctl/a\n2\nctl/b\nfrom standard input\n");
  assert.equal(await ctl(member, ["get", "ctl/a", "ctl/b", "--print-value-only"]), "2\n");
  assert.equal(
    await ctl(member, ["get", "ctl/", "--prefix", "--keys-only", "--order=DESCEND", "--sort-by=KEY"]),
    "ctl/b\n\nctl/a\n\n",
  );
  assert.equal(
    await ctl(member, ["del", "ctl/", "--prefix", "--prev-kv"]),
    "2\nctl/a\n2\nctl/b\nfrom standard input\n",
  );
  assert.equal(await ctl(member, ["get", "ctl/", "--prefix"]), "");
}

async function ctlFormats(member: Member): Promise<void> {
  await ctl(member, ["put", "format", "value"]);
  const json = JSON.parse(await ctl(member, ["get", "format", "-w", "json"])) as {
    header: { revision: number };
    kvs: Array<Record<string, unknown>>;
    count: number;
  };
  assert.equal(json.count, 1);
  assert.deepEqual(json.kvs, [
    {
      key: Buffer.from("format").toString("base64"),
      value: Buffer.from("value").toString("base64"),
      create_revision: json.header.revision,
      mod_revision: json.header.revision,
      version: 1,
    },
  ]);
  const fields = await ctl(member, ["get", "format", "-w", "fields"]);
  for (const line of [
    '"Key" : "format"',
    '"Value" : "value"',
    '"Version" : 1',
    '"Lease" : 0',
    '"More" : false',
    '"Count" : 1',
  ]) {
    assert.ok(fields.split("\n").includes(line), `${line} is not in\n${fields}`);
  }
}

async function ctlTxnAndCompaction(member: Member): Promise<void> {
  await ctl(member, ["put", "txn", "old"]);
  const script = 'value("txn") = "old"\n\nput txn new\nget txn\n\nget txn\n\n';
  assert.equal(await ctl(member, ["txn"], script), "SUCCESS\n\nOK\n\ntxn\nnew\n");
  assert.equal(await ctl(member, ["txn"], script), "FAILURE\n\ntxn\nnew\n");
  const { header } = JSON.parse(await ctl(member, ["get", "txn", "-w", "json"])) as {
    header: { revision: number };
  };
  assert.equal(await ctl(member, ["get", "txn", "--rev", `${header.revision - 1}`]), "txn\nold\n");
  assert.equal(
    await ctl(member, ["compaction", `${header.revision}`]),
    `compacted revision ${header.revision}\n`,
  );
  const old = await ctlResult(member, ["get", "txn", "--rev", `${header.revision - 1}`]);
  assert.notEqual(old.code, 0);
  assert.match(old.stderr, /mvcc: required revision has been compacted/);
}

async function ctlEndpointAndMember(member: Member): Promise<void> {
  const health = await ctlResult(member, ["endpoint", "health"]);
  assert.equal(health.code, 0, health.stderr);
  assert.match(`${health.stdout}${health.stderr}`, /is healthy: successfully committed proposal: took = /);
  const [status] = JSON.parse(await ctl(member, ["endpoint", "status", "-w", "json"])) as [
    {
      Endpoint: string;
      Status: { header: { member_id: number }; leader: number; version: string; dbSize: number };
    },
  ];
  assert.equal(status.Endpoint, member.address);
  assert.equal(status.Status.leader, status.Status.header.member_id);
  assert.match(status.Status.version, /^3\.\d+\.\d+/);
  assert.ok(status.Status.dbSize > 0);
  assert.match(await ctl(member, ["endpoint", "status", "-w", "table"]), /\| +ENDPOINT +\|.*\| IS LEADER \|/);
  const members = await ctl(member, ["member", "list"]);
  assert.match(
    members,
    new RegExp(`^[0-9a-f]+, started, m1, http://127.0.0.1:${member.ports.peer}, ${member.clientUrl}`),
  );
  assert.match(await ctl(member, ["member", "list", "-w", "table"]), /\| +STATUS +\| +NAME +\|/);
}

async function curlEndpoints(member: Member): Promise<void> {
  const fetchText = async (path: string): Promise<string> => {
    const result = await runTool(curl as string, [
      "--http1.1",
      "--silent",
      "--fail",
      `${member.clientUrl}${path}`,
    ]);
    assert.equal(result.code, 0, `curl ${path}: ${result.stderr}`);
    return result.stdout;
  };
  const version = JSON.parse(await fetchText("/version")) as { etcdserver: string; etcdcluster: string };
  assert.match(version.etcdserver, /^3\.\d+\.\d+/);
  assert.match(version.etcdcluster, /^3\.\d+\.0$/);
  assert.equal((JSON.parse(await fetchText("/health")) as { health: string }).health, "true");
  assert.match(await fetchText("/metrics"), /^etcd_server_has_leader 1$/m);
}
