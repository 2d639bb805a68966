/** etcdutl on files of ours and of a real etcd: what is restored answers as what was saved, and what is damaged is refused. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import {
  memberUnderTest,
  type Program,
  PROJECT_ROOT,
  referenceMember,
  skipWithout,
} from "../support/binaries.ts";
import { type Member, startMember } from "../support/member.ts";
import { freePorts } from "../support/ports.ts";
import { runTool, type ToolResult } from "../support/run-tool.ts";
import { memoryDir } from "../support/temp-dir.ts";

const reference = referenceMember();
const noReference = skipWithout("etcd", reference) ?? false;

function tool(name: "etcdctl" | "etcdutl", args: readonly string[]): Promise<ToolResult> {
  return runTool(process.execPath, [join(PROJECT_ROOT, "bin", name), ...args]);
}

async function ok(name: "etcdctl" | "etcdutl", args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await tool(name, args);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** Keys that were changed, deleted, compacted and attached to a lease; then a snapshot of it all. */
async function fillAndSave(member: Member, path: string): Promise<void> {
  const at = ["--endpoints", member.address];
  for (let i = 0; i < 4; i++) await ok("etcdctl", [...at, "put", `key${i % 3}`, `value ${i}`]);
  await ok("etcdctl", [...at, "del", "key1"]);
  const lease = (await ok("etcdctl", [...at, "lease", "grant", "1000"])).split(" ")[1];
  await ok("etcdctl", [...at, "put", "--lease", lease, "leased", "x"]);
  await ok("etcdctl", [...at, "compaction", "4"]);
  await ok("etcdctl", [...at, "snapshot", "save", path]);
}

/** What a member answers about its data: revision and keys, hash, leases. An etcd before 3.6 does not say what revision the hash is of. */
async function describe(member: Member): Promise<string[]> {
  const at = ["--endpoints", member.address];
  const keys = await ok("etcdctl", [...at, "get", "", "--prefix", "-w", "json"]);
  const hash = await ok("etcdctl", [...at, "endpoint", "hashkv"]);
  const leases = await ok("etcdctl", [...at, "lease", "list"]);
  return [keys.replace(/^\{"header":\{[^}]*"revision":(\d+)[^}]*\}/, "$1"), hash.split(", ")[1], leases];
}

/** Restores to a new folder, and starts a member of it. */
async function restoreAndStart(
  t: TestContext,
  snapshot: string,
  flags: readonly string[] = [],
): Promise<Member> {
  const dataDir = join(memoryDir(t), "data");
  const [client, peer] = await freePorts(2);
  const url = `http://127.0.0.1:${peer}`;
  const cluster = ["--initial-cluster", `m1=${url}`, "--initial-advertise-peer-urls", url];
  await ok("etcdutl", [
    "snapshot",
    "restore",
    snapshot,
    "--data-dir",
    dataDir,
    "--name",
    "m1",
    ...cluster,
    ...flags,
  ]);
  return startMember(t, { dataDir, ports: { client, peer } });
}

for (const [whose, program, skip] of [
  ["ours", memberUnderTest(), false],
  ["a real etcd's", reference, noReference],
] as const) {
  test(`a snapshot of ${whose} is restored with everything in it`, { skip, timeout: 120_000 }, async (t) => {
    const folder = memoryDir(t);
    const snapshot = join(folder, "snapshot.db");
    const member = await startMember(t, { dataDir: join(folder, "data"), program: program as Program });
    await fillAndSave(member, snapshot);
    const saved = await describe(member);
    await member.stop();
    const revision = saved[0].split(",")[0];
    const offline = await ok("etcdutl", ["hashkv", snapshot]);
    assert.equal(offline, `${saved[1]}, ${revision}, 4\n`);
    assert.match(
      await ok("etcdutl", ["snapshot", "status", snapshot]),
      new RegExp(`^[0-9a-f]+, ${revision}, 3, `),
    );
    const restored = await restoreAndStart(t, snapshot);
    assert.deepEqual(await describe(restored), saved);
    await restored.stop();
    const database = join(restored.options.dataDir, "member/snap/db");
    assert.equal(await ok("etcdutl", ["hashkv", database]), offline);
    await ok("etcdutl", ["defrag", "--data-dir", restored.options.dataDir]);
    assert.equal(await ok("etcdutl", ["hashkv", database]), offline);
  });
}

test("a restored revision can be moved on, with everything before marked as compacted", async (t) => {
  const folder = memoryDir(t);
  const snapshot = join(folder, "snapshot.db");
  const member = await startMember(t, { dataDir: join(folder, "data") });
  await fillAndSave(member, snapshot);
  const revision = Number((await describe(member))[0].split(",")[0]);
  await member.stop();
  const restored = await restoreAndStart(t, snapshot, ["--bump-revision", "1000", "--mark-compacted"]);
  const at = ["--endpoints", restored.address];
  const newest = revision + 1000;
  assert.equal((await describe(restored))[0].split(",")[0], String(newest));
  const old = await tool("etcdctl", [...at, "get", "key0", "--rev", String(newest - 1)]);
  assert.match(old.stderr, /Error: etcdserver: mvcc: required revision has been compacted\n$/);
  assert.equal(await ok("etcdctl", [...at, "get", "key0"]), "key0\nvalue 3\n");
  assert.match(
    await ok("etcdctl", [...at, "put", "key0", "new", "-w", "fields"]),
    new RegExp(`"Revision" : ${newest + 1}\n`),
  );
});

test("damaged snapshots are refused by status and restore, and nothing is left behind", async (t) => {
  const folder = memoryDir(t);
  const [snapshot, bad, target] = ["good.db", "bad.db", "restored"].map((name) => join(folder, name));
  const member = await startMember(t, { dataDir: join(folder, "data") });
  await fillAndSave(member, snapshot);
  await member.stop();
  const good = readFileSync(snapshot);
  const flipped = Buffer.from(good);
  flipped[good.length >> 1] ^= 1;
  const cases: [Buffer, RegExp][] = [
    [flipped, /has SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}\n$/],
    [good.subarray(0, good.length - 1), /is cut short/],
    [good.subarray(0, good.length - 5000), /is (cut short|truncated)/],
    [Buffer.from("no snapshot at all"), /is not a database of etcd, or damaged/],
  ];
  for (const [bytes, problem] of cases) {
    writeFileSync(bad, bytes);
    for (const args of [
      ["status", bad],
      ["restore", bad, "--data-dir", target],
    ]) {
      const { code, stdout, stderr } = await tool("etcdutl", ["snapshot", ...args]);
      assert.match(stderr, problem);
      assert.deepEqual({ code, stdout, made: existsSync(target) }, { code: 1, stdout: "", made: false });
    }
  }
  // Without its SHA-256 it may be a member's own file.
  writeFileSync(bad, good.subarray(0, good.length - 32));
  const restore = ["snapshot", "restore", bad, "--data-dir", target];
  assert.match(
    (await tool("etcdutl", restore)).stderr,
    /Error: snapshot missing hash but --skip-hash-check=false\n$/,
  );
  await ok("etcdutl", [...restore, "--skip-hash-check"]);
  assert.match((await tool("etcdutl", restore)).stderr, /data-dir ".*" not empty or could not be read\n$/);
});

test("restore checks its flags as the start of a member does", async (t) => {
  const folder = memoryDir(t);
  const file = join(folder, "x");
  copyFileSync(join(PROJECT_ROOT, "package.json"), file);
  const cases: [string[], number, string][] = [
    [[], 128, "snapshot restore requires exactly one argument"],
    [[file, "--bump-revision", "1"], 128, "--mark-compacted required if --revision-bump > 0"],
    [[file, "--mark-compacted"], 128, "--mark-compacted required if --revision-bump > 0"],
    [[file, "--name", "x"], 1, `couldn't find local name "x" in the initial cluster configuration`],
  ];
  for (const [args, code, problem] of cases) {
    const result = await tool("etcdutl", ["snapshot", "restore", ...args, "--data-dir", join(folder, "d")]);
    assert.deepEqual([result.code, result.stderr], [code, `Error: ${problem}\n`]);
  }
});
