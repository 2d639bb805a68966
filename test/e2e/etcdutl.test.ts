/** etcdutl on files of ours and of a real etcd: what is restored answers as what was saved, and what is damaged is refused. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test, type TestContext } from "node:test";
import { KV, Lease } from "../../src/proto/gen/rpc_pb.ts";
import {
  memberUnderTest,
  type Program,
  PROJECT_ROOT,
  referenceMember,
  skipWithout,
} from "../support/binaries.ts";
import { withClient } from "../support/etcd-client.ts";
import { type Member, startMember } from "../support/member.ts";
import { freePorts } from "../support/ports.ts";
import { runTool, type ToolResult } from "../support/run-tool.ts";
import { type Cleanup, memoryDir } from "../support/temp-dir.ts";

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

/** A snapshot, and what the member that it was taken of answered about its data. */
interface Saved {
  readonly snapshot: string;
  readonly answers: readonly string[];
}

/** A snapshot of keys that were changed, deleted, compacted and attached to a lease. The member has stopped. */
async function save(t: Cleanup, program: Program): Promise<Saved> {
  const folder = memoryDir(t);
  const snapshot = join(folder, "snapshot.db");
  const member = await startMember(t, { dataDir: join(folder, "data"), program });
  await withClient(member, async (client) => {
    const put = (key: string, value: string, lease = 0n): Promise<unknown> =>
      client.call(KV.method.put, { key: Buffer.from(key), value: Buffer.from(value), lease });
    for (let i = 0; i < 4; i++) await put(`key${i % 3}`, `value ${i}`);
    await client.call(KV.method.deleteRange, { key: Buffer.from("key1") });
    const { ID } = await client.call(Lease.method.leaseGrant, { TTL: 1000n });
    await put("leased", "x", ID);
    await client.call(KV.method.compact, { revision: 4n });
  });
  await ok("etcdctl", ["--endpoints", member.address, "snapshot", "save", snapshot]);
  const answers = await contents(member);
  await member.stop();
  return { snapshot, answers };
}

/** What a member answers about its data: revision and keys, hash, leases. An etcd before 3.6 does not say what revision the hash is of. */
async function contents(member: Member): Promise<string[]> {
  const at = ["--endpoints", member.address];
  const [keys, hash, leases] = await Promise.all([
    ok("etcdctl", [...at, "get", "", "--prefix", "-w", "json"]),
    ok("etcdctl", [...at, "endpoint", "hashkv"]),
    ok("etcdctl", [...at, "lease", "list"]),
  ]);
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
  const { code, stderr } = await tool("etcdutl", [
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
  assert.equal(code, 0, stderr);
  const added = stderr.split("\n").filter((line) => line.includes("\tadded member\t"));
  assert.equal(added.length, 1, stderr);
  assert.ok(added[0].includes(`"added-peer-peer-urls":["${url}"]`), added[0]);
  return startMember(t, { dataDir, ports: { client, peer } });
}

describe("etcdutl", { concurrency: 2 }, () => {
  let ours: Saved;
  const ends: (() => unknown)[] = [];
  before(async () => (ours = await save({ after: (end) => ends.push(end) }, memberUnderTest())));
  after(async () => {
    for (const end of ends) await end();
  });

  for (const [whose, saved, skip] of [
    ["ours", () => ours, false],
    ["a real etcd's", (t: Cleanup) => save(t, reference as Program), noReference],
  ] as const) {
    test(
      `a snapshot of ${whose} is restored with everything in it`,
      { skip, timeout: 120_000 },
      async (t) => {
        const { snapshot, answers } = await saved(t);
        const revision = answers[0].split(",")[0];
        const offline = await ok("etcdutl", ["hashkv", snapshot]);
        assert.equal(offline, `${answers[1]}, ${revision}, 4\n`);
        assert.match(
          await ok("etcdutl", ["snapshot", "status", snapshot]),
          new RegExp(`^[0-9a-f]+, ${revision}, 3, `),
        );
        const restored = await restoreAndStart(t, snapshot);
        assert.deepEqual(await contents(restored), answers);
        await restored.stop();
        const database = join(restored.options.dataDir, "member/snap/db");
        assert.equal(await ok("etcdutl", ["hashkv", database]), offline);
        await ok("etcdutl", ["defrag", "--data-dir", restored.options.dataDir]);
        assert.equal(await ok("etcdutl", ["hashkv", database]), offline);
      },
    );
  }

  test("a restored revision can be moved on, with everything before marked as compacted", async (t) => {
    const revision = Number(ours.answers[0].split(",")[0]);
    const restored = await restoreAndStart(t, ours.snapshot, ["--bump-revision", "1000", "--mark-compacted"]);
    const at = ["--endpoints", restored.address];
    const newest = revision + 1000;
    assert.equal((await contents(restored))[0].split(",")[0], String(newest));
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
    const [bad, target] = ["bad.db", "restored"].map((name) => join(folder, name));
    const good = readFileSync(ours.snapshot);
    const flipped = Buffer.from(good);
    flipped[good.length >> 1] ^= 1;
    const cases: [Buffer, RegExp][] = [
      [flipped, /^Error: expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}: snapshot file \S+\n$/],
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
});
