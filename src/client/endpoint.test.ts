import assert from "node:assert/strict";
import { test } from "node:test";
import { KV } from "../proto/gen/rpc_pb.ts";
import { Client } from "./client.ts";
import { parseEndpoint } from "./endpoint.ts";
import { EtcdError } from "./etcd-error.ts";
import { backoffMs, isRetryable } from "./retry.ts";

test("endpoints are read as etcd's client reads them", () => {
  const cases: [string, string, string, string][] = [
    ["127.0.0.1:2379", "dns:127.0.0.1:2379", "127.0.0.1", "ifConfigured"],
    ["http://h:2379", "dns:h:2379", "h", "never"],
    ["https://h:2379/", "dns:h:2379", "h", "always"],
    ["[::1]:2379", "dns:[::1]:2379", "::1", "ifConfigured"],
    ["unix:sock", "unix:sock", "sock", "ifConfigured"],
    ["unix:///run/etcd.sock", "unix:/run/etcd.sock", "etcd.sock", "ifConfigured"],
    ["unixs://dir/etcd.sock", "unix:dir/etcd.sock", "etcd.sock", "always"],
  ];
  for (const [name, target, serverName, tls] of cases)
    assert.deepEqual(parseEndpoint(name), { target, serverName, tls });
});

test("writes are not repeated, reads are while the member is unavailable", () => {
  const unavailable = new EtcdError(14, "etcdserver: no leader");
  const refused = new EtcdError(3, "etcdserver: key is not provided");
  const learner = new EtcdError(9, "etcdserver: rpc not supported for learner");
  assert.equal(isRetryable(KV.method.range, unavailable, 1), true);
  assert.equal(isRetryable(KV.method.put, unavailable, 1), false);
  assert.equal(isRetryable(KV.method.range, refused, 3), false);
  assert.equal(isRetryable(KV.method.put, learner, 1), false);
  assert.equal(isRetryable(KV.method.put, learner, 3), true);
});

test("a pause follows each quorum of endpoints", () => {
  const pauses = [0, 1, 2, 3, 4].map((attempt) => backoffMs(attempt, 3) > 0);
  assert.deepEqual(pauses, [false, false, true, false, true]);
});

test("errors that etcd knows stand for themselves, others keep their gRPC code", () => {
  assert.equal(
    new EtcdError(3, "etcdserver: key is not provided").message,
    "etcdserver: key is not provided",
  );
  assert.equal(
    new EtcdError(12, "unknown service x").message,
    "rpc error: code = Unimplemented desc = unknown service x",
  );
});

test("a client without endpoints is refused", async () => {
  await assert.rejects(Client.connect({ endpoints: [] }), { message: "etcdclient: no available endpoints" });
});

test("an endpoint that refuses connections gives the deadline, and the cause beside it", async () => {
  const failures: string[] = [];
  const client = await Client.connect({
    endpoints: ["127.0.0.1:1"],
    callTimeoutMs: 300,
    onAttemptFailed: ({ error }) => failures.push(error.status),
  });
  try {
    await assert.rejects(client.kv.put({ key: Buffer.from("k") }), {
      message: "context deadline exceeded",
      code: 4,
    });
    assert.equal(failures.length, 1);
    assert.match(failures[0], /connection error: connect ECONNREFUSED 127\.0\.0\.1:1$/);
  } finally {
    client.close();
  }
});

test("a request over the limit is not sent", async () => {
  const client = await Client.connect({
    endpoints: ["127.0.0.1:1"],
    requestBytesMax: 10,
    callTimeoutMs: 100,
  });
  client.close();
  await assert.rejects(client.kv.range({}), { code: 1 });
});
