/** What tracing adds to a request by itself: the decision, for those that are not sampled, and what one that is costs a thread. */
import { Prng } from "../src/base/prng.ts";
import type { Call } from "../src/grpc/service.ts";
import { MemoryRing } from "../src/ring/memory-ring.ts";
import { StageLog } from "../src/ring/stage-log.ts";
import { SpanCode, SpanReporter } from "../src/ring/trace.ts";
import { RequestTracer } from "../src/telemetry/request-tracer.ts";
import { RootSampler } from "../src/telemetry/sampler.ts";
import { createTraceClock } from "../src/telemetry/trace-clock.ts";

const ROUNDS = 1_000_000;
/** The fastest of so many batches counts: the others share the machine. */
const BATCHES = 50;
const CALL = { path: "/etcdserverpb.KV/Put", remote: "127.0.0.1:1" } as Call;

function measure(name: string, run: (round: number) => void): void {
  let best = Infinity;
  for (let batch = 0; batch < BATCHES; batch++) {
    const start = performance.now();
    for (let round = 0; round < ROUNDS / BATCHES; round++) run(round);
    best = Math.min(best, ((performance.now() - start) * 1e6) / (ROUNDS / BATCHES));
  }
  console.log(`${name}: ${best.toFixed(1)} ns`);
}

const nowMs = createTraceClock();

function tracer(ratePerMillion: number): RequestTracer {
  const sampler = new RootSampler(ratePerMillion, Math.random);
  return new RequestTracer({ sampler, sink: { add: () => {} }, nowMs, random: Math.random });
}

const never = tracer(0);
const seldom = tracer(100);
const unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
let sampled = 0;
const decide = (decider: RequestTracer, traceparent: string | undefined): void => {
  const trace = decider.begin(CALL, traceparent);
  if (trace === null) return;
  sampled++;
  trace.ended(0);
};
measure("not sampled, rate 0", () => decide(never, undefined));
measure("not sampled, 100 of a million", () => decide(seldom, undefined));
measure("not sampled, as its parent says", () => decide(seldom, unsampled));

const ring = new MemoryRing(1 << 20);
const spans = new SpanReporter(ring, nowMs, new Prng(1));
const context = new Uint8Array(24).fill(7);
measure("a span of a sampled request, as its thread reports it", (round) => {
  spans.report(SpanCode.apply, context, spans.nowMs(), spans.nowMs(), round);
  if ((round & 1023) !== 0) return;
  spans.publish();
  ring.drain(() => {}, 10_000);
});

const stages = new StageLog();
measure("a stage of a batch, for slow requests", (round) => stages.note(round, nowMs(), nowMs()));
console.log(`${sampled} were sampled`);
