/** What the worker threads trace with. Loaded only while tracing is on. */

import { randomBytes } from "node:crypto";
import { Prng } from "../src/base/prng.ts";
import { RaftStages } from "../src/raft/raft-stages.ts";
import { RaftTracer } from "../src/raft/raft-tracer.ts";
import type { RingWriter } from "../src/ring/ring.ts";
import { StageLog } from "../src/ring/stage-log.ts";
import { SpanReporter } from "../src/ring/trace.ts";
import { CommitTracer } from "../src/storage/commit-tracer.ts";
import { createTraceClock } from "../src/telemetry/trace-clock.ts";
import type { MemberOptions } from "./control.ts";

/** A thread's way to report spans, through its ring to main. */
export function createSpanReporter(toMain: RingWriter): SpanReporter {
  return new SpanReporter(toMain, createTraceClock(), new Prng(randomBytes(4).readUInt32LE()));
}

export function createRaftTracing(
  { tracesSlowRequests }: MemberOptions,
  toMain: RingWriter,
): { tracer: RaftTracer; stages: RaftStages | null } {
  const spans = createSpanReporter(toMain);
  return { tracer: new RaftTracer(spans), stages: tracesSlowRequests ? new RaftStages(spans) : null };
}

export function createApplyTracing(
  { tracesSlowRequests }: MemberOptions,
  toMain: RingWriter,
): { spans: SpanReporter; stages: StageLog | null } {
  return { spans: createSpanReporter(toMain), stages: tracesSlowRequests ? new StageLog() : null };
}

export function createCommitTracer(toMain: RingWriter): CommitTracer {
  return new CommitTracer(createSpanReporter(toMain));
}
