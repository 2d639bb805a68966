/**
 * Snapshots go both ways: what etcdctl saves from our member, a real etcd starts on, and what it saves from a real etcd, ours
 * starts on after our etcdutl has restored it. Ranges at every revision, leases and hashes are the same. Damaged ones are refused.
 */
import assert from "node:assert/strict";
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { KV, Lease, Maintenance } from "../../src/proto/gen/rpc_pb.ts";
import { dump } from "../conformance/canonical.ts";
import {
  findOnPath,
  memberUnderTest,
  PROJECT_ROOT,
  referenceMember,
  skipWithout,
  type Program,
} from "../support/binaries.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { startMember, type Member } from "../support/member.ts";
import { freePorts } from "../support/ports.ts";
import { runTool, type ToolResult } from "../support/run-tool.ts";
import { memoryDir } from "../support/temp-dir.ts";

const LEASES = [7n, -7n, 1n << 45n];
const TTL_SECONDS = 1000n;
const KEYS = 200;
// Prime, so that puts, deletions and leases all fall on compared revisions.
const REVISION_STEP = 7;
const EVERYTHING = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

const etcd = referenceMember();
const etcdctl = findOnPath("etcdctl");
const ourEtcdutl: Program = { file: process.execPath, args: [join(PROJECT_ROOT, "bin/etcdutl")] };
const skip = skipWithout("etcd and etcdctl", etcd && etcdctl) ?? false;
// etcdctl restores up to 3.5; ETCDUTL_REFERENCE names the etcdutl that belongs to another reference.
const restorer: Program = { file: process.env["ETCDUTL_REFERENCE"] ?? (etcdctl as string), args: [] };

test(
  "a snapshot of ours is restored by etcd's tools, and etcd starts on it",
  { skip, timeout: 120_000 },
  (t) => exchange(t, { from: memberUnderTest(), restore: restorer, to: etcd as Program }),
);

test(
  "a snapshot of etcd's is restored by our etcdutl, and ours starts on it",
  { skip, timeout: 120_000 },
  (t) => exchange(t, { from: etcd as Program, restore: ourEtcdutl, to: memberUnderTest() }),
);

test("a snapshot of ours is restored by our etcdutl", { skip, timeout: 120_000 }, (t) =>
  exchange(t, { from: memberUnderTest(), restore: ourEtcdutl, to: memberUnderTest() }),
);

test("a snapshot with a flipped byte or a missing end is refused", { skip, timeout: 120_000 }, async (t) => {
  const member = await startMember(t, { dataDir: memoryDir(t) });
  await fill(t, member);
  const folder = memoryDir(t, "snapshot");
  const file = await save(member, folder);
  const size = readFileSync(file).length;
  for (const restore of [ourEtcdutl, restorer]) {
    for (const at of [100, size >> 1, size - 1]) {
      const damaged = join(folder, "damaged.db");
      const content = readFileSync(file);
      content[at] ^= 0x10;
      writeFileSync(damaged, content);
      await assertRefused(restore, damaged, join(folder, "flipped"), `byte ${at} of ${size}`);
    }
    for (const length of [0, 31, 512, size >> 1, size - 32, size - 1]) {
      const short = join(folder, "short.db");
      copyFileSync(file, short);
      truncateSync(short, length);
      await assertRefused(restore, short, join(folder, "short"), `${length} of ${size} bytes`);
    }
  }
});

async function exchange(
  t: TestContext,
  { from, restore, to }: { from: Program; restore: Program; to: Program },
): Promise<void> {
  const source = await startMember(t, { program: from, dataDir: memoryDir(t, "source") });
  await fill(t, source);
  const file = await save(source, memoryDir(t, "snapshot"));
  const before = await stateOf(t, source);
  await assertStatus(file, before);
  const [client, peer] = await freePorts(2);
  const dataDir = join(memoryDir(t, "restored"), "data");
  const restored = await runRestore(restore, file, dataDir, peer);
  assert.equal(restored.code, 0, restored.stderr);
  const target = await startMember(t, { program: to, dataDir, ports: { client, peer } });
  const after = await stateOf(t, target);
  assert.deepEqual(after.ranges, before.ranges);
  assert.deepEqual(after.leases, before.leases);
  assert.deepEqual(after.hashes, before.hashes);
  await writable(t, target, before.revision);
}

/** Overwritten, deleted and leased keys, a compaction and what comes behind it. */
async function fill(t: TestContext, member: Member): Promise<void> {
  const client = connect(t, member);
  for (const ID of LEASES) await client.call(Lease.method.leaseGrant, { ID, TTL: TTL_SECONDS });
  const put = (i: number, value: string) =>
    client.call(KV.method.put, {
      key: bytes(`key/${i % 97}`),
      value: bytes(value),
      lease: i % 5 === 0 ? LEASES[i % LEASES.length] : 0n,
    });
  for (let i = 0; i < KEYS; i++) {
    await put(i, `${i}`.repeat(i));
    if (i % 13 === 0) await client.call(KV.method.deleteRange, { key: bytes(`key/${(i * 7) % 97}`) });
    if (i === KEYS >> 1) await client.call(KV.method.compact, { revision: BigInt(i), physical: true });
  }
}

async function save(member: Member, folder: string): Promise<string> {
  const file = join(folder, "snapshot.db");
  const saved = await ctl(["--endpoints", member.address, "snapshot", "save", file]);
  assert.equal(saved.code, 0, saved.stderr);
  return file;
}

interface State {
  readonly revision: number;
  /** All keys at each revision that is left. */
  readonly ranges: string[];
  readonly leases: unknown[];
  /** Hashes at some revisions. */
  readonly hashes: string[];
}

async function stateOf(t: TestContext, member: Member): Promise<State> {
  const client = connect(t, member);
  const now = await client.call(KV.method.range, EVERYTHING);
  const revision = Number(now.header?.revision);
  const ranges: string[] = [];
  for (let at = KEYS >> 1; at <= revision; at += REVISION_STEP) {
    const { kvs, count } = await client.call(KV.method.range, { ...EVERYTHING, revision: BigInt(at) });
    ranges.push(`${count} ${kvs.map(dump).join()}`);
  }
  const leases: unknown[] = [];
  const list = await client.call(Lease.method.leaseLeases, {});
  for (const { ID } of list.leases.toSorted((a, b) => (a.ID < b.ID ? -1 : 1))) {
    const { grantedTTL, keys } = await client.call(Lease.method.leaseTimeToLive, { ID, keys: true });
    leases.push([ID, grantedTTL, keys.map((key) => Buffer.from(key).toString()).toSorted()]);
  }
  const hashes: string[] = [];
  // etcd 3.4 gives no hash at the compacted revision itself.
  for (const at of [(KEYS >> 1) + 1, revision - 50, revision]) {
    const { hash, compactRevision } = await client.call(Maintenance.method.hashKV, { revision: BigInt(at) });
    hashes.push(`${at}: ${hash} since ${compactRevision}`);
  }
  assert.equal(leases.length, LEASES.length);
  return { revision, ranges, leases, hashes };
}

/** Both tools say of the file what is in it; `totalKey` is of keys since 3.6, and of records before. */
async function assertStatus(file: string, { revision }: State): Promise<void> {
  const args = ["snapshot", "status", file, "-w", "json"];
  const theirs = JSON.parse((await ctl(args)).stdout) as Record<string, number>;
  const ours = JSON.parse((await run(ourEtcdutl, args)).stdout) as Record<string, number>;
  assert.equal(theirs["revision"], revision);
  for (const field of ["hash", "revision", "totalSize"]) assert.equal(ours[field], theirs[field], field);
}

async function writable(t: TestContext, member: Member, revision: number): Promise<void> {
  const client = connect(t, member);
  const put = await client.call(KV.method.put, { key: bytes("after"), lease: LEASES[0] });
  assert.equal(Number(put.header?.revision), revision + 1);
  await client.call(Lease.method.leaseRevoke, { ID: LEASES[0] });
  assert.equal((await client.call(KV.method.range, { key: bytes("after") })).count, 0n);
}

async function assertRefused(restore: Program, file: string, dataDir: string, what: string): Promise<void> {
  const { code, stdout, stderr } = await runRestore(restore, file, dataDir, 2380);
  assert.notEqual(code, 0, `${restore.args[0] ?? restore.file} restored ${what}: ${stdout}${stderr}`);
}

function runRestore(restore: Program, file: string, dataDir: string, peer: number): Promise<ToolResult> {
  const url = `http://127.0.0.1:${peer}`;
  return run(restore, [
    "snapshot",
    "restore",
    file,
    `--data-dir=${dataDir}`,
    "--name=m1",
    `--initial-cluster=m1=${url}`,
    `--initial-advertise-peer-urls=${url}`,
  ]);
}

function run(program: Program, args: readonly string[]): Promise<ToolResult> {
  return runTool(program.file, [...program.args, ...args], { env: { ETCDCTL_API: "3" } });
}

function ctl(args: readonly string[]): Promise<ToolResult> {
  return run({ file: etcdctl as string, args: [] }, args);
}

function connect(t: TestContext, member: Member): EtcdClient {
  const client = new EtcdClient(member.address);
  t.after(() => client.close());
  return client;
}
