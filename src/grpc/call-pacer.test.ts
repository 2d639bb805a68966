/** Requests wait while the client leaves its answers lying, and go on in order as it takes them. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { ChunkPool, OutputQueue } from "../http2/output-queue.ts";
import { Sender } from "../http2/sender.ts";
import { CallPacer, PARKED_BYTES_MAX, PARKED_CALLS_MAX } from "./call-pacer.ts";
import type { PacedCall } from "./call-pacer.ts";

const MIB = 1_048_576;

function setUp() {
  const output = new OutputQueue(new ChunkPool((bytes) => new Uint8Array(bytes)));
  const sender = new Sender(output, { bytes: 0 });
  const totals = { calls: 0, bytes: 0 };
  return { sender, totals, pacer: new CallPacer(totals, sender, output) };
}

/** Begins calls until no more is admitted; returns how many. */
function fill(pacer: CallPacer): number {
  let begun = 0;
  for (; pacer.admits(); begun++) pacer.begin();
  return begun;
}

function parkable(order: number[], id: number, parkedBytes = 10): PacedCall {
  return { parkedBytes, deliverParked: () => void order.push(id) };
}

test("calls in progress are as many as their answers may fill the room: few before the first, a thousand short ones", () => {
  const { pacer } = setUp();
  const first = fill(pacer);
  assert.equal(first, (8 * MIB) / 65_536);
  for (let i = 0; i < first; i++) {
    pacer.noteAnswer(100);
    pacer.end();
  }
  assert.equal(fill(pacer), 1_024);
  for (let i = 0; i < 1_024; i++) pacer.end();
  pacer.noteAnswer(30_000_000);
  assert.equal(fill(pacer), first, "one long answer, and the next may be long too");
});

test("nothing goes on while much is unsent", () => {
  const { pacer, sender } = setUp();
  sender.pendingBytes = 8 * MIB + 1;
  assert.equal(pacer.admits(), false);
  sender.pendingBytes = 8 * MIB;
  assert.equal(pacer.admits(), true);
});

test("parked calls keep their order, and those that come later stay behind them", () => {
  const { pacer, sender, totals } = setUp();
  const order: number[] = [];
  const calls = [1, 2, 3].map((id) => parkable(order, id));
  sender.pendingBytes = 9 * MIB;
  for (const call of calls) assert.equal(pacer.park(call), true);
  assert.deepEqual(totals, { calls: 3, bytes: 30 });
  pacer.resume();
  assert.deepEqual(order, []);
  pacer.leave(calls[1]);
  pacer.leave(calls[1]);
  sender.pendingBytes = 0;
  assert.equal(pacer.admits(), false, "others wait");
  pacer.resume();
  assert.deepEqual(order, [1, 3]);
  assert.deepEqual(totals, { calls: 0, bytes: 0 });
  assert.equal(pacer.admits(), true);
});

test("parked calls and their bytes are bounded over all connections", () => {
  const { pacer, totals } = setUp();
  totals.calls = PARKED_CALLS_MAX - 1;
  assert.equal(pacer.park(parkable([], 1)), true);
  assert.equal(pacer.park(parkable([], 2)), false);
  totals.calls = 0;
  totals.bytes = PARKED_BYTES_MAX - 5;
  assert.equal(pacer.park(parkable([], 3)), false);
  assert.equal(pacer.park(parkable([], 4, 5)), true);
});
