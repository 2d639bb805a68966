/** Members and clusters of this process, and the client that the package has for them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { Worker } from "node:worker_threads";
import { memoryDir } from "../../test/support/temp-dir.ts";
import { connect, startCluster, startMember } from "../index.ts";

const SCRIPT = join(import.meta.dirname, "testdata", "embedding-program.ts");

test("a member in memory: keys, conditions, events, locks and elections through the package's client", async () => {
  await using member = startMember();
  assert.equal(await member.ready, member);
  assert.match(member.endpoint, /^127\.0\.0\.1:\d+$/);
  await using etcd = await connect(member.endpoint);
  assert.equal(await etcd.get("a"), null);

  await using watch = etcd.watch({ prefix: "" }, { previous: true });
  await watch.started;
  const first = await etcd.put("a", "1");
  await etcd.put("b", JSON.stringify({ n: 2 }));
  const entry = await etcd.get("a");
  assert.deepEqual([entry?.key, entry?.value, entry?.version, entry?.modRevision], ["a", "1", 1, first]);
  assert.deepEqual((await etcd.get("b"))?.json(), { n: 2 });

  const swap = {
    if: [{ key: "a", value: "1" }],
    do: [{ put: "a", value: "2" }, { get: { prefix: "" } }],
  } as const;
  const { succeeded, results } = await etcd.transaction({ ...swap, else: [{ delete: "b" }] });
  assert.equal(succeeded, true);
  assert.deepEqual(Array.isArray(results[1]) && results[1].map(({ value }) => value), ["2", '{"n":2}']);
  assert.deepEqual((await etcd.transaction({ ...swap, else: [{ delete: "b" }] })).results, [1]);
  await assert.rejects(etcd.transaction({ if: [{ key: "a" }] }), TypeError);
  assert.equal((await etcd.get("a", { revision: first }))?.value, "1");
  assert.deepEqual(
    (await etcd.list({ from: "a", to: "c" })).map(({ key }) => key),
    ["a"],
  );
  assert.equal(await etcd.count({ prefix: "a" }), 1);
  assert.equal(await etcd.delete({ from: "" }), 1);

  const seen: string[] = [];
  for await (const { type, entry, previous } of watch) {
    seen.push(`${type} ${entry.key} ${previous?.value ?? "-"}`);
    if (seen.length === 5) break;
  }
  assert.deepEqual(seen, ["put a -", "put b -", "put a 1", 'delete b {"n":2}', "delete a 2"]);

  const lock = await etcd.lock("l");
  const second = etcd.lock("l");
  assert.notEqual(await etcd.get(lock.key), null);
  await lock.release();
  await (await second).release();
  await using leadership = await etcd.campaign("e", "me");
  for await (const { value } of etcd.leaders("e")) {
    assert.equal(value, "me");
    break;
  }
  await leadership.resign();
  const lease = await etcd.lease(10);
  await etcd.put("with a lease", "", { leaseId: lease.id });
  await lease.revoke();
  assert.equal(await etcd.count({ prefix: "" }), 0);
});

test("members beside each other do not know of each other; on disk a member finds its data again", async (t) => {
  const dataDir = memoryDir(t);
  await using other = startMember();
  const lines: string[] = [];
  const onDisk = startMember({ dataDir, name: "disk", log: ({ msg }) => lines.push(msg) });
  await Promise.all([other.ready, onDisk.ready]);
  {
    await using etcd = await connect(onDisk.endpoint);
    await etcd.put("key", "kept");
  }
  await onDisk.stop();
  assert.ok(lines.includes("ready to serve client requests"), lines.join("\n"));
  await using again = startMember({ dataDir, name: "disk", clientUrl: onDisk.clientUrl });
  assert.throws(() => again.endpoint, /not ready/);
  await again.ready;
  await using etcd = await connect([again.endpoint]);
  assert.equal((await etcd.get("key"))?.value, "kept");
  await using elsewhere = await connect(other.endpoint);
  assert.equal(await elsewhere.get("key"), null);
});

test("three members in one process are one cluster, and go on without one of them", async () => {
  await using cluster = startCluster();
  await cluster.ready;
  const [first, second, third] = cluster.members;
  await using etcd = await connect(first.endpoint);
  await etcd.put("key", "value");
  await third.stop();
  assert.equal(await third.exited, null);
  await using rest = await connect([first.endpoint, second.endpoint]);
  await rest.put("other", "value");
  assert.equal(await rest.count({ prefix: "" }), 2);
  const { members } = await rest.client.cluster.memberList({});
  assert.equal(members.length, 3);
});

test("a start that fails says why, and nothing else happens", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  t.after(() => server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await using member = startMember();
  const inUse = startMember({ clientUrl: `http://127.0.0.1:${port}` });
  await assert.rejects(inUse.ready, new RegExp(`cannot listen on http://127.0.0.1:${port}.*EADDRINUSE`));
  assert.match(String(await inUse.exited), /EADDRINUSE/);
  await inUse.stop();
  const misspelt = startMember({ flags: { "no-such-flag": 1 } });
  await assert.rejects(misspelt.ready, /no-such-flag/);
  const mismatched = startMember({ initialCluster: { other: "http://127.0.0.1:1" } });
  await assert.rejects(mismatched.ready, /couldn't find local name/);
  await member.ready;
  assert.throws(() => startCluster({ size: 0 }), RangeError);
});

test("a member can be stopped during its start, and more than once", async () => {
  const member = startMember();
  const stopped = member.stop();
  await Promise.all([stopped, member.stop()]);
  assert.equal(await member.exited, null);
  await assert.rejects(member.ready, /stopped/);
  // Waits for a member that never comes.
  const alone = startMember({
    name: "a",
    peerUrl: "http://127.0.0.1:1",
    initialCluster: { a: "http://127.0.0.1:1", b: "http://127.0.0.1:2" },
  });
  await alone.stop();
  await assert.rejects(alone.ready);
});

test("a thread that dies ends its member, and not the process", async () => {
  const workers: Worker[] = [];
  const note = (worker: Worker): unknown => workers.push(worker);
  process.on("worker", note);
  const member = startMember();
  await member.ready;
  process.off("worker", note);
  await using other = startMember();
  await other.ready;
  await workers[0].terminate();
  assert.match(String(await member.exited), /thread \w+ ended with code 1/);
  await member.stop();
  await using etcd = await connect(other.endpoint);
  await etcd.put("key", "value");
});

test("a program that embeds members ends by itself, and finds nothing changed", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT], {
    encoding: "utf8",
    timeout: 60_000,
  });
  assert.deepEqual([status, stdout, stderr], [0, "done\n", ""]);
});
