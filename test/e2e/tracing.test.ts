/** One request's trace through all threads and members, as a collector gets it. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { KV, Watch } from "../../src/proto/gen/rpc_pb.ts";
import { TestCluster } from "../support/cluster.ts";
import { EtcdClient, withClient } from "../support/etcd-client.ts";
import { startMember } from "../support/member.ts";
import { type CollectedSpan, OtlpCollector } from "../support/otlp-collector.ts";
import { tempDir } from "../support/temp-dir.ts";
import { waitFor } from "../support/wait.ts";

const SPANS_MS = 20_000;

/** What a client's tracing sends, and the ids in it. */
function clientTrace(flags = "01"): { traceId: string; spanId: string; traceparent: string } {
  const traceId = randomBytes(16).toString("hex");
  const spanId = randomBytes(8).toString("hex");
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${flags}` };
}

/** All spans of a trace, once there are as many as expected: every member and thread sends its own when it likes. */
function spansOf(collector: OtlpCollector, traceId: string, count: number): Promise<CollectedSpan[]> {
  return waitFor(`${count} spans`, SPANS_MS, () => {
    const found = collector.spans.filter((span) => span.traceId === traceId);
    return found.length >= count ? found : undefined;
  });
}

/** A span and its parts. */
interface Node {
  readonly name: string;
  readonly parts: readonly Node[];
}

function nodes(parts: Readonly<Record<string, readonly Node[]>>): Node[] {
  return Object.entries(parts).map(([name, parts]) => ({ name, parts }));
}

/** The spans that are part of this one, each with its member. */
function treeOf(spans: readonly CollectedSpan[], parentId: string): Node[] {
  return spans
    .filter((span) => span.parentId === parentId)
    .map((span) => ({ name: `${span.name} ${span.instance}`, parts: treeOf(spans, span.spanId) }));
}

/** A line a span, indented below what it is part of; siblings in the order of their text. */
function print(parts: readonly Node[], indent = ""): string {
  return parts
    .map((node) => `${indent}${node.name}\n${print(node.parts, `${indent}  `)}`)
    .sort()
    .join("");
}

function size(parts: readonly Node[]): number {
  return parts.reduce((sum, node) => sum + 1 + size(node.parts), 0);
}

/** What every member does with an entry. */
const STATE = [
  "wal flush",
  "commit",
  "ring raft-apply",
  "apply",
  "ring apply-storage",
  "storage batch",
  "storage commit",
];
const PUT = { key: Buffer.from("traced"), value: Buffer.from("value") };

// They wait for collectors most of the time.
describe("tracing", { concurrency: true }, () => {
  test(
    "a put at a follower is one trace through the threads of three members",
    { timeout: 120_000 },
    async (t) => {
      const collector = await OtlpCollector.start(t);
      const cluster = await new TestCluster(t, {
        size: 3,
        args: ["--enable-distributed-tracing", "--distributed-tracing-service-name=store"],
        // Both ways of sending spans.
        argsOf: (name) => [
          `--distributed-tracing-address=${name === "m2" ? collector.httpUrl : collector.grpcAddress}`,
          `--distributed-tracing-instance-id=${name}`,
        ],
      }).start();
      const leader = await cluster.leader();
      const follower = await cluster.follower();
      const third = cluster.names.find((name) => name !== leader && name !== follower)!;
      const { traceId, spanId, traceparent } = clientTrace();
      const client = new EtcdClient(cluster.member(follower).address);
      t.after(() => client.close());
      await client.call(KV.method.put, PUT);
      await client.call(KV.method.put, PUT, { traceparent: clientTrace("00").traceparent });
      const { promise: delivered, resolve } = Promise.withResolvers<void>();
      const watch = client.stream(Watch.method.watch, ({ created, events }) => {
        if (created) void client.call(KV.method.put, PUT, { traceparent });
        if (events.length > 0) resolve();
      });
      watch.send({ requestUnion: { case: "createRequest", value: { key: PUT.key } } });
      await delivered;
      watch.cancel();

      const leaves = (name: string, more: readonly string[] = []): Node[] =>
        [...STATE, ...more].map((line) => ({ name: `${line} ${name}`, parts: [] }));
      const replicated = (name: string, more: readonly Node[]): Node => ({
        name: `replicate ${leader}`,
        parts: [{ name: `append ${name}`, parts: [...leaves(name), ...more] }],
      });
      const watched = nodes({
        [`ring apply-watch ${follower}`]: [],
        [`watch deliver ${follower}`]: nodes({ [`watch write ${follower}`]: [] }),
      });
      const expected = nodes({
        [`etcdserverpb.KV/Put ${follower}`]: nodes({
          [`ring main-raft ${follower}`]: [],
          [`forward ${follower}`]: [
            ...leaves(leader, ["propose"]),
            replicated(follower, watched),
            replicated(third, []),
          ],
          [`ring apply-main ${follower}`]: [],
          [`response ${follower}`]: [],
        }),
      });
      const spans = await spansOf(collector, traceId, size(expected));
      const tree = treeOf(spans, spanId);
      assert.equal(print(tree), print(expected));
      assert.equal(size(tree), spans.length, "spans outside of the tree");
      const read = clientTrace();
      await client.call(KV.method.range, { key: PUT.key }, { traceparent: read.traceparent });
      await client.call(
        KV.method.range,
        { key: PUT.key, serializable: true },
        { traceparent: read.traceparent },
      );
      const rangeBy = (...more: string[]): Node => ({
        name: `etcdserverpb.KV/Range ${follower}`,
        parts: ["read", "ring apply-main", "response", ...more].map((name) => ({
          name: `${name} ${follower}`,
          // Confirmed by the leader.
          parts: name === "read index" ? nodes({ [`read round ${leader}`]: [] }) : [],
        })),
      });
      const ranges = [rangeBy("ring main-apply"), rangeBy("ring main-raft", "read index", "ring raft-apply")];
      const reads = await spansOf(collector, read.traceId, size(ranges));
      assert.equal(print(treeOf(reads, read.spanId)), print(ranges));
      // Nothing of what was not sampled.
      const traceIds = new Set(collector.spans.map(({ traceId }) => traceId));
      assert.deepEqual([...traceIds].sort(), [traceId, read.traceId].sort());
      const threads = new Set(spans.map(({ attributes }) => String(attributes["thread.name"])));
      assert.deepEqual([...threads].sort(), ["apply", "main", "raft", "storage", "watch"]);
      assert.ok(spans.every(({ service, startNs, endNs }) => service === "store" && endNs >= startNs));
    },
  );

  test("what was slow is traced after the fact", { timeout: 120_000 }, async (t) => {
    const collector = await OtlpCollector.start(t);
    const args = [
      "--enable-distributed-tracing",
      `--distributed-tracing-address=${collector.grpcAddress}`,
      "--trace-slow-requests-ms=1",
    ];
    const member = await startMember(t, { dataDir: tempDir(t, "tracing"), args });
    // The last of so many waits for the first.
    const value = Buffer.alloc(10_000);
    await withClient(member, (client) =>
      Promise.all(Array.from({ length: 300 }, () => client.call(KV.method.put, { key: PUT.key, value }))),
    );
    await waitFor("a slow put with its stages", SPANS_MS, async () => {
      const roots = collector.spans.filter(({ attributes }) => attributes["concord.slow"] === "true");
      const found = roots.some(({ spanId, name }) => {
        const parts = collector.spans.filter(({ parentId }) => parentId === spanId).map(({ name }) => name);
        return (
          name === "etcdserverpb.KV/Put" &&
          ["apply", "commit", "propose", "ring main-raft", "wal flush"].every((part) => parts.includes(part))
        );
      });
      return found ? true : undefined;
    });
  });

  test("a collector that is not there costs a line in the log", { timeout: 60_000 }, async (t) => {
    // Nobody listens on the discard port.
    const args = [
      "--experimental-enable-distributed-tracing",
      "--distributed-tracing-address=127.0.0.1:9",
      "--distributed-tracing-sampling-rate=1000000",
    ];
    const member = await startMember(t, { dataDir: tempDir(t, "tracing"), args });
    await withClient(member, async (client) => {
      const putAll = async (): Promise<void> => {
        for (let i = 0; i < 50; i++) await client.call(KV.method.put, PUT);
      };
      await putAll();
      await waitFor("the line", SPANS_MS, async () =>
        member.log.includes("failed to export traces") ? true : undefined,
      );
      await putAll();
      const { kvs } = await client.call(KV.method.range, { key: PUT.key });
      assert.equal(kvs[0]?.version, 100n);
    });
    assert.equal(member.log.split("failed to export traces").length - 1, 1);
    assert.deepEqual(await member.stop(), { code: 0, signal: null });
  });
});
