import assert from "node:assert/strict";
import { test } from "node:test";

import { DeadlineWheel } from "./deadline-wheel.ts";
import type { DeadlineEntry } from "./deadline-wheel.ts";

function entry(deadlineMs: number, onDeadline: () => void): DeadlineEntry {
  return { deadlineMs, deadlineNext: null, deadlinePrevious: null, deadlineSlot: -1, onDeadline };
}

test("entries fall due in time, none early, over several turns", () => {
  const wheel = new DeadlineWheel();
  const due: number[] = [];
  const deadlines = [5, 12, 12, 300, 5_119, 5_121, 10_250, 60_000];
  let nowMs = 0;
  for (const deadline of deadlines)
    wheel.add(
      entry(deadline, () => due.push(nowMs - deadline)),
      0,
    );
  for (nowMs = 0; nowMs < 61_000; nowMs += 10) wheel.sweep(nowMs);
  assert.equal(due.length, deadlines.length);
  assert.ok(
    due.every((late) => late >= 0 && late <= 20),
    String(due),
  );
  assert.equal(wheel.size, 0);
});

test("removed entries stay silent, also when another of their slot removes them while it is swept", () => {
  const wheel = new DeadlineWheel();
  let fired = 0;
  const second = entry(50, () => fired++);
  const first = entry(50, () => wheel.remove(second));
  wheel.add(second, 0);
  wheel.add(first, 0);
  const third = entry(50, () => fired++);
  wheel.add(third, 0);
  wheel.remove(third);
  wheel.sweep(100);
  assert.equal(fired, 0);
  assert.equal(wheel.size, 0);
});

test("after a long pause everything due fires at once", () => {
  const wheel = new DeadlineWheel();
  let fired = 0;
  for (let i = 0; i < 1_000; i++)
    wheel.add(
      entry(i * 7, () => fired++),
      0,
    );
  wheel.sweep(100_000);
  assert.equal(fired, 1_000);
});
