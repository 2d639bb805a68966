import assert from "node:assert/strict";
import { test } from "node:test";
import { ProgressSignal } from "./progress-signal.ts";

test("however many wait, one note wakes all of them, and nobody who comes later", async () => {
  const signal = new ProgressSignal();
  signal.note();
  let woken = 0;
  const waiting = Array.from({ length: 100_000 }, () => signal.wait().then(() => woken++));
  signal.note();
  void signal.wait().then(() => assert.fail("nothing happened since"));
  await Promise.all(waiting);
  assert.equal(woken, waiting.length);
});
