import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { openMeters } from "../base/meters.ts";
import { APPLY_LAYOUT } from "../base/thread-meters.ts";
import { type CompactionPace, CompactionApplier } from "./apply-compaction.ts";
import type { ApplyContext } from "./apply-context.ts";
import { COMPACT_SLICE_KEYS } from "./apply-limits.ts";

/** A compaction under way whose slices take `sliceMs`, and what they were asked for. */
function compaction(pace: CompactionPace | null, sliceMs: number) {
  const asked: number[] = [];
  const time = { nowMs: 1000 };
  const store = {
    compactRevision: 5,
    compactionWaitsForCursors: false,
    compactSlice: (keys: number): boolean => {
      asked.push(keys);
      time.nowMs += sliceMs;
      return false;
    },
  };
  const context = {
    store,
    meters: openMeters(APPLY_LAYOUT),
    clock: { monotonicMs: () => time.nowMs, unixMs: () => 0 },
  };
  const applier = new CompactionApplier(context as unknown as ApplyContext, {} as never, undefined, pace);
  equal(applier.restMs(time.nowMs), Infinity, "nothing to delete");
  applier.resume();
  return { applier, asked, time };
}

test("by itself a compaction rests after each slice as long as that took", () => {
  const { applier, asked, time } = compaction(null, 4);
  equal(applier.restMs(time.nowMs), 0);
  applier.runSlice();
  equal(applier.isRunnable, false);
  equal(applier.restMs(time.nowMs), 4);
  time.nowMs += 4;
  equal(applier.isRunnable, true);
  applier.runSlice();
  deepEqual(asked, [COMPACT_SLICE_KEYS, COMPACT_SLICE_KEYS]);
});

test("with the flags it rests as they say, and no slice is longer for them", () => {
  const { applier, asked, time } = compaction({ batchKeys: COMPACT_SLICE_KEYS + 100, restMs: 10 }, 1);
  applier.runSlice();
  equal(applier.isRunnable, true, "the batch goes on");
  applier.runSlice();
  equal(applier.restMs(time.nowMs), 10);
  time.nowMs += 10;
  applier.runSlice();
  deepEqual(asked, [COMPACT_SLICE_KEYS, 100, COMPACT_SLICE_KEYS]);
});
