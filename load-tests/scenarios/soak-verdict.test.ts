import assert from "node:assert/strict";
import { test } from "node:test";
import { JUDGED_SECONDS_MIN, judgeSoak, type SoakSample } from "./soak-verdict.ts";

const LIMITS = { warmUpSeconds: 300, rssSlopeMbPerHourMax: 20, driftMax: 1.5 };
const NAMES = ["m1", "m2"];

/** An hour of a quiet run, changed by `change`. */
function samples(change: (second: number) => Partial<SoakSample>, length = 3600): SoakSample[] {
  return Array.from({ length }, (_, seconds) => ({
    seconds,
    perSecond: 500,
    p50: 1,
    p99: 5,
    p999: 20,
    max: 30,
    // Saw teeth of 60 MB, and much more while it warms up.
    rss: NAMES.map(() => 200e6 + (seconds % 97) * 0.6e6 + Math.min(seconds, 300) * 1e5),
    mapped: NAMES.map(() => 50e6),
    collected: null,
    databaseSize: [1, 1],
    databaseInUse: [1, 1],
    events: 500,
    ...change(seconds),
  }));
}

const failures = (run: readonly SoakSample[]): string[] =>
  judgeSoak(run, NAMES, LIMITS)
    .filter(({ passed }) => passed !== true)
    .map(({ what }) => what.split(":")[0]);

test("saw teeth, warm-up and single slow seconds pass", () => {
  const spikes = samples((second) => (second % 60 === 0 ? { p99: 900, rss: [900e6, 900e6] } : {}));
  assert.deepEqual(failures(spikes), []);
});

test("memory of one member that grows by 30 MB an hour fails, and is named", () => {
  const growing = samples((second) => ({
    rss: [200e6, 200e6 + (second * 30e6) / 3600 + (second % 97) * 0.6e6],
  }));
  assert.deepEqual(failures(growing), ["m2"]);
});

test("where collections were forced, what they left is judged and nothing else", () => {
  const rising = samples((second) => ({
    rss: NAMES.map(() => 200e6 + (second * 90e6) / 3600),
    collected: second % 60 === 0 ? [90e6, 90e6 + (second * 30e6) / 3600] : null,
  }));
  assert.deepEqual(failures(rising), ["m2"]);
});

test("pages of a database file that grows are not the member's memory", () => {
  const mapping = samples((second) => {
    const mapped = 50e6 + (second * 100e6) / 3600;
    return { rss: [200e6 + mapped, 250e6], mapped: [mapped, 50e6] };
  });
  assert.deepEqual(failures(mapping), []);
});

test("latencies that rise by more than the limit fail", () => {
  assert.deepEqual(failures(samples((second) => ({ p99: 5 + second / 600 }))), ["99 % latency"]);
  assert.deepEqual(failures(samples((second) => ({ p50: 0.2 + second / 7200 }))), [], "below a millisecond");
});

test("a run that is too short is not judged, and does not pass", () => {
  const [only, ...others] = judgeSoak(
    samples(() => ({}), 300 + JUDGED_SECONDS_MIN - 1),
    NAMES,
    LIMITS,
  );
  assert.equal(only.passed, null);
  assert.deepEqual(others, []);
});
