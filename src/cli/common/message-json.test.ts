import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  AlarmResponseSchema,
  AlarmType,
  RangeResponseSchema,
  TxnResponseSchema,
} from "../../proto/gen/rpc_pb.ts";
import { goJsonString, messageToJson } from "./message-json.ts";

test("fields in order under their own names, exact numbers, base64, zero values left out", () => {
  const message = create(RangeResponseSchema, {
    header: { clusterId: 14841639068965178418n, memberId: 0n, revision: 9n, raftTerm: 2n },
    kvs: [{ key: Buffer.from("a"), value: Buffer.from([0xff]), modRevision: 9007199254740993n, lease: -1n }],
    count: 1n,
  });
  assert.equal(
    messageToJson(RangeResponseSchema, message),
    '{"header":{"cluster_id":14841639068965178418,"revision":9,"raft_term":2},' +
      '"kvs":[{"key":"YQ==","mod_revision":9007199254740993,"value":"/w==","lease":-1}],"count":1}',
  );
});

test("a oneof is an object of its own", () => {
  const message = create(TxnResponseSchema, {
    succeeded: true,
    responses: [{ response: { case: "responsePut", value: { header: { revision: 3n } } } }, {}],
  });
  assert.equal(
    messageToJson(TxnResponseSchema, message),
    '{"succeeded":true,"responses":[{"Response":{"response_put":{"header":{"revision":3}}}},{"Response":null}]}',
  );
});

test("enums are numbers", () => {
  const message = create(AlarmResponseSchema, { alarms: [{ memberID: 1n, alarm: AlarmType.CORRUPT }] });
  assert.equal(messageToJson(AlarmResponseSchema, message), '{"alarms":[{"memberID":1,"alarm":2}]}');
});

test("strings are escaped as Go does", () => {
  assert.equal(goJsonString('<a href="x">&\u2028\n'), String.raw`"\u003ca href=\"x\"\u003e\u0026\u2028\n"`);
});
