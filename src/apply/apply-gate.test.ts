/** Alarms and quota at apply: what is refused, what is applied and answered "no space", and who is told. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import { MachineFixture, NO_REQUESTS } from "../../test/fuzz/machine-fixture.ts";
import { MemorySource } from "../../test/fuzz/memory-source.ts";
import { ErrorId } from "../base/errors.ts";
import { createMvccStore } from "../mvcc/mvcc.ts";
import {
  type AlarmRequest_AlarmAction,
  AlarmRequestSchema,
  AlarmResponseSchema,
  CompactionRequestSchema,
  DeleteRangeRequestSchema,
  PutRequestSchema,
  TxnRequestSchema,
} from "../proto/gen/rpc_pb.ts";
import { RaftField } from "../proto/raft-request.ts";
import { AlarmType, Alarms, encodeAlarmMember } from "./alarms.ts";
import { NO_LEASES } from "./apply-interfaces.ts";
import { requestCost } from "./request-cost.ts";

const key = (text: string): Uint8Array => new TextEncoder().encode(text);
const PUT = toBinary(PutRequestSchema, create(PutRequestSchema, { key: key("k"), value: key("v") }));
const DELETE = toBinary(DeleteRangeRequestSchema, create(DeleteRangeRequestSchema, { key: key("k") }));
const COMPACT = toBinary(CompactionRequestSchema, create(CompactionRequestSchema, { revision: 1n }));

function txn(shape: MessageInitShape<typeof TxnRequestSchema>): Uint8Array {
  return toBinary(TxnRequestSchema, create(TxnRequestSchema, shape));
}

const putOp = { request: { case: "requestPut" as const, value: { key: key("k"), value: key("v") } } };
const deleteOp = { request: { case: "requestDeleteRange" as const, value: { key: key("k") } } };

function setUp(quotaBytes = 0, alarms = new Alarms()) {
  const source = new MemorySource();
  const store = createMvccStore({ source, sink: source, valueBytesMax: 1 << 20 });
  const told = { reports: [] as number[], exceeded: [] as number[] };
  const requests = { ...NO_REQUESTS, applyRequest: () => true };
  const fixture = new MachineFixture(store, NO_LEASES, requests, {
    alarms,
    quotaBytes,
    reporter: {
      report: (all) => told.reports.push(all.list(AlarmType.none).length),
      spaceExceeded: (bytes) => told.exceeded.push(bytes),
    },
  });
  const apply = (field: number, payload: Uint8Array): number =>
    fixture.answer(fixture.apply(field, payload)).errorId;
  const alarm = (
    action: AlarmRequest_AlarmAction,
    memberId: bigint,
    type: 0 | 1 | 2,
  ): Array<[bigint, number]> => {
    const payload = toBinary(
      AlarmRequestSchema,
      create(AlarmRequestSchema, { action, memberID: memberId, alarm: type }),
    );
    const answer = fromBinary(
      AlarmResponseSchema,
      fixture.answer(fixture.apply(RaftField.alarm, payload)).bytes,
    );
    equal(answer.header?.revision, BigInt(store.revision));
    return answer.alarms.map((each) => [each.memberID, each.alarm]);
  };
  return { fixture, store, told, apply, alarm };
}

test("alarms are listed by type, raised once, taken back once, and kept in their bucket", () => {
  const { alarm, fixture, told } = setUp();
  const self = 2n ** 64n - 2n;
  deepEqual(alarm(0, 0n, AlarmType.none), []);
  deepEqual(alarm(1, self, AlarmType.corrupt), [[self, 2]]);
  deepEqual(alarm(1, self, AlarmType.corrupt), [[self, 2]], "a second time: it is there");
  deepEqual(alarm(1, 5n, AlarmType.noSpace), [[5n, 1]]);
  deepEqual(alarm(1, 5n, AlarmType.none), []);
  deepEqual(alarm(0, 0n, AlarmType.none), [
    [5n, 1],
    [self, 2],
  ]);
  deepEqual(alarm(0, 0n, AlarmType.noSpace), [[5n, 1]]);
  deepEqual(alarm(2, 5n, AlarmType.corrupt), [], "not that one");
  deepEqual(alarm(2, self, AlarmType.corrupt), [[self, 2]]);
  deepEqual(told.reports, [1, 2, 1]);
  equal(fixture.buckets.changes.length, 3);
  ok(fixture.buckets.changes.every((change) => /^(put|delete) 8 /.test(change)));
});

test("NOSPACE refuses what takes space, on every member alike, and nothing else", () => {
  const { alarm, apply, store } = setUp();
  equal(apply(RaftField.put, PUT), 0);
  alarm(1, 5n, AlarmType.noSpace);
  const revision = store.revision;
  equal(apply(RaftField.put, PUT), ErrorId.noSpace);
  equal(apply(RaftField.txn, txn({ success: [putOp] })), ErrorId.noSpace);
  equal(
    apply(RaftField.txn, txn({ success: [deleteOp], failure: [putOp] })),
    ErrorId.noSpace,
    "the other branch counts",
  );
  equal(apply(RaftField.leaseGrant, new Uint8Array(0)), ErrorId.noSpace);
  equal(store.revision, revision);
  equal(apply(RaftField.txn, txn({ success: [deleteOp] })), 0);
  equal(apply(RaftField.deleteRange, DELETE), 0);
  equal(apply(RaftField.compaction, COMPACT), 0);
  alarm(2, 5n, AlarmType.noSpace);
  equal(apply(RaftField.put, PUT), 0);
});

test("CORRUPT refuses all of the data, and alarms can still be taken back", () => {
  const { alarm, apply } = setUp();
  alarm(1, 0n, AlarmType.corrupt);
  const fields = [
    [RaftField.put, PUT],
    [RaftField.deleteRange, DELETE],
    [RaftField.txn, txn({ success: [deleteOp] })],
    [RaftField.compaction, COMPACT],
    [RaftField.leaseRevoke, new Uint8Array(0)],
  ] as const;
  for (const [field, payload] of fields) equal(apply(field, payload), ErrorId.corrupt);
  alarm(2, 0n, AlarmType.corrupt);
  equal(apply(RaftField.put, PUT), 0);
});

test("over the quota a request is applied and answered no space; main is told once a measurement, and of larger ones", () => {
  const { apply, fixture, store, told } = setUp(1000);
  fixture.machine.noteSize(741);
  equal(apply(RaftField.put, PUT), 0, "256 and 2 bytes fit below 1000");
  fixture.machine.noteSize(742);
  const revision = store.revision;
  equal(apply(RaftField.put, PUT), ErrorId.noSpace);
  equal(apply(RaftField.txn, txn({ success: [putOp] })), ErrorId.noSpace);
  equal(store.revision, revision + 2, "other members may have room: the state must be the same");
  deepEqual(told.exceeded, [258]);
  const lost = toBinary(PutRequestSchema, create(PutRequestSchema, { key: key("x"), ignoreValue: true }));
  equal(apply(RaftField.put, lost), ErrorId.keyNotFound, "its own error comes first");
  equal(apply(RaftField.deleteRange, DELETE), 0);
  fixture.machine.noteSize(900);
  equal(apply(RaftField.put, PUT), ErrorId.noSpace);
  equal(apply(RaftField.txn, txn({ success: [putOp, putOp] })), ErrorId.noSpace);
  deepEqual(told.exceeded, [258, 258, 516], "a larger one is told too");
});

test("alarms that storage holds are active from the start", () => {
  const alarms = new Alarms();
  alarms.restore([{ key: encodeAlarmMember({ memberId: 5n, type: AlarmType.noSpace }) }]);
  equal(setUp(0, alarms).apply(RaftField.put, PUT), ErrorId.noSpace);
});

test("costs are etcd's", () => {
  const cost = (field: number, payload: Uint8Array): number => requestCost(field, payload, 0, payload.length);
  equal(cost(RaftField.put, PUT), 258);
  equal(cost(RaftField.txn, txn({ success: [putOp, deleteOp], failure: [putOp, putOp] })), 516);
  const nested = { request: { case: "requestTxn" as const, value: { success: [putOp] } } };
  equal(cost(RaftField.txn, txn({ success: [nested] })), 0, "as etcd 3.6.6");
  equal(cost(RaftField.leaseGrant, new Uint8Array(0)), 64);
  equal(cost(RaftField.deleteRange, DELETE), 0);
});
