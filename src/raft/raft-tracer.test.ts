import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Prng } from "../base/prng.ts";
import { MemoryRing } from "../ring/memory-ring.ts";
import { SpanCode, SpanReporter, TRACE_CONTEXT_BYTES, readSpanRecord } from "../ring/trace.ts";
import { newMessage } from "./core/messages.ts";
import { MergedBatch } from "./merged-batch.ts";
import { type Consensus, MessageType, type RaftMessage } from "./raft.ts";
import { RaftTracer } from "./raft-tracer.ts";

const NAMES = Object.fromEntries(Object.entries(SpanCode).map(([name, code]) => [code, name]));

/** A tracer, its clock, and what it reports: name, parent's first byte, times, value. */
function setUp() {
  const ring = new MemoryRing(1 << 20);
  const clock = { nowMs: 0 };
  const tracer = new RaftTracer(new SpanReporter(ring, () => clock.nowMs, new Prng(1)));
  const reported = (): string[] => {
    const lines: string[] = [];
    tracer.publish();
    ring.drain((_type, _flags, _id, bytes, start) => {
      const { code, context, startMs, endMs, value } = readSpanRecord(bytes, start);
      lines.push(`${NAMES[code]} of ${context[0]} ${startMs}-${endMs} ${value}`);
    }, 10_000);
    return lines;
  };
  return { tracer, clock, reported };
}

/** The context of trace `n`. */
function context(n: number): Uint8Array {
  return new Uint8Array(TRACE_CONTEXT_BYTES).fill(n);
}

/** MsgApp with entries of these terms behind `index`. */
function append(to: bigint, index: number, terms: readonly number[]): RaftMessage {
  const batch = new MergedBatch(index + 1);
  for (const term of terms) batch.add(0, term, new Uint8Array(1), 0, 1);
  const message = newMessage(MessageType.app, to);
  return { ...message, index, entries: [{ batch, from: 0, count: terms.length }] };
}

function acknowledgement(from: bigint, index: number, reject = false): RaftMessage {
  return { ...newMessage(MessageType.appResp, 1n), from, index, reject };
}

/** A log whose entries have these terms, from index 1 on. */
function logOf(terms: readonly number[], isLeader = false): Consensus {
  const log = {
    isLeader,
    lastIndex: terms.length,
    term: 2,
    termAt: (index: number) => terms[index - 1] ?? 0,
  };
  return log as Partial<Consensus> as Consensus;
}

describe("raft tracer", () => {
  test("a leader's entry: replicated to each member once, forgotten when all have it and apply too", () => {
    const { tracer, clock, reported } = setUp();
    tracer.proposed(5, 2, context(7));
    assert.ok(tracer.isActive);
    clock.nowMs = 1;
    const [first, plain] = tracer.outgoing([append(2n, 3, [2, 2]), append(3n, 5, [2])]);
    assert.equal(first.traces?.length, 1);
    assert.equal(first.traces[0].position, 1);
    assert.equal(plain.traces, undefined, "the entry is not in that message");
    clock.nowMs = 2;
    const [again, other] = tracer.outgoing([append(2n, 4, [2]), append(3n, 4, [2])]);
    assert.deepEqual(again.traces?.[0].context, first.traces[0].context, "sent again, it is the same span");
    assert.notDeepEqual(other.traces?.[0].context, first.traces[0].context);
    tracer.flushBegins(5);
    clock.nowMs = 3;
    tracer.flushEnded(4);
    assert.deepEqual(reported(), ["propose of 7 0-2 5"], "that flush did not cover it");
    tracer.flushEnded(5);
    const log = logOf([1, 1, 2, 2, 2], true);
    tracer.received(acknowledgement(2n, 4), log, 5);
    tracer.received(acknowledgement(2n, 5, true), log, 5);
    assert.deepEqual(reported(), ["walFlush of 7 2-3 5"], "neither acknowledges it");
    clock.nowMs = 4;
    tracer.received(acknowledgement(2n, 5), log, 5);
    tracer.received(acknowledgement(2n, 5), log, 5);
    assert.notEqual(tracer.handing(5, 2), null);
    tracer.handed(5);
    assert.equal(tracer.handing(5, 2), null, "once");
    assert.ok(tracer.isActive, "member 3 has not acknowledged it");
    clock.nowMs = 5;
    tracer.received(acknowledgement(3n, 9), log, 5);
    assert.ok(!tracer.isActive);
    assert.deepEqual(reported(), ["replicate of 7 1-4 2", "commit of 7 0-4 5", "replicate of 7 2-5 3"]);
  });

  test("an entry that another one has replaced is not taken for it", () => {
    const { tracer } = setUp();
    tracer.proposed(5, 2, context(7));
    assert.equal(tracer.handing(5, 3), null);
    assert.equal(tracer.handing(4, 2), null);
  });

  test("a follower takes contexts of entries that its log has, each once", () => {
    const { tracer, clock, reported } = setUp();
    const traces = [
      { position: 1, context: context(8) },
      { position: 2, context: context(9) },
      { position: 40, context: context(10) },
    ];
    const message = { ...append(1n, 2, [2, 2, 3]), traces };
    // It has another entry in place of the last one: the message was refused.
    tracer.received(message, logOf([1, 1, 2, 2, 2]), 2);
    tracer.received(message, logOf([1, 1, 2, 2, 2]), 5);
    tracer.flushBegins(5);
    clock.nowMs = 6;
    tracer.flushEnded(5);
    assert.notEqual(tracer.handing(4, 2), null);
    tracer.handed(4);
    assert.ok(!tracer.isActive);
    assert.deepEqual(reported(), ["walFlush of 8 0-6 4", "append of 8 0-6 4", "commit of 8 0-6 4"]);
  });

  test("a leader takes contexts of what was forwarded to it, unless it was dropped", () => {
    const { tracer } = setUp();
    const forwarded = { ...newMessage(MessageType.prop, 1n), traces: [{ position: 1, context: context(8) }] };
    tracer.received(forwarded, logOf([1, 1]), 2);
    tracer.received({ ...forwarded }, logOf([1, 1, 2, 2]), 2);
    assert.ok(!tracer.isActive, "it does not lead, or took nothing");
    tracer.received(forwarded, logOf([1, 1, 2, 2], true), 2);
    assert.notEqual(tracer.handing(4, 2), null);
  });

  test("what is never acknowledged is given up, and of too much the oldest", () => {
    const { tracer, clock } = setUp();
    tracer.proposed(1, 2, context(1));
    tracer.outgoing([append(2n, 0, [2])]);
    tracer.handed(1);
    tracer.tick();
    assert.ok(tracer.isActive);
    clock.nowMs = 11_000;
    tracer.tick();
    assert.ok(!tracer.isActive);
    for (let index = 1; index <= 300; index++) tracer.proposed(index, 2, context(1));
    assert.equal(tracer.handing(44, 2), null);
    assert.notEqual(tracer.handing(45, 2), null);
  });
});
