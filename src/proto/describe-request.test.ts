import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import { describeRaftRequest, describeRequest, measureTxn, summarizeAnswer } from "./describe-request.ts";
import { InternalRaftRequestSchema } from "./gen/raft_internal_pb.ts";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  PutRequestSchema,
  RangeRequest_SortOrder,
  RangeRequestSchema,
  RangeResponseSchema,
  TxnRequestSchema,
} from "./gen/rpc_pb.ts";
import { RaftField } from "./raft-request.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function describe<S extends DescMessage>(field: number, schema: S, value: MessageInitShape<S>): string {
  const encoded = toBinary(schema, create(schema, value));
  return describeRequest(field, encoded, 0, encoded.length);
}

const put = (key: string) => ({
  request: { case: "requestPut" as const, value: { key: bytes(key), value: bytes("1") } },
});
const range = (key: string) => ({ request: { case: "requestRange" as const, value: { key: bytes(key) } } });
const TXN = {
  compare: [
    {
      target: Compare_CompareTarget.VALUE,
      key: bytes("foo"),
      targetUnion: { case: "value" as const, value: bytes("bar") },
    },
    {
      result: Compare_CompareResult.GREATER,
      target: Compare_CompareTarget.MOD,
      key: bytes("x"),
      targetUnion: { case: "modRevision" as const, value: 3n },
    },
  ],
  success: [put("a"), range("a")],
  failure: [put("b"), { request: { case: "requestDeleteRange" as const, value: { key: bytes("c") } } }],
};

// The texts are what etcd 3.6.6 logged of the same requests.
test("requests are shown as etcd shows them, values by their length", () => {
  const odd = create(PutRequestSchema, { key: bytes('k"\\x'), value: bytes("v\\u00e9"), prevKv: true });
  assert.equal(
    describe(RaftField.put, PutRequestSchema, odd),
    String.raw`key:"k\"\\x" value_size:7 prev_kv:true `,
  );
  const binary = { key: Uint8Array.of(0xff, 0xfe, 1), value: bytes("v") };
  assert.equal(
    describe(RaftField.put, PutRequestSchema, binary),
    String.raw`key:"\377\376\001" value_size:1 `,
  );
  assert.equal(
    describe(RaftField.range, RangeRequestSchema, {
      key: bytes("a"),
      rangeEnd: bytes("z"),
      limit: 2n,
      revision: 2n,
      sortOrder: RangeRequest_SortOrder.DESCEND,
    }),
    'key:"a" range_end:"z" limit:2 revision:2 sort_order:DESCEND ',
  );
  assert.equal(
    describe(RaftField.txn, TxnRequestSchema, TXN),
    'compare:<target:VALUE key:"foo" value_size:3  result:GREATER target:MOD key:"x" mod_revision:3 > ' +
      'success:<request_put:<key:"a" value_size:1 > request_range:<key:"a" > > ' +
      'failure:<request_put:<key:"b" value_size:1 > request_delete_range:<key:"c" > >',
  );
});

test("entries name their id; what could hold a secret is shown by its length", () => {
  const header = { ID: 7n };
  const shown = (value: MessageInitShape<typeof InternalRaftRequestSchema>): string => {
    const encoded = toBinary(InternalRaftRequestSchema, create(InternalRaftRequestSchema, value));
    return describeRaftRequest(encoded, 0, encoded.length);
  };
  assert.equal(
    shown({ header, put: { key: bytes("l"), value: bytes("v"), lease: 4660n } }),
    'header:<ID:7 > put:<key:"l" value_size:1 lease:4660 >',
  );
  assert.equal(shown({ header, compaction: { revision: 2n } }), "header:<ID:7 > compaction:<revision:2 > ");
  assert.equal(
    shown({ header, leaseGrant: { TTL: 100n, ID: 0x6b93a204cfca330en } }),
    "header:<ID:7 > lease_grant:<ttl:100-second id:6b93a204cfca330e>",
  );
  const user = shown({ header, authUserAdd: { name: "root", password: "secret" } });
  assert.match(user, /^header:<ID:7 > auth_user_add:<size:\d+ > $/);
});

test("long keys and many operations are cut off", () => {
  const long = describe(RaftField.range, RangeRequestSchema, { key: new Uint8Array(1_000_000).fill(0x61) });
  assert.ok(long.length <= 4100 && long.endsWith("..."), `${long.length}`);
  const many = { success: Array.from({ length: 1000 }, () => range("k")) };
  assert.ok(describe(RaftField.txn, TxnRequestSchema, many).length <= 4100);
});

test("malformed bytes are shown up to where they end", () => {
  const encoded = toBinary(
    PutRequestSchema,
    create(PutRequestSchema, { key: bytes("key"), value: bytes("value") }),
  );
  for (let end = 0; end < encoded.length; end++) describeRequest(RaftField.put, encoded, 0, end);
  assert.equal(describeRequest(RaftField.put, encoded, 0, encoded.length - 1), 'key:"key" ');
});

test("counts of answers and of the operations that a txn carried out", () => {
  const answer = toBinary(
    RangeResponseSchema,
    create(RangeResponseSchema, {
      header: { revision: 9n },
      kvs: [{ key: bytes("k") }],
      more: true,
      count: 12n,
    }),
  );
  assert.equal(summarizeAnswer(RaftField.range, answer, 0, answer.length).count, 12);
  const txn = toBinary(TxnRequestSchema, create(TxnRequestSchema, TXN));
  assert.deepEqual(measureTxn(txn, 0, txn.length, true), { count: 2, bytes: 13 });
  assert.deepEqual(measureTxn(txn, 0, txn.length, false), { count: 2, bytes: 13 });
});
