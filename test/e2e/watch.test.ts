/** Watches of real clients on a real member: what they see, in which order, and what their churn leaves behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test, type TestContext } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Etcd3 } from "etcd3";
import { KV, Watch, type WatchCreateRequestSchema, type WatchResponse } from "../../src/proto/gen/rpc_pb.ts";
import { findOnPath, skipWithout } from "../support/binaries.ts";
import { type BidiStream, EtcdClient } from "../support/etcd-client.ts";
import { type Member, startMember } from "../support/member.ts";
import { rssBytes } from "../support/proc-stats.ts";
import { memoryDir } from "../support/temp-dir.ts";
import { waitFor } from "../support/wait.ts";

const WAIT_MS = 10_000;
const CHURN_ROUNDS = 30;
const CHURN_WATCHES = 500;
const CHURN_GROWTH_BYTES_MAX = 40 * 1024 * 1024;

const etcdctl = findOnPath("etcdctl");
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined): string => new TextDecoder().decode(value);

/** One Watch call and everything it has received. */
class WatchCall {
  readonly responses: WatchResponse[] = [];
  readonly stream: BidiStream<
    (typeof Watch)["method"]["watch"]["input"],
    (typeof Watch)["method"]["watch"]["output"]
  >;
  #taken = 0;

  constructor(client: EtcdClient) {
    this.stream = client.stream(Watch.method.watch, (response) => this.responses.push(response));
  }

  create(value: MessageInitShape<typeof WatchCreateRequestSchema>): void {
    this.stream.send({ requestUnion: { case: "createRequest", value } });
  }

  cancel(watchId: bigint): void {
    this.stream.send({ requestUnion: { case: "cancelRequest", value: { watchId } } });
  }

  progress(): void {
    this.stream.send({ requestUnion: { case: "progressRequest", value: {} } });
  }

  /** Forgets what was taken. */
  reset(): void {
    this.responses.length = 0;
    this.#taken = 0;
  }

  next(what: string): Promise<WatchResponse> {
    return waitFor(what, WAIT_MS, () => {
      const response = this.responses[this.#taken];
      if (response !== undefined) this.#taken++;
      return response;
    });
  }
}

async function withCall(
  t: TestContext,
  member: Member,
  use: (call: WatchCall, client: EtcdClient) => Promise<void>,
): Promise<void> {
  const client = new EtcdClient(member.address);
  t.after(() => client.close());
  const call = new WatchCall(client);
  await use(call, client);
  call.stream.cancel();
}

const put = async (client: EtcdClient, key: string, value: string): Promise<number> => {
  const { header } = await client.call(KV.method.put, { key: bytes(key), value: bytes(value) });
  return Number(header?.revision);
};

for (const [kind, dataDir] of [
  ["on disk", memoryDir],
  ["in memory", () => ":memory:"],
] as const) {
  test(`watches of a member ${kind}`, { timeout: 120_000 }, async (t) => {
    const member = await startMember(t, {
      dataDir: dataDir(t),
      args: ["--watch-progress-notify-interval=150ms"],
    });
    await t.test("created, then each event once", (s) => withCall(s, member, createdAndEvents));
    await t.test("past, present and compacted revisions", (s) => withCall(s, member, revisions));
    await t.test("ids and refusals", (s) => withCall(s, member, idsAndRefusals));
    await t.test("progress", (s) => withCall(s, member, progress));
    await t.test("fragments", (s) => withCall(s, member, fragments));
    await t.test("a client that stops reading gets everything later", (s) => withCall(s, member, slowReader));
    await t.test("npm etcd3's watcher", (s) => etcd3Watcher(s, member));
    const noEtcdctl = skipWithout("etcdctl", etcdctl) ?? false;
    await t.test("etcdctl watch", { skip: noEtcdctl }, () => etcdctlWatch(member));
    await t.test("creating and cancelling leaves nothing behind", (s) =>
      withCall(s, member, (c) => churn(c, member)),
    );
    const stopped = await member.stop();
    assert.equal(stopped.code, 0, member.log);
  });
}

async function createdAndEvents(call: WatchCall, client: EtcdClient): Promise<void> {
  const before = await put(client, "e/0", "before");
  call.create({ key: bytes("e/"), rangeEnd: bytes("e0"), prevKv: true });
  const created = await call.next("created");
  assert.equal(created.created, true);
  assert.equal(created.watchId, 0n);
  assert.equal(Number(created.header?.revision), before);
  await put(client, "e/1", "one");
  await put(client, "f", "not watched");
  const last = await put(client, "e/0", "after");
  await client.call(KV.method.deleteRange, { key: bytes("e/"), rangeEnd: bytes("e0") });
  const [first, second, third] = [await call.next("e/1"), await call.next("e/0"), await call.next("delete")];
  assert.deepEqual([text(first.events[0].kv?.value), first.events[0].prevKv], ["one", undefined]);
  assert.deepEqual(
    [text(second.events[0].kv?.value), text(second.events[0].prevKv?.value)],
    ["after", "before"],
  );
  assert.equal(Number(second.header?.revision), last);
  assert.deepEqual(
    third.events.map(({ type, kv, prevKv }) => [
      type,
      text(kv?.key),
      text(prevKv?.value),
      Number(kv?.modRevision),
    ]),
    [
      [1, "e/0", "after", last + 1],
      [1, "e/1", "one", last + 1],
    ],
  );
}

async function revisions(call: WatchCall, client: EtcdClient): Promise<void> {
  const first = await put(client, "r", "1");
  const second = await put(client, "r", "2");
  const third = await put(client, "r", "3");
  call.create({ key: bytes("r"), startRevision: BigInt(first), prevKv: true });
  await call.next("created");
  const past = await call.next("the past");
  assert.deepEqual(
    past.events.map(({ kv }) => text(kv?.value)),
    ["1", "2", "3"],
  );
  assert.deepEqual(
    past.events.map(({ prevKv }) => text(prevKv?.value)),
    ["", "1", "2"],
  );
  assert.equal(Number(past.header?.revision), third);
  call.create({ key: bytes("r"), startRevision: BigInt(third + 2), watchId: 7n });
  await call.next("created for the future");
  await put(client, "r", "4");
  assert.equal((await call.next("present")).watchId, 0n);
  await put(client, "r", "5");
  const ids = [(await call.next("present")).watchId, (await call.next("future")).watchId];
  assert.deepEqual(new Set(ids), new Set([0n, 7n]));
  await client.call(KV.method.compact, { revision: BigInt(third) });
  call.create({ key: bytes("r"), startRevision: BigInt(second), watchId: 8n });
  assert.equal((await call.next("created below compaction")).canceled, false);
  const canceled = await call.next("compacted");
  assert.deepEqual(
    [canceled.watchId, canceled.canceled, Number(canceled.compactRevision), canceled.cancelReason],
    [8n, true, third, ""],
  );
  assert.equal(canceled.header?.revision, 0n);
  call.create({ key: bytes("r"), startRevision: BigInt(third), watchId: 9n });
  await call.next("created at compaction");
  assert.deepEqual(
    (await call.next("from there")).events.map(({ kv }) => text(kv?.value)),
    ["3", "4", "5"],
  );
}

async function idsAndRefusals(call: WatchCall): Promise<void> {
  call.create({ key: bytes("i"), watchId: 1n });
  call.create({ key: bytes("i") });
  call.create({ key: bytes("i") });
  call.create({ key: bytes("i"), watchId: 1n });
  call.create({ key: bytes("i"), rangeEnd: bytes("i") });
  call.create({ key: bytes("i"), startRevision: -1n });
  call.cancel(99n);
  call.cancel(1n);
  const ids: bigint[] = [];
  for (let i = 0; i < 3; i++) ids.push((await call.next("created")).watchId);
  assert.deepEqual(ids, [1n, 0n, 2n]);
  for (const reason of [
    "mvcc: duplicate watch ID provided on the WatchStream",
    "mvcc: watcher range is empty",
    "etcdserver: mvcc: required revision has been compacted",
  ]) {
    const { created, canceled, watchId, cancelReason } = await call.next(reason);
    assert.deepEqual(
      { created, canceled, watchId, cancelReason },
      {
        created: true,
        canceled: true,
        watchId: -1n,
        cancelReason: reason,
      },
    );
  }
  const last = await call.next("cancelled");
  assert.deepEqual([last.watchId, last.canceled, last.cancelReason], [1n, true, ""]);
}

async function progress(call: WatchCall, client: EtcdClient): Promise<void> {
  const revision = await put(client, "p", "1");
  call.create({ key: bytes("p"), progressNotify: true, watchId: 5n });
  await call.next("created");
  const byClock = await call.next("progress by the clock");
  assert.deepEqual(
    [byClock.watchId, byClock.events.length, Number(byClock.header?.revision)],
    [5n, 0, revision],
  );
  const newer = await put(client, "other", "1");
  call.progress();
  const byHand = await waitFor("progress by hand", WAIT_MS, async () => {
    const response = await call.next("progress");
    return response.watchId === -1n ? response : undefined;
  });
  assert.equal(Number(byHand.header?.revision), newer);
}

async function fragments(call: WatchCall, client: EtcdClient): Promise<void> {
  const value = "v".repeat(1_000_000);
  const first = await put(client, "big", value);
  for (let i = 0; i < 4; i++) await put(client, "big", value);
  call.create({ key: bytes("big"), startRevision: BigInt(first), fragment: true });
  await call.next("created");
  let events = 0;
  let parts = 0;
  while (events < 5) {
    const response = await call.next("a fragment");
    assert.ok(response.events.length >= 1 && response.events.length <= 2);
    events += response.events.length;
    parts++;
  }
  assert.ok(parts >= 3, `${parts} parts`);
  assert.equal(call.responses.at(-1)?.fragment, false);
}

async function slowReader(call: WatchCall, client: EtcdClient): Promise<void> {
  call.create({ key: bytes("s/"), rangeEnd: bytes("s0") });
  await call.next("created");
  call.stream.pause();
  const value = "v".repeat(10_000);
  const count = 600;
  for (let i = 0; i < count; i += 20)
    await Promise.all(Array.from({ length: 20 }, (_, j) => put(client, `s/${i + j}`, value)));
  call.stream.resume();
  const seen: number[] = [];
  while (seen.length < count)
    for (const { kv } of (await call.next("an event")).events) seen.push(Number(kv?.modRevision));
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  );
  assert.equal(new Set(seen).size, count);
}

async function etcd3Watcher(t: TestContext, member: Member): Promise<void> {
  const client = new Etcd3({ hosts: member.clientUrl });
  t.after(() => client.close());
  const watcher = await client.watch().prefix("npm/").create();
  const events: string[] = [];
  watcher.on("put", ({ key, value }) => events.push(`put ${key.toString()} ${value.toString()}`));
  watcher.on("delete", ({ key }) => events.push(`delete ${key.toString()}`));
  await client.put("npm/a").value("1");
  await client.put("npm/b").value("2");
  await client.delete().key("npm/a");
  await waitFor("events of etcd3", WAIT_MS, () => (events.length >= 3 ? true : undefined));
  assert.deepEqual(events, ["put npm/a 1", "put npm/b 2", "delete npm/a"]);
  await watcher.cancel();
}

async function etcdctlWatch(member: Member): Promise<void> {
  const client = new EtcdClient(member.address);
  const first = await put(client, "ctl/a", "1");
  const args = [`--endpoints=${member.address}`, "watch", "ctl/", "--prefix", "--prev-kv", `--rev=${first}`];
  const child = spawn(etcdctl as string, args, { env: { ...process.env, ETCDCTL_API: "3" } });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  await put(client, "ctl/a", "2");
  const expected = "PUT\n\n\nctl/a\n1\nPUT\nctl/a\n1\nctl/a\n2\n";
  await waitFor("etcdctl's output", WAIT_MS, () =>
    output.replace("PUT\n\n\n", "PUT\n") === expected.replace("PUT\n\n\n", "PUT\n") ? true : undefined,
  ).finally(() => child.kill());
  client.close();
}

async function churn(call: WatchCall, member: Member): Promise<void> {
  let before = 0;
  for (let round = 0; round < CHURN_ROUNDS; round++) {
    for (let i = 0; i < CHURN_WATCHES; i++)
      call.create({
        key: bytes(`churn/${round}/${i}`),
        rangeEnd: i % 2 === 0 ? new Uint8Array(0) : bytes("churn0"),
        watchId: BigInt(i + 1),
      });
    for (let i = 0; i < CHURN_WATCHES; i++) call.cancel(BigInt(i + 1));
    for (let i = 0; i < 2 * CHURN_WATCHES; i++) await call.next("an answer");
    call.reset();
    if (round === CHURN_ROUNDS / 3) before = rssBytes(member.pid);
  }
  const grown = rssBytes(member.pid) - before;
  assert.ok(grown < CHURN_GROWTH_BYTES_MAX, `${grown} bytes more after creating and cancelling`);
}
