/** The quota in main: refused beforehand, the alarm raised once and taken back with room to spare. */
import { deepEqual, equal } from "node:assert/strict";
import { afterEach, test } from "node:test";

import { RecordingCall, ServiceFixture } from "../../test/support/service-fixture.ts";
import { decodeAlarmRequest } from "../apply/apply-alarm.ts";
import { encodeAlarms } from "../apply/alarms.ts";
import { RaftField, RaftRequestView } from "../proto/raft-request.ts";
import { RecordType } from "../ring/record-types.ts";
import { SILENT_LOGGER } from "../telemetry/logger.ts";
import { SpaceGuard } from "./space-guard.ts";

const EMPTY = Buffer.alloc(0);
/** PutRequest {key: "k", value: 744 bytes}: costs 1001. */
const PUT = Buffer.concat([Buffer.of(0x0a, 1, 0x6b, 0x12, 0xe8, 0x05), Buffer.alloc(744)]);

let fixture: ServiceFixture;
afterEach(() => fixture.stop());

function setUp(autoDisarm = true) {
  fixture = new ServiceFixture();
  const guard = new SpaceGuard({
    router: fixture.router,
    quotaBytes: 10_000,
    autoDisarm,
    log: SILENT_LOGGER,
  });
  const inUse = (bytes: number): void => {
    const payload = Buffer.alloc(32);
    payload.writeDoubleLE(bytes, 24);
    fixture.fromWorker(RecordType.applyStatus, 0, Buffer.from(Float64Array.of(1, 1, -1).buffer));
    fixture.fromWorker(RecordType.committed, 0, payload);
  };
  /** [action, type] of what was proposed; answers it after the alarms have changed. */
  const proposed = (alarms: number): Array<[number, number]> =>
    fixture.raftRecords().map(({ id, payload }) => {
      const view = new RaftRequestView();
      equal(view.decode(payload, 0, payload.length) && view.field, RaftField.alarm);
      const request = decodeAlarmRequest(payload, view.payloadStart, view.payloadEnd);
      fixture.fromWorker(
        RecordType.alarms,
        0,
        encodeAlarms(Array.from({ length: alarms }, () => ({ memberId: 1n, type: 1 }))),
      );
      fixture.fromWorker(RecordType.response, id, EMPTY);
      return [request?.action ?? -1, request?.type ?? -1];
    });
  const admits = (call: RecordingCall): boolean => guard.admits(call, RaftField.put, PUT, 0, PUT.length);
  return { guard, inUse, proposed, admits };
}

/** Apply says that an entry took `bytes`, for which there was no room. */
function exceeded(bytes: number): void {
  fixture.fromWorker(RecordType.spaceExceeded, 0, Buffer.from(Float64Array.of(bytes).buffer));
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("what does not fit is refused once the alarm is raised, and that once for all", async () => {
  const { inUse, proposed, admits } = setUp();
  inUse(8998);
  equal(admits(new RecordingCall()), true);
  inUse(8999);
  const calls = [new RecordingCall(), new RecordingCall()];
  for (const call of calls) equal(admits(call), false);
  deepEqual(
    calls.map(({ status }) => status),
    [null, null],
  );
  deepEqual(proposed(1), [[1, 1]]);
  await turn();
  for (const { status } of calls)
    deepEqual(status, { code: 8, message: "etcdserver: mvcc: database space exceeded" });
});

test("the alarm is taken back with room to spare, and not before", async () => {
  const { inUse, proposed, admits } = setUp();
  inUse(9999);
  admits(new RecordingCall());
  proposed(1);
  await turn();
  inUse(8500);
  deepEqual(proposed(1), [], "what was refused would be refused again before long");
  inUse(8499);
  deepEqual(proposed(0), [[2, 1]], "1001 and 500 bytes are free");
  await turn();
  inUse(8000);
  deepEqual(proposed(0), []);
});

test("the largest of what was refused has to fit, also when it came later, or apply has seen it", async () => {
  const { inUse, guard, proposed, admits } = setUp();
  inUse(9999);
  admits(new RecordingCall());
  proposed(1);
  await turn();
  const large = Buffer.concat([Buffer.of(0x0a, 1, 0x6b, 0x12, 0xe8, 0x25), Buffer.alloc(4840)]);
  equal(guard.admits(new RecordingCall(), RaftField.put, large, 0, large.length), false, "costs 5097");
  exceeded(2000);
  inUse(4404);
  deepEqual(proposed(1), []);
  inUse(4403);
  deepEqual(proposed(0), [[2, 1]]);
  await turn();
  inUse(9000);
  exceeded(2000);
  deepEqual(proposed(1), [[1, 1]]);
  await turn();
  inUse(7501);
  deepEqual(proposed(1), []);
  inUse(7500);
  deepEqual(proposed(0), [[2, 1]], "what was refused before the last alarm went is forgotten");
});

test("a lease takes room as well", () => {
  const { guard, inUse } = setUp();
  const grant = (): boolean => guard.admits(new RecordingCall(), RaftField.leaseGrant, EMPTY, 0, 0);
  inUse(9935);
  equal(grant(), true);
  inUse(9936);
  equal(grant(), false);
});

test("what apply has seen raises it too; what somebody set by hand stays", async () => {
  const { inUse, proposed } = setUp();
  inUse(100);
  fixture.fromWorker(RecordType.alarms, 0, encodeAlarms([{ memberId: 1n, type: 1 }]));
  inUse(100);
  deepEqual(proposed(1), [], "nobody knows why it was set");
  fixture.fromWorker(RecordType.alarms, 0, EMPTY);
  exceeded(300);
  deepEqual(proposed(1), [[1, 1]]);
  await turn();
});

test("the operator's way: it stays", async () => {
  const { inUse, proposed, admits } = setUp(false);
  inUse(9999);
  admits(new RecordingCall());
  proposed(1);
  await turn();
  inUse(10);
  deepEqual(proposed(1), []);
});
