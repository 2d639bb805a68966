/** Runs one load on one member and adds what only /proc and a probe know: CPU a request, RSS, and whether it really happened. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { generate, type Script } from "./generator.ts";
import { runH2load } from "./h2load.ts";
import type { Percentiles } from "./latencies.ts";
import type { RequestBody } from "./requests.ts";
import type { LoadTarget } from "./side.ts";

/** Connections, and caches that another load may have used since, are warm after this long; code that never ran takes longer. */
export const WARM_UP_SECONDS = 0.5;
/** A member that makes no revision for so long has none in flight. */
const SETTLE_MS = 50;
// Answers to one request differ in the length of their revision only.
const ANSWER_BYTES_TOLERANCE = 4;

/** What every load of requests measures. */
export interface LoadSample extends Percentiles {
  readonly requestsPerSecond: number;
  readonly cpuMicrosPerRequest: number;
  readonly rssBytes: number;
}

/** Connections x streams. */
export interface Shape {
  readonly connections: number;
  readonly streams: number;
}

/** How a run proves that its requests were served: each made a revision, or each was answered at the length of a good answer. */
export type Proof = "revisions" | "answerBytes";

/** What a run says of itself; latencies in ms. */
export interface RawRun extends Percentiles {
  readonly requests: number;
  readonly seconds: number;
}

/** One request, over and over, from h2load. */
export async function measureH2load(
  side: LoadTarget,
  shape: Shape,
  load: { request: RequestBody; proof: Proof; seconds: number },
): Promise<LoadSample> {
  const options = { address: side.address, ...shape, request: load.request };
  await runH2load({ ...options, seconds: WARM_UP_SECONDS });
  const answerBytes =
    5 + (await side.client.callBytes(load.request.path, load.request.body.subarray(5))).length;
  const before = await settledRevision(side);
  return withCpu(side, async () => {
    const result = await runH2load({ ...options, seconds: load.seconds });
    assert.ok(result.requests > 0, `${side.name} answered nothing in ${load.seconds} s`);
    if (load.proof === "revisions") await assertRevisions(side, before, result.requests, shape);
    else assertAnswerBytes(result.bytesAnswer, answerBytes);
    return result;
  });
}

/** Scripts from our own generator, which checks every grpc-status itself. */
export async function measureGenerator(
  side: LoadTarget,
  shape: Shape,
  load: { script: (slot: number) => Script; seconds: number },
): Promise<LoadSample> {
  const options = { address: side.address, ...shape, script: load.script };
  await generate({ ...options, seconds: WARM_UP_SECONDS });
  return withCpu(side, () => generate({ ...options, seconds: load.seconds }));
}

/** Adds CPU and memory of the member to a run's own figures. */
export async function withCpu(side: LoadTarget, run: () => Promise<RawRun>): Promise<LoadSample> {
  const before = side.cpuSeconds();
  const { requests, seconds, p50, p99, p999, max } = await run();
  const cpuSeconds = side.cpuSeconds() - before;
  return {
    requestsPerSecond: requests / seconds,
    cpuMicrosPerRequest: (cpuSeconds / requests) * 1e6,
    rssBytes: side.rssBytes(),
    p50,
    p99,
    p999,
    max,
  };
}

/** The revision once the writes that the warm-up left in flight are made. */
async function settledRevision(side: LoadTarget): Promise<number> {
  for (let revision = await side.revision(); ;) {
    await delay(SETTLE_MS);
    const next = await side.revision();
    if (next === revision) return revision;
    revision = next;
  }
}

async function assertRevisions(
  side: LoadTarget,
  before: number,
  requests: number,
  shape: Shape,
): Promise<void> {
  const written = (await side.revision()) - before;
  const inFlight = shape.connections * shape.streams;
  // Requests in flight at the end are cut off by h2load and count for neither side.
  assert.ok(
    written >= requests && written <= requests + inFlight,
    `${side.name}: ${requests} writes were answered and ${written} revisions were made`,
  );
}

function assertAnswerBytes(measured: number, expected: number): void {
  assert.ok(
    Math.abs(measured - expected) <= ANSWER_BYTES_TOLERANCE + expected * 0.02,
    `answers of ${measured} bytes at the mean, where a good one has ${expected}`,
  );
}
