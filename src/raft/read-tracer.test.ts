import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Prng } from "../base/prng.ts";
import { MemoryRing } from "../ring/memory-ring.ts";
import {
  SpanCode,
  SpanReporter,
  type SpanRecord,
  TRACE_CONTEXT_BYTES,
  TRACE_PREFIX_BYTES,
  readSpanRecord,
  writePrefix,
} from "../ring/trace.ts";
import { singleEntry } from "./core/entry-slices.ts";
import { newMessage } from "./core/messages.ts";
import { type Consensus, MessageType, type RaftMessage } from "./raft.ts";
import { RaftTracer } from "./raft-tracer.ts";

const LEADER = { isLeader: true } as Partial<Consensus> as Consensus;
const FOLLOWER = { isLeader: false } as Partial<Consensus> as Consensus;
const ROUND = Uint8Array.of(1, 2, 3);
const OTHER_ROUND = Uint8Array.of(1, 2, 4);

function setUp(seed: number) {
  const ring = new MemoryRing(1 << 20);
  const clock = { nowMs: 0 };
  const tracer = new RaftTracer(new SpanReporter(ring, () => clock.nowMs, new Prng(seed)));
  const reported = (code: number): SpanRecord[] => {
    const records: SpanRecord[] = [];
    tracer.publish();
    ring.drain((_type, _flags, _id, bytes, start) => records.push(readSpanRecord(bytes, start)), 10_000);
    return records.filter((record) => record.code === code);
  };
  return { tracer, clock, reported };
}

/** A read of trace `n`, as main sends it. */
function read(n: number): Uint8Array {
  const record = new Uint8Array(TRACE_PREFIX_BYTES + 1);
  writePrefix(record, 0, new Uint8Array(TRACE_CONTEXT_BYTES).fill(n), 0);
  return record;
}

function ask(round: Uint8Array): RaftMessage {
  const message = { ...newMessage(MessageType.readIndex, 2n), from: 1n };
  return { ...message, entries: singleEntry(round) };
}

function answer(to: bigint, round: Uint8Array): RaftMessage {
  return { ...newMessage(MessageType.readIndexResp, to), from: 2n, entries: singleEntry(round) };
}

describe("read tracer", () => {
  test("what the leader does for a follower's reads is part of each one's `read index`", () => {
    const { tracer, clock, reported } = setUp(1);
    const leader = setUp(2);
    const reads = [read(7), read(8), read(9)];
    reads.forEach((payload, i) => {
      tracer.reads.taken(payload, 0);
      tracer.reads.joined(payload, 0, i === 2 ? OTHER_ROUND : ROUND);
    });
    const [message, plain] = tracer.outgoing([ask(ROUND), ask(Uint8Array.of(9))]);
    assert.equal(message.traces?.length, 2, "the third read is in another round");
    assert.equal(plain.traces, undefined);
    assert.deepEqual(tracer.outgoing([ask(ROUND)])[0].traces, message.traces, "asked again, it is the same");

    leader.clock.nowMs = 3;
    leader.tracer.received(message, LEADER, 0);
    leader.clock.nowMs = 4;
    leader.tracer.received(message, LEADER, 0);
    leader.tracer.outgoing([answer(1n, OTHER_ROUND), answer(3n, ROUND)]);
    assert.ok(leader.tracer.isActive, "neither is the answer");
    leader.clock.nowMs = 5;
    leader.tracer.outgoing([answer(1n, ROUND)]);
    leader.tracer.outgoing([answer(1n, ROUND)]);
    assert.ok(!leader.tracer.isActive);

    clock.nowMs = 6;
    for (const payload of reads) {
      const sinceMs = tracer.reads.handing(payload);
      tracer.reads.handed(payload, sinceMs, false);
      clock.nowMs++;
      tracer.reads.handed(payload, tracer.reads.handing(payload), true);
    }
    assert.ok(!tracer.isActive);
    const indexes = reported(SpanCode.readIndex);
    assert.deepEqual(
      indexes.map(({ context, startMs, endMs }) => [context[0], startMs, endMs]),
      [
        [7, 0, 7],
        [8, 0, 8],
        [9, 0, 9],
      ],
    );
    const rounds = leader.reported(SpanCode.readRound);
    assert.deepEqual(
      rounds.map(({ startMs, endMs, value }) => [startMs, endMs, value]),
      [
        [3, 5, 1n],
        [3, 5, 1n],
      ],
    );
    rounds.forEach(({ context, parentId }, i) => {
      assert.equal(context[0], indexes[i].context[0], "the trace");
      assert.deepEqual(parentId, indexes[i].context.subarray(16));
    });
  });

  test("a member that does not lead takes no contexts of reads", () => {
    const { tracer } = setUp(1);
    const traces = [{ position: 0, context: new Uint8Array(TRACE_CONTEXT_BYTES).fill(1) }];
    tracer.received({ ...ask(ROUND), traces }, FOLLOWER, 0);
    assert.ok(!tracer.isActive);
  });

  test("what is never answered is given up, and of too much the oldest", () => {
    const { tracer, clock, reported } = setUp(1);
    const given = read(1);
    tracer.reads.joined(given, 0, ROUND);
    const traces = [{ position: 0, context: new Uint8Array(TRACE_CONTEXT_BYTES).fill(1) }];
    tracer.received({ ...ask(ROUND), traces }, LEADER, 0);
    tracer.tick();
    assert.ok(tracer.isActive);
    clock.nowMs = 11_000;
    tracer.tick();
    assert.ok(!tracer.isActive);
    tracer.reads.handed(given, 0, true);
    assert.equal(reported(SpanCode.readIndex).length, 1, "its own span is there all the same");
    for (let i = 0; i < 300; i++) tracer.reads.joined(read(1), 0, ROUND);
    assert.equal(tracer.outgoing([ask(ROUND)])[0].traces?.length, 256);
  });
});
