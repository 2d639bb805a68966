import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { PutRequestSchema, RangeRequestSchema, TxnRequestSchema } from "../proto/gen/rpc_pb.ts";
import { RaftField, raftRequestBytes, writeRaftRequest } from "../proto/raft-request.ts";
import { ReadKind } from "../ring/record-types.ts";
import { type SlowApply, SlowApplies } from "./slow-applies.ts";

const OUTCOME = { tookMs: 150, nowMs: 1000, errorId: 0 };

test("what was slow is told in etcd's words, and no more than a hundred times a second", () => {
  const told: SlowApply[] = [];
  const slow = new SlowApplies((each) => told.push(each));
  const put = toBinary(
    PutRequestSchema,
    create(PutRequestSchema, { key: Buffer.from("k"), value: Buffer.from("secret") }),
  );
  const entry = new Uint8Array(raftRequestBytes(RaftField.put, put.length, 1, 0));
  writeRaftRequest(entry, 0, RaftField.put, put, 0, put.length, 1, 0);
  const range = toBinary(RangeRequestSchema, create(RangeRequestSchema, { key: Buffer.from("r") }));
  const txn = toBinary(TxnRequestSchema, create(TxnRequestSchema, {}));
  slow.tellEntry(entry, 0, entry.length, OUTCOME);
  slow.tellRead(ReadKind.range, range, 0, range.length, OUTCOME);
  slow.tellRead(ReadKind.txn, txn, 0, txn.length, { ...OUTCOME, errorId: 7 });
  deepEqual(told, [
    {
      tookMs: 150,
      prefix: "",
      request: 'header:<ID:1 > put:<key:"k" value_size:6 >',
      errorId: 0,
    },
    { tookMs: 150, prefix: "read-only range ", request: 'key:"r" ', errorId: 0 },
    { tookMs: 150, prefix: "read-only txn ", request: "compare:<> success:<> failure:<>", errorId: 7 },
  ]);
  for (let i = 0; i < 200; i++) slow.tellEntry(entry, 0, entry.length, OUTCOME);
  equal(told.length, 100);
  slow.tellEntry(entry, 0, entry.length, { ...OUTCOME, nowMs: 2000 });
  equal(told.length, 101);
});
