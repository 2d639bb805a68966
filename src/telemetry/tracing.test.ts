import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Prng } from "../base/prng.ts";
import type { Call } from "../grpc/service.ts";
import { MemoryRing } from "../ring/memory-ring.ts";
import { SpanCode, SpanReporter, readSpanRecord } from "../ring/trace.ts";
import { type FinishedSpan, RequestTracer } from "./request-tracer.ts";
import { RootSampler } from "./sampler.ts";
import { SlowTraces } from "./slow-traces.ts";
import { isHttpAddress } from "./span-export.ts";
import { SPAN_NAMES } from "./span-names.ts";
import { parseTraceparent, saysSampled, spanIdText, traceIdText } from "./traceparent.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

describe("traceparent", () => {
  for (const [text, sampled] of [
    [`00-${TRACE}-${SPAN}-01`, true],
    [`00-${TRACE}-${SPAN}-00`, false],
    // Only the lowest bit of the flags has a meaning that is known.
    [`00-${TRACE}-${SPAN}-03`, true],
    [`00-${TRACE}-${SPAN}-fe`, false],
    [`00-${TRACE}-${SPAN}-0b`, true],
    [`00-${TRACE}-${SPAN}-08`, false],
    // A later version may have more behind what is known.
    [`01-${TRACE}-${SPAN}-01`, true],
    [`cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`, true],
  ] as const) {
    test(`${text} is taken`, () => {
      const parent = parseTraceparent(text);
      assert.equal(parent && traceIdText(parent.context), TRACE);
      assert.equal(parent && spanIdText(parent.context), SPAN);
      assert.equal(parent?.sampled, sampled);
      assert.equal(saysSampled(text), sampled);
    });
  }

  for (const text of [
    "",
    `00-${TRACE}-${SPAN}`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01-more`,
    `01-${TRACE}-${SPAN}-01more`,
    `00-${"0".repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${TRACE.slice(1)}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-1`,
    ` 00-${TRACE}-${SPAN}-01`,
    `0-${TRACE}-${SPAN}-01`,
    `00-${TRACE.slice(1)}g-${SPAN}-01`,
  ]) {
    test(`"${text}" is none`, () => assert.equal(parseTraceparent(text), null));
  }
});

/** Uniform in [0, 1). */
function random(seed: number): () => number {
  const prng = new Prng(seed);
  return () => prng.nextUint32() / 0x1_0000_0000;
}

describe("sampler", () => {
  test("a rate of 0 samples nothing, a million everything", () => {
    const none = new RootSampler(0, () => 0);
    const all = new RootSampler(1_000_000, random(1));
    for (let i = 0; i < 1000; i++) {
      assert.equal(none.sample(), null);
      assert.notEqual(all.sample(), null);
    }
  });

  test("the rate is a share of a million, and the trace id says what was decided", () => {
    const rate = 200_000;
    const sampler = new RootSampler(rate, random(2));
    // Whoever samples by the ratio of trace ids compares the upper 63 bits of their second half with it.
    const bound = (BigInt(rate) << 63n) / 1_000_000n;
    let sampled = 0;
    for (let i = 0; i < 10_000; i++) {
      const context = sampler.sample();
      if (context === null) continue;
      sampled++;
      const half = new DataView(context.buffer).getBigUint64(8);
      assert.ok(half >> 1n < bound, `trace id ${traceIdText(context)} lies beyond the ratio`);
      assert.doesNotMatch(spanIdText(context), /^0+$/);
    }
    assert.ok(sampled > 1800 && sampled < 2200, `${sampled} of 10000 at 20 %`);
  });
});

test("addresses: OTLP over gRPC unless the URL is one of OTLP over HTTP", () => {
  assert.deepEqual(
    ["localhost:4317", "http://localhost:4317", "http://h:4318", "https://h/v1/traces", "h:4318"].map(
      isHttpAddress,
    ),
    [false, false, true, true, false],
  );
});

test("every span that a thread can report has a name", () => {
  assert.deepEqual(
    Object.values(SpanCode).filter((code) => SPAN_NAMES[code] === undefined),
    [],
  );
});

test("a span record says what was reported, and a full ring loses it without a trace", () => {
  const ring = new MemoryRing(1024);
  const spans = new SpanReporter(ring, () => 9.5, new Prng(3));
  const parent = parseTraceparent(`00-${TRACE}-${SPAN}-01`)!.context;
  for (let i = 0; i < 100; i++) spans.report(SpanCode.replicate, parent, 1.25, 9.5, 0xfedc_ba98_7654_3210n);
  spans.publish();
  const ids = new Set<string>();
  const count = ring.drain((_type, _flags, _id, bytes, start) => {
    const record = readSpanRecord(bytes, start);
    assert.deepEqual(
      [record.code, record.startMs, record.endMs, record.value],
      [SpanCode.replicate, 1.25, 9.5, 0xfedc_ba98_7654_3210n],
    );
    assert.equal(traceIdText(record.context), TRACE);
    assert.equal(Buffer.from(record.parentId).toString("hex"), SPAN);
    ids.add(spanIdText(record.context));
  }, 1000);
  assert.ok(count > 0 && count < 100, `${count} records in a small ring`);
  assert.equal(ids.size, count);
});

/** A tracer at a rate, what it exports, and the clock. */
function tracerAt(ratePerMillion: number) {
  const spans: FinishedSpan[] = [];
  const clock = { nowMs: 100 };
  const tracer = new RequestTracer({
    sampler: new RootSampler(ratePerMillion, random(4)),
    sink: { add: (span) => spans.push(span) },
    nowMs: () => clock.nowMs,
    random: random(5),
  });
  return { tracer, spans, clock };
}

const CALL = { path: "/etcdserverpb.KV/Put", remote: "127.0.0.1:5" } as Call;

test("slow requests: the client's trace if it has one, and a few in a second", async () => {
  const spans: FinishedSpan[] = [];
  const asked: [boolean, number][] = [];
  const slow = new SlowTraces({
    thresholdMs: 5,
    sink: { add: (span) => spans.push(span) },
    askStages: (trace, isRead) => asked.push([isRead, Math.round(trace.nowMs())]),
    nowMs: () => performance.now() + 1000,
    random: random(8),
  });
  const tell = (
    startedMs: number,
    { traceparent, grpcCode = 0, ...facts }: Partial<Call> & { traceparent?: string; grpcCode?: number },
  ): void => {
    const call: Call = { ...CALL, state: 7, cancelled: false, metadata: () => traceparent, ...facts };
    const answer = { answer: new Uint8Array(0), start: 0, end: 0, answerBytes: 0 };
    slow.onSlow(call, { grpcCode, startedMs, endedMs: startedMs + 10, ...answer });
  };
  tell(40, { traceparent: `00-${TRACE}-${SPAN}-00` });
  assert.equal(spans.length, 0, "how far apply is has not been read yet");
  // Out of time, given up by its client, or answered by main: no thread has stages of it.
  tell(50, { grpcCode: 14 });
  tell(51, { grpcCode: 1, cancelled: true });
  tell(52, { state: undefined });
  // Sampled: has its trace.
  tell(53, { trace: { context: new Uint8Array(24), nowMs: () => 0, ended: () => {} } });
  tell(54, { path: "/etcdserverpb.KV/Range", grpcCode: 11 });
  for (let i = 0; i < 100; i++) tell(60, {});
  await Promise.resolve();
  assert.deepEqual(asked, [[false, 1040], [true, 1054], ...Array.from({ length: 5 }, () => [false, 1060])]);
  assert.equal(spans.length, 10);
  assert.equal(traceIdText(spans[0].context), TRACE);
  assert.equal(Buffer.from(spans[0].parentId!).toString("hex"), SPAN);
  assert.equal(spans[1].parentId, null);
  assert.deepEqual(
    spans.slice(0, 5).map(({ error }) => error),
    [null, "grpc status 14", null, null, null],
  );
  tell(1001, {});
  await Promise.resolve();
  assert.equal(spans.length, 11);
});

describe("request tracer", () => {
  test("does what the parent does, whatever the rate", () => {
    const never = tracerAt(0).tracer;
    assert.notEqual(never.begin(CALL, `00-${TRACE}-${SPAN}-01`), null);
    assert.equal(never.begin(CALL, undefined), null);
    const always = tracerAt(1_000_000).tracer;
    assert.equal(always.begin(CALL, `00-${TRACE}-${SPAN}-00`), null);
    assert.notEqual(always.begin(CALL, undefined), null);
    // No valid parent: a root.
    assert.notEqual(always.begin(CALL, "nonsense"), null);
    assert.equal(never.begin(CALL, "nonsense"), null);
    assert.notEqual(always.begin(CALL, `00-${"0".repeat(32)}-${SPAN}-00`), null);
    assert.equal(never.begin(CALL, `00-${"0".repeat(32)}-${SPAN}-01`), null);
  });

  test("a call's span covers it until its answer is written, under the client's", async () => {
    const { tracer, spans, clock } = tracerAt(0);
    const trace = tracer.begin(CALL, `00-${TRACE}-${SPAN}-01`)!;
    clock.nowMs = 104;
    // Apply reports behind its answer.
    const ring = new MemoryRing(1024);
    new SpanReporter(ring, () => 0, new Prng(6)).report(SpanCode.apply, trace.context, 101, 103, 7);
    ring.publish();
    trace.ended(14);
    ring.drain((_type, _flags, _id, bytes, start) => tracer.takeRecord(bytes, start), 1);
    clock.nowMs = 105;
    assert.equal(spans.length, 1, "the answer is not written yet");
    await Promise.resolve();
    assert.deepEqual(
      spans.map(({ name, startMs, endMs }) => [name, startMs, endMs]),
      [
        ["apply", 101, 103],
        ["ring apply-main", 103, 104],
        ["response", 104, 105],
        ["etcdserverpb.KV/Put", 100, 105],
      ],
    );
    const server = spans[3];
    assert.equal(Buffer.from(server.parentId!).toString("hex"), SPAN);
    assert.equal(server.attributes["rpc.grpc.status_code"], 14);
    assert.equal(server.error, "grpc status 14");
    for (const span of spans) assert.equal(traceIdText(span.context), TRACE);
    for (const part of spans.slice(0, 3))
      assert.equal(Buffer.from(part.parentId!).toString("hex"), spanIdText(server.context));
  });
});
