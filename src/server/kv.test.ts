/** Where each request of the KV service goes, and that nothing goes anywhere that the checks refuse. */
import { deepEqual, equal } from "node:assert/strict";
import { afterEach, test } from "node:test";
import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";

import { ServiceFixture } from "../../test/support/service-fixture.ts";
import {
  CompactionRequestSchema,
  DeleteRangeRequestSchema,
  PutRequestSchema,
  RangeRequestSchema,
  TxnRequestSchema,
} from "../proto/gen/rpc_pb.ts";
import { RaftField, RaftRequestView } from "../proto/raft-request.ts";
import { ReadKind, RecordType } from "../ring/record-types.ts";
import { kvMethods } from "./kv.ts";

const key = Buffer.from("k");
let fixture = new ServiceFixture();
let methods = kvMethods(fixture.router, { txnOpsMax: 2 });
afterEach(() => {
  fixture.stop();
  fixture = new ServiceFixture();
  methods = kvMethods(fixture.router, { txnOpsMax: 2 });
});

const range = (request: MessageInitShape<typeof RangeRequestSchema>) =>
  toBinary(RangeRequestSchema, create(RangeRequestSchema, request));
const txn = (request: MessageInitShape<typeof TxnRequestSchema>) =>
  toBinary(TxnRequestSchema, create(TxnRequestSchema, request));
const rangeOp = (serializable: boolean) => ({
  request: { case: "requestRange" as const, value: { key, serializable } },
});
const putOp = { request: { case: "requestPut" as const, value: { key } } };

test("writes are proposed with the client's bytes", () => {
  const requests = [
    [
      "Put",
      RaftField.put,
      toBinary(PutRequestSchema, create(PutRequestSchema, { key, value: Buffer.from("v") })),
    ],
    [
      "DeleteRange",
      RaftField.deleteRange,
      toBinary(DeleteRangeRequestSchema, create(DeleteRangeRequestSchema, { key })),
    ],
    ["Txn", RaftField.txn, txn({ success: [putOp] })],
    [
      "Compact",
      RaftField.compaction,
      toBinary(CompactionRequestSchema, create(CompactionRequestSchema, { revision: 5n })),
    ],
  ] as const;
  for (const [name, field, bytes] of requests) {
    equal(fixture.call(methods, name, bytes).status, null);
    const [record, ...others] = fixture.raftRecords();
    deepEqual(others, []);
    equal(record?.type, RecordType.propose);
    const view = new RaftRequestView();
    equal(view.decode(record.payload, 0, record.payload.length), true);
    equal(view.field, field, name);
    deepEqual(record.payload.subarray(view.payloadStart, view.payloadEnd), Buffer.from(bytes));
  }
  deepEqual(fixture.applyRecords(), []);
});

test("a range end that is there and empty is not proposed: members of etcd would read it in another way", () => {
  const withEmptyEnd = Buffer.from("0a016b1200", "hex");
  const inOp = Buffer.concat([Buffer.from("12071a05", "hex"), withEmptyEnd]);
  const cases = [
    ["DeleteRange", withEmptyEnd, "0a016b"],
    ["Txn", inOp, "12051a030a016b"],
  ] as const;
  for (const [name, request, expected] of cases) {
    fixture.call(methods, name, request);
    const [{ payload }] = fixture.raftRecords();
    const view = new RaftRequestView();
    equal(view.decode(payload, 0, payload.length), true);
    equal(payload.subarray(view.payloadStart, view.payloadEnd).toString("hex"), expected, name);
  }
});

test("reads go through raft unless they are serializable", () => {
  const cases = [
    ["Range", ReadKind.range, range({ key }), true],
    ["Range", ReadKind.range, range({ key, serializable: true }), false],
    ["Txn", ReadKind.txn, txn({ success: [rangeOp(true)], failure: [rangeOp(false)] }), true],
    ["Txn", ReadKind.txn, txn({ success: [rangeOp(true)] }), false],
  ] as const;
  for (const [name, kind, bytes, throughRaft] of cases) {
    fixture.call(methods, name, bytes);
    const [raft, apply] = [fixture.raftRecords(), fixture.applyRecords()];
    const [record] = throughRaft ? raft : apply;
    equal(raft.length + apply.length, 1, name);
    equal(record?.type, RecordType.read);
    deepEqual(record.payload, Buffer.concat([Buffer.of(kind), bytes]));
  }
});

test("what the checks refuse is answered at once and goes nowhere", () => {
  const cases = [
    ["Put", Buffer.alloc(0), 3, "etcdserver: key is not provided"],
    ["Range", Buffer.alloc(0), 3, "etcdserver: key is not provided"],
    ["DeleteRange", Buffer.alloc(0), 3, "etcdserver: key is not provided"],
    ["Txn", txn({ success: [putOp, putOp, putOp] }), 3, "etcdserver: too many operations in txn request"],
    ["Txn", txn({ success: [putOp, putOp] }), 3, "etcdserver: duplicate key given in txn request"],
    ...["Put", "Range", "DeleteRange", "Txn", "Compact"].map((name) => {
      return [name, Buffer.of(0x0a, 5, 1), 13, "grpc: error unmarshalling request: unexpected EOF"] as const;
    }),
  ] as const;
  for (const [name, bytes, code, message] of cases)
    deepEqual(fixture.call(methods, name, bytes).status, { code, message }, name);
  deepEqual([fixture.raftRecords(), fixture.applyRecords()], [[], []]);
  equal(fixture.router.pendingRequests, 0);
});

test("all but compactions, and streams, which wait for their client themselves, are kept back while their client does not read", () => {
  deepEqual(
    methods.filter((method) => method.paced !== true).map((method) => method.path),
    ["/etcdserverpb.KV/Compact", "/etcdserverpb.KV/RangeStream"],
  );
});
