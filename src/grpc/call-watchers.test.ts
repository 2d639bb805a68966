import assert from "node:assert/strict";
import { test } from "node:test";
import { CallWatchers } from "./call-watchers.ts";
import type { Call, CallWatcher, EndedCall } from "./service.ts";

test("each watcher is told of what is slow by its own threshold, as that is then", () => {
  const told: string[] = [];
  const watcher = (name: string, thresholdMs: () => number): CallWatcher => ({
    thresholdMs,
    onSlow: (call, { endedMs }) => told.push(`${name} ${call.path} ${endedMs}`),
  });
  let changing = Infinity;
  const watchers = new CallWatchers([watcher("a", () => 100), watcher("b", () => changing)]);
  const end = (tookMs: number): void =>
    watchers.onSlow({ path: "/x" } as Call, { startedMs: 1000, endedMs: 1000 + tookMs } as EndedCall);
  assert.equal(watchers.thresholdMs(), 100);
  end(100);
  end(101);
  changing = -1;
  assert.equal(watchers.thresholdMs(), -1);
  end(0);
  end(500);
  assert.deepEqual(told, ["a /x 1101", "b /x 1000", "a /x 1500", "b /x 1500"]);
});
