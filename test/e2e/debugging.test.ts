/** What helps to find a fault in a running member: profiles of all its threads, and the level of its log. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

import { KV, Watch } from "../../src/proto/gen/rpc_pb.ts";
import type { MemberMemory } from "../../src/server/http/pprof.ts";
import { PROJECT_ROOT } from "../support/binaries.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { startMember } from "../support/member.ts";
import { memoryDir } from "../support/temp-dir.ts";
import { waitFor } from "../support/wait.ts";

const THREADS = ["main", "raft", "apply", "storage", "watch"];

interface CpuProfile {
  readonly nodes: readonly { readonly callFrame: { readonly functionName: string; readonly url: string } }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** The first line of a put as it was answered, and as it was applied. */
function slowLines(log: string): Record<"stats" | "apply", Record<string, unknown>> {
  const find = (...parts: string[]): Record<string, unknown> => {
    const line = log.split("\n").find((text) => parts.every((part) => text.includes(part)));
    return JSON.parse(line ?? "{}") as Record<string, unknown>;
  };
  return {
    stats: find('"request stats"', "KV/Put"),
    apply: find('"apply request took too long"', "put:<"),
  };
}

test("CPU profiles of all threads, those too that sleep in Atomics.wait; a heap snapshot; the log's level", async (t) => {
  const member = await startMember(t, {
    dataDir: memoryDir(t, "debugging"),
    // In a build the names of files are a thread's.
    program: { file: process.execPath, args: [join(PROJECT_ROOT, "src/cli/etcd/etcd.ts")] },
    // Everything is slow.
    args: ["--enable-pprof", "--warning-unary-request-duration=1ns", "--warning-apply-duration=1ns"],
  });
  const base = `${member.clientUrl}/debug/pprof/`;
  const client = new EtcdClient(member.address);
  t.after(() => client.close());
  // The watch thread is there once somebody watches.
  let created = false;
  const watch = client.stream(Watch.method.watch, () => (created = true));
  watch.send({
    requestUnion: { case: "createRequest", value: { key: new TextEncoder().encode("watched") } },
  });
  await waitFor("the watch", 5000, () => created || undefined);
  const value = new Uint8Array(1000);
  const profiled = new AbortController();
  const load = (async (): Promise<void> => {
    for (let i = 0; !profiled.signal.aborted; i++) {
      const key = new TextEncoder().encode(`k${i % 50}`);
      await Promise.all(Array.from({ length: 20 }, () => client.call(KV.method.put, { key, value })));
    }
  })();
  await waitFor("lines of slow requests", 5000, () => member.log.includes('"request stats"') || undefined);
  const archive = Buffer.from(await (await fetch(`${base}profile?seconds=1`)).arrayBuffer());
  profiled.abort();
  await load;
  const untar = (...args: string[]): string => {
    return spawnSync("tar", args, { input: archive, maxBuffer: 2 ** 28 }).stdout.toString();
  };
  assert.deepEqual(
    untar("t").trim().split("\n"),
    THREADS.map((name) => `${name}.cpuprofile`),
  );
  for (const name of THREADS) {
    const profile = JSON.parse(untar("xO", `${name}.cpuprofile`)) as CpuProfile;
    assert.equal(profile.samples.length, profile.timeDeltas.length, name);
    const urls = profile.nodes.map(({ callFrame }) => callFrame.url);
    const own = name === "main" ? "native-connection.ts" : `workers/`;
    assert.ok(
      urls.some((url) => url.includes(own)),
      `${name}: nothing of its own in ${[...new Set(urls)].join(" ")}`,
    );
  }
  const sleeping = (await (await fetch(`${base}heap?thread=watch`)).json()) as {
    snapshot: { node_count: number };
  };
  assert.ok(sleeping.snapshot.node_count > 1000);

  const memoryOf = async (query: string): Promise<MemberMemory> => {
    return (await (await fetch(`${base}memory${query}`)).json()) as MemberMemory;
  };
  const before = await memoryOf("");
  const collected = await memoryOf("?gc=1");
  assert.deepEqual(Object.keys(collected.threads), THREADS);
  const heapOf = ({ threads }: MemberMemory): number =>
    Object.values(threads).reduce((sum, { heapUsed }) => sum + heapUsed, 0);
  assert.ok(heapOf(collected) < heapOf(before), "the load has left garbage");

  const { stats, apply } = slowLines(member.log);
  const { "request content": content, "response size": responseSize } = stats;
  assert.match(String(content), /^key:"k\d+" value_size:1000 $/);
  assert.ok(Number(responseSize) > 10, String(responseSize));
  assert.match(String(apply["request"]), /^header:<ID:\d+ > put:<key:"k\d+" value_size:1000 >$/);
  assert.deepEqual([apply["expected-duration"], apply["prefix"]], ["1ns", ""]);

  const toggled = (): number => member.log.split('"the log level was changed"').length - 1;
  member.process.kill("SIGUSR2");
  await waitFor("the first change", 5000, () => toggled() === 1 || undefined);
  const level = await (await fetch(`${member.clientUrl}/config/local/log`)).text();
  assert.equal(level, '{"Level":"debug"}');
  member.process.kill("SIGUSR2");
  await waitFor("the second change", 5000, () => toggled() === 2 || undefined);
  assert.equal(await (await fetch(`${member.clientUrl}/config/local/log`)).text(), '{"Level":"info"}');
});
