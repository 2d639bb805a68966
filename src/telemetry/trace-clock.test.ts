import assert from "node:assert/strict";
import { test } from "node:test";

import { createTraceClock } from "./trace-clock.ts";

test("a thread that is off its core while it sets its clock has the same time as the others", (t) => {
  const steady = createTraceClock();
  const readClock = process.hrtime.bigint.bind(process.hrtime);
  let pauses = 3;
  t.mock.method(process.hrtime, "bigint", () => {
    const now = readClock();
    const until = performance.now() + (pauses-- > 0 ? 5 : 0);
    while (performance.now() < until);
    return now;
  });
  const interrupted = createTraceClock();
  const differences = Array.from({ length: 100 }, () => {
    const beforeMs = steady();
    const middleMs = interrupted();
    return Math.abs(middleMs - (beforeMs + steady()) / 2);
  });
  assert.ok(Math.min(...differences) < 1, `${Math.min(...differences)} ms apart`);
});
