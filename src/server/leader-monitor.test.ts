import assert from "node:assert/strict";
import { test } from "node:test";
import { LeaderMonitor } from "./leader-monitor.ts";

test("streams that ask for a leader end after three election time-outs without one, and no earlier", () => {
  let hasLeader = true;
  const ended: string[] = [];
  const monitor = new LeaderMonitor(1_000_000, () => hasLeader);
  const [first, second, gone] = [{}, {}, {}];
  monitor.add(first, () => ended.push("first"));
  monitor.add(gone, () => ended.push("gone"));
  monitor.tick();
  hasLeader = false;
  monitor.tick();
  monitor.tick();
  hasLeader = true;
  monitor.tick();
  hasLeader = false;
  monitor.add(second, () => ended.push("second"));
  monitor.remove(gone);
  monitor.tick();
  monitor.tick();
  assert.deepEqual(ended, []);
  monitor.tick();
  assert.deepEqual(ended, ["first", "second"]);
  monitor.tick();
  assert.equal(ended.length, 2);
  monitor.stop();
});
