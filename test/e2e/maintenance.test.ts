/** Maintenance of a real member through real clients: quota and alarms, snapshots, defragmentation, hashes, corruption. */
import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { Maintenance } from "../../src/proto/gen/rpc_pb.ts";
import { KV } from "../../src/proto/gen/rpc_pb.ts";
import { openLmdbBackend } from "../../src/storage/lmdb-backend.ts";
import { writeRevisionKey } from "../../src/storage/revision-key.ts";
import { recover } from "../../src/storage/recover.ts";
import { findOnPath, referenceMember, skipWithout } from "../support/binaries.ts";
import { TestCluster } from "../support/cluster.ts";
import { EtcdClient, failureOf } from "../support/etcd-client.ts";
import { launchMember, type Member, restartMember, startMember } from "../support/member.ts";
import { runTool } from "../support/run-tool.ts";
import { type Cleanup, tempDir } from "../support/temp-dir.ts";
import { waitFor } from "../support/wait.ts";

const BOUND_MS = 20_000;
const etcdctlPath = findOnPath("etcdctl");
const VALUE = Buffer.alloc(100_000, 120);
const NO_SPACE = "etcdserver: mvcc: database space exceeded";

function clientOf(t: Cleanup, member: Member): EtcdClient {
  const client = new EtcdClient(member.address);
  t.after(() => client.close());
  return client;
}

const put = (client: EtcdClient, key: string, value: Uint8Array = VALUE) =>
  client.call(KV.method.put, { key: Buffer.from(key), value });

async function etcdctl(member: Member, ...args: string[]): Promise<string> {
  const result = await runTool(etcdctlPath ?? "etcdctl", ["--endpoints", member.address, ...args], {
    env: { ETCDCTL_API: "3" },
  });
  assert.equal(result.code, 0, `${args.join(" ")}: ${result.stderr}`);
  return result.stdout;
}

/** Fills it until it has no room; returns the number of keys. */
async function fill(client: EtcdClient): Promise<number> {
  for (let i = 0; i < 1000; i++) {
    const error = await put(client, `key${String(i).padStart(4, "0")}`).then(() => null, failureOf);
    if (error === null) continue;
    assert.deepEqual(error, { code: 8, message: NO_SPACE });
    return i;
  }
  throw new Error("there is no quota");
}

async function alarmsOf(client: EtcdClient): Promise<number[]> {
  return (await client.call(Maintenance.method.alarm, {})).alarms.map(({ alarm }) => alarm);
}

async function makeRoom(client: EtcdClient): Promise<void> {
  const { header } = await client.call(KV.method.deleteRange, {
    key: Buffer.from("key"),
    rangeEnd: Buffer.from("kez"),
  });
  await client.call(KV.method.compact, { revision: header?.revision ?? 0n, physical: true });
}

describe("maintenance", () => {
  test("a full member refuses what takes space, and takes its alarm back once there is room", async (t) => {
    const args = ["--quota-backend-bytes", "3000000"];
    const member = await startMember(t, { dataDir: tempDir(t), args });
    const client = clientOf(t, member);
    assert.ok((await fill(client)) >= 10);
    assert.deepEqual(await alarmsOf(client), [1]);
    const status = await client.call(Maintenance.method.status, {});
    assert.match(status.errors.join(), /^memberID:\d+ alarm:NOSPACE $/);
    assert.equal(status.dbSizeQuota, 3_000_000n);
    await makeRoom(client);
    await waitFor("the alarm to go", BOUND_MS, async () =>
      (await alarmsOf(client)).length === 0 ? true : undefined,
    );
    await put(client, "after");
  });

  test("with --quota-auto-disarm=false the alarm stays until it is disarmed, over a restart", async (t) => {
    const args = ["--quota-backend-bytes", "3000000", "--quota-auto-disarm=false"];
    const first = await startMember(t, { dataDir: tempDir(t), args });
    const client = clientOf(t, first);
    await fill(client);
    await makeRoom(client);
    assert.equal((await put(client, "no").then(() => null, failureOf))?.message, NO_SPACE);
    await first.kill();
    // It is not healthy as long as the alarm is there.
    const again = clientOf(t, await launchMember(t, { ...first.options, ports: first.ports }));
    const alarms = await waitFor("the member", BOUND_MS, () =>
      again.call(Maintenance.method.alarm, {}).then(
        (answer) => answer.alarms,
        () => undefined,
      ),
    );
    assert.deepEqual(
      alarms.map(({ alarm }) => alarm),
      [1],
    );
    const memberID = alarms[0].memberID;
    await again.call(Maintenance.method.alarm, { action: 2, memberID, alarm: 1 });
    await put(again, "yes");
  });

  test("defragmentation shrinks the file while writes go on, and a kill -9 behind it loses nothing", async (t) => {
    const dataDir = tempDir(t);
    const member = await startMember(t, { dataDir });
    const client = clientOf(t, member);
    for (let i = 0; i < 60; i++) await put(client, `key${i}`);
    await makeRoom(client);
    const path = join(dataDir, "member", "snap", "db");
    const before = statSync(path).size;
    const end = new AbortController();
    let written = 0;
    const writer = (async () => {
      for (; !end.signal.aborted; written++)
        await put(client, `while${written}`, Buffer.from(String(written)));
    })();
    await client.call(Maintenance.method.defragment, {});
    await client.call(Maintenance.method.defragment, {});
    end.abort();
    await writer;
    assert.ok(statSync(path).size < before / 3, `${statSync(path).size} of ${before} bytes`);
    const hash = await client.call(Maintenance.method.hashKV, {});
    await member.kill();
    const again = clientOf(t, await restartMember(t, member));
    assert.equal((await again.call(Maintenance.method.hashKV, {})).hash, hash.hash);
    const range = { key: Buffer.from("while"), rangeEnd: Buffer.from("whilf"), countOnly: true };
    assert.equal((await again.call(KV.method.range, range)).count, BigInt(written));
  });

  test("hash, snapshot and defragmentation are served where nothing is kept on disk", async (t) => {
    const member = await startMember(t, { dataDir: ":memory:" });
    const client = clientOf(t, member);
    await put(client, "a");
    await client.call(Maintenance.method.defragment, {});
    const { hash } = await client.call(Maintenance.method.hash, {});
    assert.equal((await client.call(Maintenance.method.hash, {})).hash, hash);
    await put(client, "b");
    assert.notEqual((await client.call(Maintenance.method.hash, {})).hash, hash);
    if (etcdctlPath === undefined) return;
    const path = join(tempDir(t), "snapshot");
    await etcdctl(member, "snapshot", "save", path);
    assert.match(await etcdctl(member, "snapshot", "status", path), /, 3, /);
  });

  test("auto-compaction by time keeps the history short", async (t) => {
    const args = ["--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1s"];
    const client = clientOf(t, await startMember(t, { dataDir: tempDir(t), args }));
    for (let i = 0; i < 5; i++) await put(client, "a");
    const message = await waitFor("a compaction", BOUND_MS, async () => {
      await put(client, "b");
      return client
        .call(KV.method.range, { key: Buffer.from("a"), revision: 2n })
        .then(() => undefined, failureOf);
    });
    assert.equal(message.message, "etcdserver: mvcc: required revision has been compacted");
  });
});

describe("snapshots and etcd's tools", { skip: skipWithout("etcdctl", etcdctlPath) }, () => {
  test("a saved snapshot is restored by etcd, which serves the same data", async (t) => {
    const dataDir = tempDir(t);
    const member = await startMember(t, { dataDir });
    const client = clientOf(t, member);
    for (let i = 0; i < 300; i++) await put(client, `key${i % 200}`, Buffer.from(`value ${i}`));
    await client.call(KV.method.compact, { revision: 150n });
    const folder = tempDir(t);
    const path = join(folder, "saved");
    await etcdctl(member, "snapshot", "save", path);
    assert.deepEqual(
      readdirSync(join(dataDir, "member", "snap")).filter((name) => name.startsWith("tmp")),
      [],
    );
    const hash = (await client.call(Maintenance.method.hashKV, {})).hash;
    const reference = referenceMember();
    if (reference === undefined) return;
    const restored = join(folder, "restored");
    await etcdctl(member, "snapshot", "restore", path, "--data-dir", restored);
    const real = clientOf(
      t,
      await startMember(t, { dataDir: restored, program: reference, name: "default" }),
    );
    const all = { key: Buffer.from("key"), rangeEnd: Buffer.from("kez") };
    const [ours, theirs] = await Promise.all([
      client.call(KV.method.range, all),
      real.call(KV.method.range, all),
    ]);
    assert.deepEqual(theirs.kvs, ours.kvs);
    assert.equal(theirs.header?.revision, ours.header?.revision);
    const realHash = await real.call(Maintenance.method.hashKV, { revision: ours.header?.revision ?? 0n });
    assert.equal(realHash.hash, hash);
  });
});

describe("corruption", () => {
  /** Changes a value in the database of a member that does not run. */
  async function corrupt(dataDir: string): Promise<void> {
    const backend = openLmdbBackend(join(dataDir, "member", "snap", "db"));
    const reader = backend.reader();
    const { consistentIndex, term } = recover(reader);
    const key = new Uint8Array(17);
    let value = new Uint8Array(0);
    reader.scanRevisions(2, (main, sub, _tombstone, bytes, length) => {
      writeRevisionKey(key, 0, main, sub, false);
      value = bytes.slice(0, length);
      return false;
    });
    reader.close();
    value[value.length - 1] ^= 1;
    backend.putRevision(key, value);
    backend.commit(consistentIndex, term);
    backend.close();
    await backend.closed;
  }

  test("a member whose data differs is found by the leader, and the cluster refuses writes", async (t) => {
    const cluster = await new TestCluster(t, { size: 3, args: ["--corrupt-check-time", "1s"] }).start();
    const client = clientOf(t, cluster.member(await cluster.leader()));
    for (let i = 0; i < 10; i++) await put(client, `key${i}`, Buffer.from("value"));
    await cluster.converged();
    const name = await cluster.follower();
    const victim = cluster.member(name);
    await victim.stop();
    await corrupt(victim.options.dataDir);
    // It may be found before it has once said that it is well.
    await launchMember(t, { ...victim.options, ports: victim.ports });
    await waitFor("the alarm", BOUND_MS, async () =>
      (await alarmsOf(client)).includes(2) ? true : undefined,
    );
    const { alarms } = await client.call(Maintenance.method.alarm, {});
    assert.deepEqual(
      alarms.map(({ memberID }) => memberID.toString(16)),
      [(await cluster.idOf(name)).toString(16)],
    );
    assert.deepEqual(await put(client, "no").then(() => null, failureOf), {
      code: 15,
      message: "etcdserver: corrupt cluster",
    });
  });

  test("it does not start where that is checked first", async (t) => {
    const args = [
      "--feature-gates",
      "InitialCorruptCheck=true,CompactHashCheck=true",
      "--compact-hash-check-time",
      "1s",
    ];
    const cluster = await new TestCluster(t, { size: 3, args }).start();
    const leader = cluster.member(await cluster.leader());
    const client = clientOf(t, leader);
    for (let i = 0; i < 10; i++) await put(client, `key${i}`, Buffer.from("value"));
    await client.call(KV.method.compact, { revision: 5n });
    await waitFor("equal hashes of the compaction", BOUND_MS, () =>
      Promise.resolve(leader.log.includes("successfully checked hash on whole cluster") ? true : undefined),
    );
    await cluster.converged();
    const victim = cluster.member(await cluster.follower());
    await victim.stop();
    await restartMember(t, victim).then((again) => again.stop());
    await corrupt(victim.options.dataDir);
    await assert.rejects(restartMember(t, victim), /found data inconsistency with peers/);
  });
});
