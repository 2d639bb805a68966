/** Auto-compaction on virtual time: when, and to which revision. */
import { deepEqual } from "node:assert/strict";
import { test } from "node:test";

import { SILENT_LOGGER } from "../telemetry/logger.ts";
import { compactByRevision, compactPeriodically, type CompactorOptions } from "./auto-compactor.ts";

const MINUTE = 60_000;
const END = new Error("the time is over");

/** Runs one mode for `minutes`; the revision is one more than the seconds that have passed. Returns [minute, target] of each attempt. */
async function runFor(
  minutes: number,
  start: (options: CompactorOptions) => Promise<never>,
  {
    isLeader = () => true,
    fails = () => false,
    revision = (ms: number) => 1 + Math.floor(ms / 1000),
  }: {
    isLeader?: (ms: number) => boolean;
    fails?: (ms: number) => boolean;
    revision?: (ms: number) => number;
  } = {},
): Promise<Array<[minute: number, target: number]>> {
  let now = 0;
  const attempts: Array<[number, number]> = [];
  const running = start({
    nowMs: () => now,
    sleep: (ms) => {
      now += ms;
      return now > minutes * MINUTE ? Promise.reject(END) : Promise.resolve();
    },
    revision: () => revision(now),
    isLeader: () => isLeader(now),
    compact: (target) => {
      attempts.push([now / MINUTE, target]);
      return fails(now) ? Promise.reject(new Error("no")) : Promise.resolve();
    },
    log: SILENT_LOGGER,
  });
  await running.catch((error: unknown) => {
    if (error !== END) throw error;
  });
  return attempts;
}

test("a period below an hour: first after one period, then every period, to what was current a period and a note ago", async () => {
  const attempts = await runFor(35, (options) => compactPeriodically(options, 10 * MINUTE));
  deepEqual(attempts, [
    [10, 1],
    [20, 541],
    [30, 1141],
  ]);
});

test("a longer period: first after all of it, then every hour", async () => {
  const attempts = await runFor(260, (options) => compactPeriodically(options, 120 * MINUTE));
  deepEqual(attempts, [
    [120, 1],
    [180, 3241],
    [240, 6841],
  ]);
});

test("what fails is tried again a tenth of the interval later", async () => {
  const attempts = await runFor(12, (options) => compactPeriodically(options, 10 * MINUTE), {
    fails: (ms) => ms === 10 * MINUTE,
  });
  deepEqual(attempts, [
    [10, 1],
    [11, 1],
  ]);
});

test("a member that does not lead compacts nothing, and knows what is due when it does", async () => {
  const attempts = await runFor(16, (options) => compactPeriodically(options, 10 * MINUTE), {
    isLeader: (ms) => ms > 14 * MINUTE,
  });
  deepEqual(attempts, [[15, 241]]);
});

test("a revision that has been compacted to is not tried again", async () => {
  const attempts = await runFor(60, (options) => compactPeriodically(options, 10 * MINUTE), {
    revision: () => 5,
  });
  deepEqual(attempts, [[10, 5]]);
});

test("by revision: every five minutes, less what is to stay, if that is anything new", async () => {
  const attempts = await runFor(21, (options) => compactByRevision(options, 400));
  deepEqual(attempts, [
    [10, 201],
    [15, 501],
    [20, 801],
  ]);
  deepEqual(await runFor(21, (options) => compactByRevision(options, 5), { revision: () => 9 }), [[5, 4]]);
});
