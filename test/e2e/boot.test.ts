/**
 * Starting and stopping: what does not fit together is refused with a clear error and without a trace in the data, and a member
 * that fails ends, with the thread and the cause as the last line of its log and exit code 1.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Cluster, KV } from "../../src/proto/gen/rpc_pb.ts";
import { testsOurMember } from "../support/binaries.ts";
import { EtcdClient, withClient } from "../support/etcd-client.ts";
import { folderHash } from "../support/folder-hash.ts";
import { launchMember, startMember, type Member } from "../support/member.ts";
import { memoryDir } from "../support/temp-dir.ts";
import { waitFor } from "../support/wait.ts";

const TEST_MS = 60_000;
const DATABASE = "member/snap/db";
const LOCK_FILES = /lock/;
const options = { timeout: TEST_MS, skip: testsOurMember() ? false : "etcd words its refusals differently" };

describe("starting and stopping", { concurrency: 2 }, () => {
  for (const [name, args, cause] of [
    [
      "two members under one URL",
      ["--initial-cluster", "m1=http://127.0.0.1:1,m2=http://127.0.0.1:1"],
      /initial cluster .* has duplicate url/,
    ],
    [
      "other URLs than those advertised",
      ["--initial-cluster", "m1=http://127.0.0.1:1,m2=http://127.0.0.1:2"],
      /--initial-cluster has m1=http:\/\/127.0.0.1:1 but missing from --initial-advertise-peer-urls=.* \(resolved urls: /,
    ],
    [
      "a cluster to join that does not answer",
      [
        "--initial-cluster-state=existing",
        "--initial-advertise-peer-urls=http://127.0.0.1:1",
        "--initial-cluster=m1=http://127.0.0.1:1,m2=http://127.0.0.1:2",
      ],
      /cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs/,
    ],
    [
      "a cluster without this member",
      ["--initial-cluster", "m2=http://127.0.0.1:2"],
      /couldn't find local name \\"m1\\"/,
    ],
    [
      "a domain without records",
      ["--initial-cluster=", "--discovery-srv", "no.such.domain.invalid"],
      /error querying DNS SRV records for _etcd-server-ssl /,
    ],
    [
      "the old discovery service",
      ["--initial-cluster=", "--discovery", "http://127.0.0.1:1/token"],
      /v2 discovery service .* not supported/,
    ],
  ] as const) {
    test(`a first start is refused: ${name}`, options, async (t) => {
      const dataDir = join(memoryDir(t), "data");
      await assertRefused(await launchMember(t, { dataDir, args }), cause);
      assert.ok(!existsSync(dataDir), "the data directory was created");
    });
  }

  test(
    "a member that has a log ignores the flags of the first start, and keeps its ids",
    options,
    async (t) => {
      const dataDir = memoryDir(t);
      const first = await startMember(t, { dataDir });
      await put(first, "key");
      const ids = await memberIds(first);
      await first.stop();
      const args = [
        "--name",
        "m9",
        "--initial-cluster",
        "m9=http://127.0.0.1:1,m2=http://127.0.0.1:2",
        "--initial-advertise-peer-urls",
        "http://127.0.0.1:1",
        "--initial-cluster-state",
        "existing",
      ];
      const again = await startMember(t, { dataDir, args });
      assert.deepEqual(await memberIds(again), { ...ids, name: "m9" });
      assert.equal(await countKeys(again), 1);
    },
  );

  test(
    "an address in use ends the start, names the address and leaves the data alone",
    options,
    async (t) => {
      const dataDir = memoryDir(t);
      await (await startMember(t, { dataDir })).stop();
      const before = folderHash(dataDir, LOCK_FILES);
      const taken = createServer();
      await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
      t.after(() => taken.close());
      const { port } = taken.address() as { port: number };
      for (const args of [[], ["--listen-metrics-urls", `http://127.0.0.1:${port}`]]) {
        const ports = args.length === 0 ? { ports: { client: port, peer: 1 } } : {};
        const member = await launchMember(t, { dataDir, args, ...ports });
        await assertRefused(member, new RegExp(`EADDRINUSE: address already in use 127.0.0.1:${port}`));
      }
      assert.equal(folderHash(dataDir, LOCK_FILES), before);
    },
  );

  for (const [flag, url] of [
    ["--listen-client-urls", "https://127.0.0.1:1"],
    ["--listen-metrics-urls", "https://127.0.0.1:1"],
    ["--listen-peer-urls", "unixs://127.0.0.1:1"],
  ] as const) {
    test(`${flag}=${url} is refused, not served in clear`, options, async (t) => {
      const dataDir = join(memoryDir(t), "data");
      const args = [flag, url, "--auto-tls", "--peer-auto-tls"];
      const refusal = new RegExp(`cannot listen on ${url}: TLS is not supported yet`);
      await assertRefused(await launchMember(t, { dataDir, args }), refusal);
      assert.ok(!existsSync(dataDir), "the data directory was created");
    });
  }

  test("a data directory, or a log elsewhere, has one member at a time", options, async (t) => {
    const dataDir = memoryDir(t);
    const walDir = join(memoryDir(t, "wal"), "log");
    const args = ["--wal-dir", walDir];
    const first = await startMember(t, { dataDir, args });
    await put(first, "key");
    await assertRefused(
      await launchMember(t, { dataDir, args }),
      new RegExp(`data directory ${dataDir} is in use by another member`),
    );
    const other = memoryDir(t);
    await (await startMember(t, { dataDir: other })).stop();
    await assertRefused(
      await launchMember(t, { dataDir: other, args }),
      new RegExp(`${walDir} is in use by another member`),
    );
    await first.kill();
    assert.deepEqual(readdirSync(join(dataDir, "member/wal")), []);
    assert.equal(await countKeys(await startMember(t, { dataDir, args })), 1);
  });

  test("a log without its database is refused, and so is a database without its log", options, async (t) => {
    const dataDir = memoryDir(t);
    await (await startMember(t, { dataDir })).kill();
    const database = join(dataDir, DATABASE);
    const kept = join(memoryDir(t), "db");
    copyFileSync(database, kept);
    for (const damage of [() => rmSync(database), () => writeFileSync(database, "")]) {
      damage();
      const before = folderHash(dataDir, LOCK_FILES);
      await assertRefused(
        await launchMember(t, { dataDir }),
        /database file \(.*\/member\/snap\/db\) of the backend is missing/,
      );
      assert.equal(folderHash(dataDir, LOCK_FILES), before);
    }
    copyFileSync(kept, database);
    await (await startMember(t, { dataDir })).stop();
    rmSync(join(dataDir, "member/wal"), { recursive: true });
    await assertRefused(
      await launchMember(t, { dataDir }),
      /holds entries up to \d+, but there is no log in .*\/member\/wal/,
    );
  });

  test("a thread that dies ends the member with its name and the cause", options, async (t) => {
    const dataDir = memoryDir(t);
    const member = await startMember(t, { dataDir });
    const client = new EtcdClient(member.address);
    t.after(() => client.close());
    // Writes go on, so that the database has a transaction open when the log fails.
    const writes = async (): Promise<void> => {
      for (;;) await client.call(KV.method.put, { key: Buffer.from("key"), value: Buffer.alloc(5000) });
    };
    const ended = Promise.allSettled([writes(), writes()]);
    await waitFor("a few writes", 10_000, async () => ((await countKeys(member)) > 0 ? true : undefined));
    // Not a synchronous spawn: the writes must go on.
    spawn("prlimit", [`--pid=${member.pid}`, "--fsize=8192"], { stdio: "inherit" });
    assert.deepEqual(await member.ended(), { code: 1, signal: null });
    assert.match(
      member.log,
      /"level":"fatal".*"the member has failed".*thread (raft|storage).*(EFBIG|File too large)/,
    );
    await ended;
  });

  test("two signals in a row, and one during the start, end the member", options, async (t) => {
    const dataDir = memoryDir(t);
    const member = await startMember(t, { dataDir });
    await put(member, "key");
    member.process.kill("SIGTERM");
    member.process.kill("SIGTERM");
    await member.ended();
    const starting = await launchMember(t, { dataDir });
    await waitFor("the first line of the log", 10_000, () => (starting.log.length > 0 ? true : undefined));
    starting.process.kill("SIGTERM");
    const { code, signal } = await starting.ended();
    assert.ok(code === 0 || signal === "SIGTERM", `${code} ${signal}\n${starting.log}`);
    assert.equal(await countKeys(await startMember(t, { dataDir })), 1);
  });
});

/** The member ends by itself with code 1, and says why. */
async function assertRefused(member: Member, cause: RegExp): Promise<void> {
  const { code, signal } = await member.ended();
  assert.deepEqual({ code, signal }, { code: 1, signal: null }, member.log.slice(-3000));
  const last = member.log.trimEnd().split("\n").at(-1) as string;
  assert.match(last, /"level":"fatal"/);
  assert.match(last, cause);
}

function put(member: Member, key: string): Promise<unknown> {
  return withClient(member, (client) =>
    client.call(KV.method.put, { key: Buffer.from(key), value: Buffer.from("value") }),
  );
}

function countKeys(member: Member): Promise<number> {
  const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0), countOnly: true };
  return withClient(member, async (client) => Number((await client.call(KV.method.range, everything)).count));
}

function memberIds(member: Member): Promise<{ memberId: bigint; clusterId: bigint; name: string }> {
  return withClient(member, async (client) => {
    const { header, members } = await client.call(Cluster.method.memberList, {});
    const [only] = members;
    assert.ok(
      header !== undefined && only !== undefined && members.length === 1 && only.ID === header.memberId,
    );
    return { memberId: header.memberId, clusterId: header.clusterId, name: only.name };
  });
}
