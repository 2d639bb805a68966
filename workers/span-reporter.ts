import { randomBytes } from "node:crypto";
import { Prng } from "../src/base/prng.ts";
import type { RingWriter } from "../src/ring/ring.ts";
import { SpanReporter } from "../src/ring/trace.ts";
import { createTraceClock } from "../src/telemetry/trace-clock.ts";
import type { MemberOptions } from "./control.ts";

/** A thread's way to report spans, through its ring to main; null unless tracing is on. */
export function createSpanReporter({ tracing }: MemberOptions, toMain: RingWriter): SpanReporter | null {
  return tracing
    ? new SpanReporter(toMain, createTraceClock(), new Prng(randomBytes(4).readUInt32LE()))
    : null;
}
