/** What the router refuses a member's clients in a cluster: as a learner, without progress, and when time is over. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { RecordingCall, ServiceFixture } from "../../test/support/service-fixture.ts";
import { ERRORS, ErrorId } from "../base/errors.ts";
import type { MethodHandler } from "../grpc/service.ts";
import { RaftField } from "../proto/raft-request.ts";
import { ReadKind, RecordType } from "../ring/record-types.ts";
import { SILENT_LOGGER } from "../telemetry/logger.ts";
import { kvMethods } from "./kv.ts";
import { MemberStatus } from "./member-status.ts";
import { SpaceGuard } from "./space-guard.ts";
import { timeoutCause } from "./timeout-cause.ts";

const EMPTY = Buffer.alloc(0);

/** A cluster of 1 (this member), 2 and 3. */
function membership(options: { isLearner?: boolean } = {}): Buffer {
  const members = ["1", "2", "3"].map((id) => ({
    id,
    name: `m${id}`,
    peerUrls: [],
    clientUrls: [],
    isLearner: id === "1" && options.isLearner === true,
  }));
  return Buffer.from(JSON.stringify({ index: 1, members, removed: ["9"], clusterVersion: "3.6.0" }));
}

function leader(id: bigint): Buffer {
  const payload = Buffer.alloc(20);
  payload.writeBigUInt64LE(id, 8);
  payload.writeUInt32LE(id === 1n ? 1 : 0, 16);
  return payload;
}

function numbers(...values: number[]): Buffer {
  const payload = Buffer.alloc(8 * values.length);
  values.forEach((value, i) => payload.writeDoubleLE(value, 8 * i));
  return payload;
}

function refused(call: RecordingCall, errorId: number): void {
  const { grpcCode, message } = ERRORS[errorId];
  deepEqual(call.status, { code: grpcCode, message });
}

test("a learner says that it is one, whatever is wrong with a request or has no room", () => {
  const fixture = new ServiceFixture();
  const { router } = fixture;
  fixture.fromWorker(RecordType.membership, 0, membership({ isLearner: true }));
  const kv = (quotaBytes: number): MethodHandler[] => {
    const space = new SpaceGuard({ router, quotaBytes, autoDisarm: false, log: SILENT_LOGGER });
    return kvMethods(router, { txnOpsMax: 1, space });
  };
  const compare = [0x0a, 0];
  const requests = { Put: [], Range: [], DeleteRange: [], Txn: [...compare, ...compare], Compact: [] };
  for (const [name, bytes] of Object.entries(requests))
    for (const quotaBytes of [1, 1e9])
      refused(fixture.call(kv(quotaBytes), name, Buffer.from(bytes)), ErrorId.notSupportedForLearner);
  const put = Buffer.of(0x0a, 1, 0x6b);
  refused(fixture.call(kv(1), "Put", put), ErrorId.notSupportedForLearner);
  equal(fixture.raftRecords().length, 0, "no alarm");
  const serializable = Buffer.of(0x38, 1);
  refused(fixture.call(kv(1), "Range", serializable), ErrorId.emptyKey);
  refused(fixture.call(kv(1), "Put", Buffer.of(0x0a, 9)), ErrorId.malformedRequest);
  fixture.stop();
});

test("a learner answers serializable ranges alone; the member's own requests go on", () => {
  const fixture = new ServiceFixture();
  const { router } = fixture;
  fixture.fromWorker(RecordType.membership, 0, membership({ isLearner: true }));
  const attempts: Array<(call: RecordingCall) => void> = [
    (call) => router.propose(call, RaftField.put, EMPTY, 0, 0),
    (call) => router.read(call, ReadKind.range, true, EMPTY, 0, 0),
    (call) => router.read(call, ReadKind.txn, false, EMPTY, 0, 0),
    (call) => router.read(call, ReadKind.memberList, false, EMPTY, 0, 0),
    (call) => void router.admits(call, false),
  ];
  for (const attempt of attempts) {
    const call = new RecordingCall();
    attempt(call);
    refused(call, ErrorId.notSupportedForLearner);
  }
  router.read(new RecordingCall(), ReadKind.range, false, EMPTY, 0, 0);
  equal(fixture.applyRecords().length, 1);
  ok(router.admits(new RecordingCall(), true));
  router.request((call) => router.propose(call, RaftField.clusterMemberAttrSet, EMPTY, 0, 0)).catch(() => {});
  equal(fixture.raftRecords().length, 1);
  fixture.fromWorker(RecordType.membership, 0, membership());
  router.propose(new RecordingCall(), RaftField.put, EMPTY, 0, 0);
  equal(fixture.raftRecords().length, 1, "it was promoted");
  fixture.stop();
});

test("proposals are refused while more than 5000 committed entries are not applied; reads are not", () => {
  const fixture = new ServiceFixture();
  const { router } = fixture;
  const propose = (): RecordingCall => {
    const call = new RecordingCall();
    router.propose(call, RaftField.put, EMPTY, 0, 0);
    return call;
  };
  fixture.fromWorker(RecordType.raftStatus, 0, numbers(6000, 6000, 1));
  fixture.fromWorker(RecordType.applyStatus, 0, numbers(1000, 1, -1));
  equal(propose().status, null);
  fixture.fromWorker(RecordType.raftStatus, 0, numbers(6001, 6001, 1));
  refused(propose(), ErrorId.requestTooManyRequests);
  router.read(new RecordingCall(), ReadKind.range, true, EMPTY, 0, 0);
  equal(fixture.raftRecords().length, 2);
  fixture.stop();
});

test("a request that times out is told of the leader's loss, of a lost connection, or nothing", () => {
  const NOW_MS = 100_000;
  const NOW_UNIX_MS = 1_700_000_000_000;
  const status = new MemberStatus(1n);
  const take = (type: number, payload: Uint8Array): boolean =>
    status.take(type, 0, payload, 0, payload.length);
  take(RecordType.membership, membership());
  const cause = (startedMs: number, activeSinceMs: Record<string, number> | null): number => {
    const report = activeSinceMs && { lastIndex: 1, activeSinceMs, match: {} };
    const facts = { status, electionTimeoutMs: 1000, report, nowMs: NOW_MS, nowUnixMs: NOW_UNIX_MS };
    return timeoutCause(facts, startedMs);
  };
  const old = { 2: NOW_UNIX_MS - 60_000, 3: NOW_UNIX_MS - 60_000 };
  const young = { 2: NOW_UNIX_MS - 1000, 3: NOW_UNIX_MS - 1000 };
  const started = NOW_MS - 7000;
  equal(cause(started, old), ErrorId.timeout, "no leader");
  take(RecordType.leader, leader(2n));
  status.leaderElectedMs = started + 1;
  equal(cause(started, old), ErrorId.timeoutDueToLeaderFail);
  equal(cause(started - 1998, old), ErrorId.timeoutDueToLeaderFail);
  equal(cause(started - 1999, old), ErrorId.timeout, "long before");
  status.leaderElectedMs = 0;
  equal(cause(started, old), ErrorId.timeout);
  equal(cause(started, young), ErrorId.timeoutDueToConnectionLost);
  equal(cause(started, { ...old, 2: 0 }), ErrorId.timeoutDueToConnectionLost, "the leader is gone");
  equal(cause(started, { ...old, 3: 0 }), ErrorId.timeout, "another is gone");
  take(RecordType.leader, leader(1n));
  status.leaderElectedMs = 0;
  equal(cause(started, { ...old, 3: 0 }), ErrorId.timeout, "a quorum is left");
  equal(cause(started, young), ErrorId.timeoutDueToConnectionLost, "no quorum since");
  equal(cause(started, null), ErrorId.timeout, "raft was not asked");
});

test("what waits for a state goes on when it comes", async () => {
  const status = new MemberStatus(9n);
  const known = status.until(() => status.members.length > 0, Infinity);
  const late = status.until(() => false, 5);
  const payload = membership();
  status.take(RecordType.membership, 0, payload, 0, payload.length);
  equal(await known, true);
  equal(await late, false);
  equal(status.listeners.size, 0);
});
