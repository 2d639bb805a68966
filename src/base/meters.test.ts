import assert from "node:assert/strict";
import { test } from "node:test";

import { exponentialBounds, histograms, meterBytes, openMeters } from "./meters.ts";

const LAYOUT = {
  calls: "number",
  seconds: [0.1, 1],
  byOp: histograms([1], 2),
  size: "number",
} as const;

test("two openings of one memory see the same numbers, and slots do not overlap", () => {
  const memory = new SharedArrayBuffer(meterBytes(LAYOUT));
  const writer = openMeters(LAYOUT, memory);
  const reader = openMeters(LAYOUT, memory);
  writer.calls.add(2);
  writer.calls.add(3);
  writer.size.set(7);
  writer.byOp[0].observe(5);
  writer.byOp[1].observe(0.5);
  assert.equal(reader.calls.value, 5);
  assert.equal(reader.size.value, 7);
  assert.equal(reader.seconds.count, 0);
  assert.deepEqual([reader.byOp[0].countIn(0), reader.byOp[0].countIn(1)], [0, 1]);
  assert.deepEqual([reader.byOp[1].countIn(0), reader.byOp[1].countIn(1)], [1, 0]);
});

test("a bucket holds what is at most its bound", () => {
  const { seconds } = openMeters(LAYOUT);
  for (const value of [0, 0.1, 0.1000001, 1, 1.5, Infinity]) seconds.observe(value);
  assert.deepEqual(
    [0, 1, 2].map((bucket) => seconds.countIn(bucket)),
    [2, 2, 2],
  );
  assert.equal(seconds.count, 6);
});

test("memory that is too short is refused", () => {
  assert.throws(() => openMeters(LAYOUT, new ArrayBuffer(meterBytes(LAYOUT) - 8)), /memory too short/);
});

test("bounds are etcd's", () => {
  assert.deepEqual(exponentialBounds(0.001, 2, 4), [0.001, 0.002, 0.004, 0.008]);
});
