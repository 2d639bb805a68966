import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { openMeters } from "../base/meters.ts";
import { APPLY_LAYOUT } from "../base/thread-meters.ts";
import { type CompactionPace, CompactionApplier, type CompactionWatcher } from "./apply-compaction.ts";
import type { ApplyContext } from "./apply-context.ts";
import type { BucketSink } from "./apply-interfaces.ts";
import { COMPACT_SLICE_KEYS } from "./apply-limits.ts";

/** A compaction under way whose slices take `sliceMs`, and what they were asked for. */
function compaction(pace: CompactionPace | null, sliceMs: number, slices = Infinity) {
  const asked: number[] = [];
  const time = { nowMs: 1000 };
  const told: string[] = [];
  const watcher: CompactionWatcher = {
    begin: () => undefined,
    isBusy: false,
    ended: (revision, tookMs) => told.push(`${revision} in ${tookMs} ms`),
  };
  const store = {
    compactRevision: 5,
    compactionWaitsForCursors: false,
    compactSlice: (keys: number): boolean => {
      asked.push(keys);
      time.nowMs += sliceMs;
      return asked.length >= slices;
    },
  };
  const buckets = { bucketPut: () => undefined } as unknown as BucketSink;
  const context = {
    store,
    meters: openMeters(APPLY_LAYOUT),
    clock: { monotonicMs: () => time.nowMs, unixMs: () => 0 },
  };
  const applier = new CompactionApplier(context as unknown as ApplyContext, buckets, watcher, pace);
  equal(applier.restMs(time.nowMs), Infinity, "nothing to delete");
  applier.resume();
  return { applier, asked, time, told };
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

test("the end of a compaction, also of one that an earlier life began, is told with the time it took, rests included", () => {
  const { applier, time, told } = compaction(null, 4, 2);
  applier.runSlice();
  time.nowMs += 4;
  deepEqual(told, []);
  applier.runSlice();
  deepEqual(told, ["5 in 12 ms"]);
});
