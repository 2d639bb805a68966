/** Ids, slots that slow requests hold, and time-outs. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";

import { RecordingCall } from "../../test/support/service-fixture.ts";
import { PendingRequests } from "./pending-requests.ts";

const FIRST = 0x1234_0000_0000;

test("a slow request holds up nobody, however many come and go meanwhile", () => {
  const pending = new PendingRequests(FIRST);
  const slow = new RecordingCall();
  const slowId = pending.add(slow, 0);
  const ids = new Set([slowId]);
  for (let i = 0; i < 2_000_000; i++) {
    const call = new RecordingCall();
    const id = pending.add(call, 1);
    ok(id > slowId);
    if (i % 100_000 === 0) ids.add(id);
    equal(pending.remove(id), call);
  }
  equal(ids.size, 21);
  equal(pending.size, 1);
  equal(pending.remove(slowId), slow);
  equal(pending.remove(slowId), null);
});

test("many at once: the table grows, and each is found again", () => {
  const pending = new PendingRequests(FIRST);
  const calls = Array.from({ length: 100_000 }, () => new RecordingCall());
  const ids = calls.map((call) => pending.add(call, 0));
  equal(new Set(ids).size, calls.length);
  equal(pending.size, calls.length);
  for (let i = calls.length - 1; i >= 0; i--) equal(pending.remove(ids[i]), calls[i]);
  equal(pending.size, 0);
});

test("time-outs take the oldest in order, past ids that were never used", () => {
  const pending = new PendingRequests(FIRST);
  const slow = pending.add(new RecordingCall(), 0);
  for (let i = 0; i < 10_000; i++) pending.remove(pending.add(new RecordingCall(), 1));
  const late = [pending.add(new RecordingCall(), 5), pending.add(new RecordingCall(), 9)];
  const expired: number[] = [];
  const note = (_call: unknown, id: number): void => void expired.push(id);
  pending.expire(5, note);
  deepEqual(expired, [slow]);
  pending.expire(6, note);
  deepEqual(expired, [slow, late[0]]);
  equal(pending.size, 1);
});
