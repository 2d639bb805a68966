import assert from "node:assert/strict";
import { test } from "node:test";
import { Inflights } from "./inflights.ts";
import { Progress, type ProgressState } from "./progress.ts";

function progressAt(state: ProgressState, match: number, next: number): Progress {
  const progress = new Progress({ id: 2n, next, inflights: new Inflights(256, 0), isLearner: false });
  Object.assign(progress, { state, match });
  return progress;
}

test("a rejection while replicating falls back to behind the match, an old one changes nothing", () => {
  // match, next, rejected, hint, accepted, next after
  const rows = [
    [5, 10, 5, 5, false, 10],
    [5, 10, 4, 4, false, 10],
    [5, 10, 9, 9, true, 6],
  ] as const;
  for (const [match, next, rejected, hint, accepted, nextAfter] of rows) {
    const progress = progressAt("replicate", match, next);
    assert.equal(progress.maybeDecrement(rejected, hint), accepted);
    assert.deepEqual([progress.match, progress.next], [match, nextAfter]);
  }
});

test("a rejected probe falls back to the hint, but not below the match", () => {
  // match, next, rejected, hint, accepted, next after
  const rows = [
    [0, 0, 0, 0, false, 0],
    [0, 10, 5, 5, false, 10],
    [0, 10, 9, 9, true, 9],
    [0, 2, 1, 1, true, 1],
    [0, 1, 0, 0, true, 1],
    [0, 10, 9, 2, true, 3],
    [0, 10, 9, 0, true, 1],
    [4, 10, 9, 0, true, 5],
  ] as const;
  for (const [match, next, rejected, hint, accepted, nextAfter] of rows) {
    const progress = progressAt("probe", match, next);
    progress.appendPaused = true;
    assert.equal(progress.maybeDecrement(rejected, hint), accepted, `${match} ${next} ${rejected} ${hint}`);
    assert.deepEqual([progress.next, progress.appendPaused], [nextAfter, !accepted]);
  }
});

test("probing begins behind the match, or behind a snapshot that was on its way", () => {
  const replicating = progressAt("replicate", 1, 5);
  replicating.sentCommit = 4;
  replicating.becomeProbe();
  assert.deepEqual([replicating.state, replicating.next, replicating.sentCommit], ["probe", 2, 1]);
  const waiting = progressAt("probe", 1, 5);
  waiting.becomeSnapshot(10);
  assert.deepEqual([waiting.next, waiting.pendingSnapshot, waiting.isPaused], [11, 10, true]);
  waiting.becomeProbe();
  assert.deepEqual([waiting.next, waiting.pendingSnapshot, waiting.isPaused], [11, 0, false]);
});

test("an acknowledgement only moves forward", () => {
  const progress = progressAt("replicate", 3, 5);
  assert.deepEqual([progress.maybeUpdate(3), progress.match, progress.next], [false, 3, 5]);
  assert.deepEqual([progress.maybeUpdate(4), progress.match, progress.next], [true, 4, 5]);
  assert.deepEqual([progress.maybeUpdate(7), progress.match, progress.next], [true, 7, 8]);
});

test("a commit index is worth telling only if it is news and within what was sent", () => {
  const progress = progressAt("replicate", 3, 8);
  progress.sentCommit = 5;
  assert.equal(progress.canBumpCommit(5), false);
  assert.equal(progress.canBumpCommit(6), true);
  progress.sentCommit = 7;
  assert.equal(progress.canBumpCommit(9), false);
});

test("a probe with entries pauses, a full window pauses", () => {
  const probe = progressAt("probe", 0, 5);
  probe.sentEntries(0, 0);
  assert.equal(probe.isPaused, false);
  probe.sentEntries(2, 20);
  assert.deepEqual([probe.isPaused, probe.next], [true, 5]);

  const progress = new Progress({ id: 2n, next: 5, inflights: new Inflights(2, 0), isLearner: false });
  progress.becomeReplicate();
  progress.sentEntries(3, 30);
  assert.deepEqual([progress.isPaused, progress.next], [false, 4]);
  progress.sentEntries(1, 10);
  assert.deepEqual([progress.isPaused, progress.inflights.count], [true, 2]);
  progress.becomeSnapshot(9);
  assert.throws(() => progress.sentEntries(1, 1), /no append may be sent/);
});
