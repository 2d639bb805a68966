/**
 * Real clients over longer calls: npm etcd3's watches and leases over a restart and a loss, and Debian's etcdctl with elections,
 * alarms, mirrors, defragmentation and hashes. What one call shows is in `watch.test.ts`, `leases.test.ts` and `clients.test.ts`.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { describe, test, type TestContext } from "node:test";
import { Etcd3 } from "etcd3";
import { findOnPath, referenceMember, skipWithout, testsOurMember } from "../support/binaries.ts";
import { restartMember, startMember, type Member } from "../support/member.ts";
import { runTool, type ToolResult } from "../support/run-tool.ts";
import { memoryDir } from "../support/temp-dir.ts";
import { waitFor } from "../support/wait.ts";

const WAIT_MS = 20_000;
const QUOTA_BYTES = 8 * 1024 * 1024;
const VALUE_BYTES = 1024 * 1024;
// Far more than fit.
const PUTS_MAX = 20;

const etcdctl = findOnPath("etcdctl");
const reference = referenceMember();
const noEtcdctl = skipWithout("etcdctl", etcdctl) ?? false;
const noEtcd = skipWithout("etcd and etcdctl", reference && etcdctl) ?? false;
/** Between a watch's attempts to come back. etcd3's own pauses grow to half a minute, and hold the process up behind its tests. */
const SHORT_PAUSES = { duration: 50, next: () => SHORT_PAUSES };
const ENV = { ETCDCTL_API: "3" };

describe("longer calls", { concurrency: 2 }, () => {
  test("npm etcd3: a watcher goes on where it was after a kill", { timeout: 60_000 }, async (t) => {
    let member = await startMember(t, { dataDir: memoryDir(t) });
    const client = connect(t, member);
    const seen: string[] = [];
    const watcher = await client.watch().prefix("w/").create();
    watcher.on("put", ({ key, value }) => seen.push(`${key.toString()}=${value.toString()}`));
    watcher.on("delete", ({ key }) => seen.push(`${key.toString()} deleted`));
    await client.put("w/a").value("1");
    await waitFor("the first event", WAIT_MS, () => (seen.length === 1 ? true : undefined));
    await member.kill();
    member = await restartMember(t, member);
    // By another client: the first one may still be on its way back.
    const other = connect(t, member);
    await other.put("w/b").value("2");
    await other.delete().key("w/a");
    await waitFor("the events after the kill", WAIT_MS, () => (seen.length >= 3 ? true : undefined));
    await other.put("w/end").value("");
    await waitFor("the last event", WAIT_MS, () => (seen.includes("w/end=") ? true : undefined));
    assert.deepEqual(seen, ["w/a=1", "w/b=2", "w/a deleted", "w/end="]);
    await watcher.cancel();
  });

  test(
    "npm etcd3: a lease is kept alive over a kill, and its loss is told",
    { timeout: 60_000 },
    async (t) => {
      let member = await startMember(t, { dataDir: memoryDir(t) });
      const client = connect(t, member);
      const lease = client.lease(3);
      let lost = false;
      let renewals = 0;
      lease.on("lost", () => (lost = true));
      lease.on("keepaliveSucceeded", () => renewals++);
      await lease.put("leased").value("v");
      const id = await lease.grant();
      await waitFor("a renewal", WAIT_MS, () => (renewals > 0 ? true : undefined));
      await member.kill();
      member = await restartMember(t, member);
      const renewed = renewals;
      await waitFor("renewals after the kill", WAIT_MS, () => (renewals > renewed + 2 ? true : undefined));
      const other = connect(t, member);
      assert.equal(await other.get("leased").string(), "v");
      assert.equal(lost, false);
      await other.leaseClient.leaseRevoke({ ID: id });
      await waitFor("the loss", WAIT_MS, () => (lost ? true : undefined));
      assert.equal(await other.get("leased").string(), null);
    },
  );

  test(
    "etcdctl: elect, and lease keep-alive until it is revoked",
    { skip: noEtcdctl, timeout: 60_000 },
    async (t) => {
      const member = await startMember(t, { dataDir: memoryDir(t) });
      const listener = start(t, member, ["elect", "chief", "--listen"]);
      const one = start(t, member, ["elect", "chief", "one"]);
      await one.shows(/^chief\/[0-9a-f]+\none\n$/);
      const two = start(t, member, ["elect", "chief", "two"]);
      one.process.kill("SIGINT");
      await two.shows(/^chief\/[0-9a-f]+\ntwo\n$/);
      await listener.shows(/chief\/[0-9a-f]+\none\n(chief\/[0-9a-f]+\n)?.*two\n/s);
      const [, id = ""] = /^lease ([0-9a-f]+) granted/.exec(await ctl(member, ["lease", "grant", "3"])) ?? [];
      const keeper = start(t, member, ["lease", "keep-alive", id]);
      await keeper.shows(new RegExp(`^(lease ${id} keepalived with TTL\\(3\\)\n){3,}$`));
      await ctl(member, ["lease", "revoke", id]);
      await keeper.shows(new RegExp(`lease ${id} expired or revoked.\n$`));
    },
  );

  test("etcdctl: a full database, and the way out of it", { skip: noEtcdctl, timeout: 60_000 }, async (t) => {
    // As with etcd, the alarm stays until somebody takes it away; ours would do that itself otherwise.
    const stays = testsOurMember() ? ["--quota-auto-disarm=false"] : [];
    const args = [`--quota-backend-bytes=${QUOTA_BYTES}`, ...stays];
    const member = await startMember(t, { dataDir: memoryDir(t), args });
    const value = "x".repeat(VALUE_BYTES);
    let full: ToolResult | undefined;
    for (let i = 0; i < PUTS_MAX && full === undefined; i++) {
      const result = await ctlResult(member, ["put", "large"], value);
      if (result.code !== 0) full = result;
    }
    assert.match(full?.stderr ?? "", /etcdserver: mvcc: database space exceeded/);
    assert.match(await ctl(member, ["alarm", "list"]), /^memberID:\d+ alarm:NOSPACE \n$/);
    await assert.doesNotReject(ctl(member, ["get", "large", "--keys-only"]));
    const { header } = JSON.parse(await ctl(member, ["get", "none", "-w", "json"])) as {
      header: { revision: number };
    };
    await ctl(member, ["compaction", "--physical", `${header.revision}`]);
    assert.match(await ctl(member, ["defrag"]), /^Finished defragmenting etcd member\[/);
    assert.match(await ctl(member, ["alarm", "disarm"]), /^memberID:\d+ alarm:NOSPACE \n$/);
    assert.equal(await ctl(member, ["alarm", "list"]), "");
    assert.equal(await ctl(member, ["put", "large"], value), "OK\n");
  });

  test(
    "etcdctl: make-mirror to a real etcd and back, equal hashes",
    { skip: noEtcd, timeout: 60_000 },
    async (t) => {
      const [ours, theirs] = await Promise.all([
        startMember(t, { dataDir: memoryDir(t) }),
        startMember(t, { program: reference as NonNullable<typeof reference>, dataDir: memoryDir(t) }),
      ]);
      for (let i = 0; i < 50; i++) await ctl(ours, ["put", `m/${i % 20}`, `${i}`]);
      start(t, ours, ["make-mirror", theirs.address]);
      await waitFor("the keys that were there", WAIT_MS, async () =>
        (await ctl(theirs, ["get", "m/19"])) === "m/19\n39\n" ? true : undefined,
      );
      await ctl(ours, ["put", "m/later", "1"]);
      await ctl(ours, ["del", "m/3"]);
      await ctl(ours, ["put", "m/end", ""]);
      const all = ["get", "m/", "--prefix"];
      const expected = await ctl(ours, all);
      await waitFor("the changes", WAIT_MS, async () =>
        (await ctl(theirs, all)) === expected ? true : undefined,
      );
      // The same history on both gives the same hash.
      const [left, right] = await Promise.all([
        startMember(t, { dataDir: memoryDir(t) }),
        startMember(t, { program: reference as NonNullable<typeof reference>, dataDir: memoryDir(t) }),
      ]);
      for (const member of [left, right])
        for (let i = 0; i < 20; i++)
          await ctl(member, i % 4 === 3 ? ["del", `h/${i - 1}`] : ["put", `h/${i}`, `${i}`]);
      const hash = async (member: Member): Promise<string> =>
        (await ctl(member, ["endpoint", "hashkv"])).trim().split(", ")[1] ?? "none";
      assert.equal(await hash(left), await hash(right));
    },
  );
});

function connect(t: TestContext, member: Member): Etcd3 {
  const client = new Etcd3({ hosts: member.clientUrl, faultHandling: { watchBackoff: SHORT_PAUSES } });
  t.after(() => client.close());
  return client;
}

/** A running etcdctl and what it has printed. */
class Running {
  readonly process: ChildProcess;
  #output = "";

  constructor(process: ChildProcess) {
    this.process = process;
    for (const stream of [process.stdout, process.stderr])
      stream?.setEncoding("utf8").on("data", (chunk: string) => (this.#output += chunk));
  }

  async shows(pattern: RegExp): Promise<void> {
    await waitFor(`${pattern}`, WAIT_MS, () => (pattern.test(this.#output) ? true : undefined)).catch(
      (error) => {
        throw new Error(`${this.process.spawnargs.join(" ")} printed ${JSON.stringify(this.#output)}`, {
          cause: error,
        });
      },
    );
  }
}

function start(t: TestContext, member: Member, args: readonly string[]): Running {
  const child = spawn(etcdctl as string, [`--endpoints=${member.address}`, ...args], {
    env: { ...process.env, ...ENV },
  });
  t.after(() => child.kill("SIGKILL"));
  return new Running(child);
}

/** Runs etcdctl against the member; fails if it does. */
async function ctl(member: Member, args: readonly string[], input?: string): Promise<string> {
  const result = await ctlResult(member, args, input);
  assert.equal(result.code, 0, `etcdctl ${args.join(" ")}: ${result.stderr}`);
  return result.stdout;
}

function ctlResult(member: Member, args: readonly string[], input = ""): Promise<ToolResult> {
  return runTool(etcdctl as string, [`--endpoints=${member.address}`, ...args], { env: ENV, input });
}
