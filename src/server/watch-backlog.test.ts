import assert from "node:assert/strict";
import { test } from "node:test";
import { RecordingCall } from "../../test/support/service-fixture.ts";
import { WATCH_REQUESTS_AHEAD_MAX, WatchBacklog } from "./watch-backlog.ts";
import { type WatchCall, WatchWindows } from "./watch-windows.ts";

/** A call whose connection can be stopped. */
class SocketCall extends RecordingCall {
  pauses = 0;

  pauseReading(): () => void {
    this.pauses++;
    return () => this.pauses--;
  }
}

class Fixture {
  fences = 0;
  canSend = true;
  readonly backlog = new WatchBacklog(() => {
    if (this.canSend) this.fences++;
    return this.canSend;
  });
  readonly #windows = new WatchWindows(() => true);

  open<T extends RecordingCall>(call: T): { call: T; state: WatchCall } {
    return { call, state: this.#windows.open(0, call) };
  }

  send(state: WatchCall, count: number): void {
    for (let i = 0; i < count; i++) this.backlog.sent(state);
  }
}

test("who sends while too much waits is not read until everything was handled", () => {
  const fixture = new Fixture();
  const { backlog } = fixture;
  const [many, few, silent] = [new SocketCall(), new SocketCall(), new SocketCall()].map((call) =>
    fixture.open(call),
  );
  fixture.send(silent.state, 1);
  fixture.send(many.state, WATCH_REQUESTS_AHEAD_MAX - 2);
  assert.deepEqual([many.call.pauses, fixture.fences], [0, 0]);
  fixture.send(many.state, 1);
  assert.deepEqual([many.call.pauses, fixture.fences], [1, 1]);
  // What was read already is sent, too.
  fixture.send(many.state, 5000);
  fixture.send(few.state, 2);
  assert.deepEqual(
    [many, few, silent].map(({ call }) => call.pauses),
    [1, 1, 0],
  );
  assert.equal(fixture.fences, 1);
  backlog.passed();
  assert.deepEqual(
    [many.call.pauses, few.call.pauses, fixture.fences],
    [1, 1, 2],
    "5002 are behind the first fence",
  );
  backlog.passed();
  assert.deepEqual([many.call.pauses, few.call.pauses, fixture.fences], [0, 0, 2]);
  fixture.send(many.state, WATCH_REQUESTS_AHEAD_MAX - 1);
  assert.deepEqual([many.call.pauses, fixture.fences], [0, 2], "counted anew");
  fixture.send(many.state, 1);
  assert.deepEqual([many.call.pauses, fixture.fences], [1, 3]);
});

test("nobody waits for a fence that could not be sent, or whose member stops", () => {
  const fixture = new Fixture();
  const { call, state } = fixture.open(new SocketCall());
  fixture.canSend = false;
  fixture.send(state, WATCH_REQUESTS_AHEAD_MAX + 1);
  assert.equal(call.pauses, 0);
  fixture.canSend = true;
  fixture.send(state, 2);
  assert.deepEqual([call.pauses, fixture.fences], [1, 1]);
  fixture.canSend = false;
  fixture.backlog.passed();
  assert.equal(call.pauses, 0, "the second one could not be sent");
  fixture.canSend = true;
  fixture.send(state, 1);
  fixture.backlog.release();
  assert.equal(call.pauses, 0, "stopped");
});

test("a call without a socket is let go on", () => {
  const fixture = new Fixture();
  const { state } = fixture.open(new RecordingCall());
  fixture.send(state, WATCH_REQUESTS_AHEAD_MAX + 1);
  assert.equal(state.resume, null);
  fixture.backlog.passed();
});
