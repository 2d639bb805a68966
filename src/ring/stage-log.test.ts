import assert from "node:assert/strict";
import { test } from "node:test";
import { STAGES_KEPT, StageLog } from "./stage-log.ts";

test("a stage log finds the first stage that covers an entry, if it came after the request", () => {
  const log = new StageLog();
  assert.equal(log.find(1, 0), null);
  log.note(3, 10, 11);
  log.note(5, 12, 14);
  log.note(5, 15, 16);
  log.note(9, 17, 18);
  assert.deepEqual(log.find(4, 0), { startMs: 12, endMs: 14 });
  assert.deepEqual(log.find(3, 0), { startMs: 10, endMs: 11 });
  assert.deepEqual(log.find(6, 0), { startMs: 17, endMs: 18 });
  assert.equal(log.find(10, 0), null);
  // Without an index: by time alone.
  assert.deepEqual(log.find(0, 15.5), { startMs: 15, endMs: 16 });
  assert.equal(log.find(0, 19), null);
});

test("a stage log forgets the oldest", () => {
  const log = new StageLog();
  for (let i = 1; i <= STAGES_KEPT + 10; i++) log.note(i, i, i);
  assert.deepEqual(log.find(1, 0), { startMs: 11, endMs: 11 });
  assert.deepEqual(log.find(STAGES_KEPT + 10, 0), { startMs: STAGES_KEPT + 10, endMs: STAGES_KEPT + 10 });
});
