import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { Caller } from "../generator-connection.ts";
import { OpenLoop } from "./open-loop.ts";

const REQUEST = { path: "/a", body: Buffer.alloc(5) };

/** A loop on one connection whose answers come when the test says so, on a clock that the test drives. */
function startLoop(t: TestContext, perSecond: number) {
  t.mock.timers.enable({ apis: ["setInterval"] });
  let nowMs = 0;
  const unanswered: Caller[] = [];
  const broken = Promise.withResolvers<void>();
  const connection = {
    closed: broken.promise,
    send: (_: unknown, caller: Caller) => void unanswered.push(caller),
  };
  const loop = new OpenLoop({ connections: [connection], perSecond, next: () => REQUEST, now: () => nowMs });
  return {
    loop,
    unanswered,
    broken,
    pass: (ms: number): void => {
      for (let i = 0; i < ms; i++) {
        nowMs++;
        t.mock.timers.tick(1);
      }
    },
    answer: (status = "0"): void => {
      for (const caller of unanswered.splice(0)) caller.onEnd(status);
    },
  };
}

test("requests go out at the rate, whatever the answers do", (t) => {
  const { loop, unanswered, pass } = startLoop(t, 250);
  pass(2000);
  assert.equal(unanswered.length, 500);
  assert.equal(loop.take().answered, 0);
});

test("a latency counts from when a request was due, not from when there was room to send it", async (t) => {
  const { loop, unanswered, pass, answer } = startLoop(t, 10_000);
  // 1,000 are in flight after 100 ms; then the server stands still for 400 ms, and 4,000 more come due.
  pass(500);
  assert.equal(unanswered.length, 1000);
  answer();
  const stalled = loop.take();
  assert.equal(stalled.waiting, 4000);
  assert.ok(stalled.p50 > 400 && stalled.max < 500, JSON.stringify(stalled));
  pass(1);
  assert.equal(unanswered.length, 1000);
  answer();
  // Sent just now and answered at once, yet 300 to 400 ms late.
  const late = loop.take();
  assert.ok(late.p50 > 300 && late.max < 402, JSON.stringify(late));
  assert.equal(late.lagMaxMs, 0, "the server was the reason, and not the generator");
});

test("a call that fails and a connection that breaks reject", async (t) => {
  const first = startLoop(t, 1000);
  first.pass(1);
  first.answer("14 gone");
  await assert.rejects(first.loop.failed, /grpc-status 14 gone/);
  t.mock.timers.reset();
  const second = startLoop(t, 1000);
  second.broken.reject(new Error("the server closed the connection"));
  await assert.rejects(second.loop.failed, /closed the connection/);
});

test("stop waits for the answers that are missing", async (t) => {
  const { loop, pass, answer } = startLoop(t, 1000);
  pass(5);
  let isStopped = false;
  const stopped = loop.stop(60_000).then(() => (isStopped = true));
  pass(5);
  await Promise.resolve();
  assert.equal(isStopped, false);
  answer();
  await stopped;
  assert.equal(loop.take().answered, 5);
});
