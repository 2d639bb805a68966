import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ErrorId } from "../base/errors.ts";
import {
  CompareSchema,
  DeleteRangeRequestSchema,
  PutRequestSchema,
  RangeRequestSchema,
  type RequestOpSchema,
  TxnRequestSchema,
} from "../proto/gen/rpc_pb.ts";
import {
  checkCompaction,
  checkDeleteRange,
  checkPut,
  checkRange,
  isSerializableRange,
} from "./validate-kv.ts";
import { checkTxn, classifyTxn, routeOfCheckedTxn, TxnRoute } from "./validate-txn.ts";

type Op = MessageInitShape<typeof RequestOpSchema>;
type Txn = MessageInitShape<typeof TxnRequestSchema>;

const key = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));
const put = (k: string): Op => ({ request: { case: "requestPut", value: { key: key(k) } } });
const del = (k: string, end = ""): Op => ({
  request: { case: "requestDeleteRange", value: { key: key(k), rangeEnd: key(end) } },
});
const get = (k: string, serializable = false): Op => ({
  request: { case: "requestRange", value: { key: key(k), serializable } },
});
const nested = (value: Txn): Op => ({ request: { case: "requestTxn", value } });
const compare = (k: string) => create(CompareSchema, { key: key(k) });

function nameOf(errorId: number): string {
  return Object.entries(ErrorId).find(([, id]) => id === errorId)?.[0] ?? String(errorId);
}

test("Put, Range and DeleteRange are refused as in etcd", () => {
  const putOf = (init: MessageInitShape<typeof PutRequestSchema>): string => {
    const bytes = toBinary(PutRequestSchema, create(PutRequestSchema, init));
    return nameOf(checkPut(bytes, 0, bytes.length));
  };
  assert.equal(putOf({ key: key("k") }), "none");
  assert.equal(putOf({ value: key("v"), ignoreValue: true }), "emptyKey");
  assert.equal(
    putOf({ key: key("k"), value: key("v"), ignoreValue: true, lease: 1n, ignoreLease: true }),
    "valueProvided",
  );
  assert.equal(putOf({ key: key("k"), lease: -1n, ignoreLease: true }), "leaseProvided");
  assert.equal(putOf({ key: key("k"), lease: 1n << 40n, ignoreLease: true }), "leaseProvided");
  assert.equal(putOf({ key: key("k"), ignoreLease: true, ignoreValue: true }), "none");

  const rangeOf = (init: MessageInitShape<typeof RangeRequestSchema>): string => {
    const bytes = toBinary(RangeRequestSchema, create(RangeRequestSchema, init));
    const name = nameOf(checkRange(bytes, 0, bytes.length));
    assert.equal(isSerializableRange(), init.serializable === true);
    return name;
  };
  assert.equal(rangeOf({ sortOrder: 7 as 0 }), "emptyKey");
  assert.equal(rangeOf({ key: key("k"), sortOrder: 3 as 0 }), "invalidSortOption");
  assert.equal(rangeOf({ key: key("k"), sortTarget: 5 as 0, serializable: true }), "invalidSortOption");
  assert.equal(rangeOf({ key: key("k"), sortTarget: -1 as 0 }), "invalidSortOption");
  assert.equal(rangeOf({ key: key("k"), sortTarget: 4, sortOrder: 2, serializable: true }), "none");

  const deleteOf = (k: string): string => {
    const bytes = toBinary(
      DeleteRangeRequestSchema,
      create(DeleteRangeRequestSchema, { key: key(k), rangeEnd: key("z") }),
    );
    return nameOf(checkDeleteRange(bytes, 0, bytes.length));
  };
  assert.equal(deleteOf(""), "emptyKey");
  assert.equal(deleteOf("k"), "none");
});

test("bytes that are no message are refused, and checks keep to their slice", () => {
  for (const check of [checkPut, checkRange, checkDeleteRange, checkCompaction]) {
    assert.equal(nameOf(check(Uint8Array.of(0x0a, 5, 1), 0, 3)), "malformedRequest", check.name);
    assert.equal(
      nameOf(check(Uint8Array.of(0x0d, 1, 2, 3, 4), 0, 5)),
      "malformedRequest",
      `${check.name}: known field of a wrong type`,
    );
  }
  const padded = Uint8Array.of(0xff, 0x0a, 1, 0x61, 0xff);
  assert.equal(checkPut(padded, 1, 4), ErrorId.none);
  // Unknown fields of all wire types are skipped.
  const unknown = Uint8Array.of(
    0x0a,
    1,
    0x61,
    0x98,
    0x06,
    1,
    0x99,
    0x06,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    0x9a,
    0x06,
    1,
    0,
    0x9d,
    0x06,
    1,
    2,
    3,
    4,
  );
  assert.equal(checkPut(unknown, 0, unknown.length), ErrorId.none);
});

const TXNS: ReadonlyArray<[string, Txn, string]> = [
  ["nothing at all", {}, "none"],
  ["three ops of three", { success: [put("a"), put("b"), get("c")] }, "none"],
  ["four ops of three", { success: [put("a"), put("b"), get("c"), get("d")] }, "tooManyOps"],
  ["four compares", { compare: ["a", "b", "c", "d"].map(compare) }, "tooManyOps"],
  [
    "too many ops come before an empty compare key",
    { compare: ["", "b", "c", "d"].map(compare) },
    "tooManyOps",
  ],
  [
    "the budget of a nested txn is what its parent left",
    { success: [nested({ success: [put("a"), put("b")] })] },
    "none",
  ],
  ["and no more", { success: [nested({ success: [put("a"), put("b"), put("c")] })] }, "tooManyOps"],
  [
    "siblings both have it",
    { success: [nested({ success: [put("a")] }), nested({ success: [put("b")] })] },
    "none",
  ],
  ["empty compare key", { compare: [compare("")], success: [put("")] }, "emptyKey"],
  ["nested empty compare key", { failure: [nested({ compare: [compare("")] })] }, "emptyKey"],
  ["an op with nothing set", { success: [{}] }, "keyNotFound"],
  ["success is judged before failure", { success: [{}], failure: [put("")] }, "keyNotFound"],
  ["op rules come before duplicates", { success: [put("a"), put("a"), put("")] }, "emptyKey"],
  ["one key twice", { success: [put("a"), put("a")] }, "duplicateKey"],
  ["one key twice in failure", { failure: [put("a"), put("a")] }, "duplicateKey"],
  ["one key in both branches", { success: [put("a")], failure: [put("a")] }, "none"],
  ["put and delete of a key", { success: [put("a"), del("a")] }, "duplicateKey"],
  ["put inside a deleted range", { success: [del("a", "c"), put("b")] }, "duplicateKey"],
  ["put at the end of a deleted range", { success: [del("a", "c"), put("c")] }, "none"],
  ["put before it", { success: [del("b", "c"), put("a\xff")] }, "none"],
  ["deletes overlap", { success: [del("a", "c"), del("b", "d")] }, "none"],
  ["an open end is taken literally: it covers nothing", { success: [del("a", "\0"), put("b")] }, "none"],
  ["a nested put of an outer key", { success: [put("a"), nested({ success: [put("a")] })] }, "duplicateKey"],
  [
    "a nested put in an outer deleted range",
    { success: [del("a", "c"), nested({ failure: [put("b")] })] },
    "duplicateKey",
  ],
  [
    "an outer put in a nested deleted range",
    { success: [put("b"), nested({ failure: [del("a", "c")] })] },
    "duplicateKey",
  ],
  [
    "both branches of a nested txn",
    { success: [nested({ success: [put("a")], failure: [put("a")] })] },
    "none",
  ],
  [
    "two nested txns",
    { success: [nested({ success: [put("a")] }), nested({ failure: [put("a")] })] },
    "duplicateKey",
  ],
  [
    "a nested put in the range an earlier sibling deletes",
    { success: [nested({ success: [del("a", "c")] }), nested({ success: [put("b")] })] },
    "duplicateKey",
  ],
  [
    "but not in that of a later sibling",
    { success: [nested({ success: [put("b")] }), nested({ success: [del("a", "c")] })] },
    "none",
  ],
  [
    "a branch deletes what the other puts",
    { success: [nested({ success: [put("b")], failure: [del("a", "c")] })] },
    "none",
  ],
];

for (const [name, txn, expected] of TXNS) {
  test(`txn: ${name}: ${expected}`, () => {
    const bytes = toBinary(TxnRequestSchema, create(TxnRequestSchema, txn));
    assert.equal(nameOf(checkTxn(bytes, 0, bytes.length, 3)), expected);
  });
}

test("txns of serializable ranges and txns without ops are serializable reads, other ranges linearizable ones", () => {
  const routeOf = (txn: Txn): number => {
    const bytes = toBinary(TxnRequestSchema, create(TxnRequestSchema, txn));
    assert.equal(checkTxn(bytes, 0, bytes.length, 128), ErrorId.none);
    assert.equal(routeOfCheckedTxn(), classifyTxn(bytes, 0, bytes.length));
    return classifyTxn(bytes, 0, bytes.length);
  };
  assert.equal(routeOf({ compare: [compare("a")] }), TxnRoute.serializableRead);
  assert.equal(routeOf({ success: [get("a", true)], failure: [get("b", true)] }), TxnRoute.serializableRead);
  assert.equal(routeOf({ success: [get("a", true)], failure: [get("b")] }), TxnRoute.linearizableRead);
  assert.equal(routeOf({ success: [get("a"), get("b", true)] }), TxnRoute.linearizableRead);
  assert.equal(routeOf({ success: [get("a")], failure: [put("b")] }), TxnRoute.write);
  assert.equal(routeOf({ success: [nested({ success: [get("a", true)] })] }), TxnRoute.write);
  assert.equal(routeOf({ failure: [del("b")] }), TxnRoute.write);
});

test("nesting beyond what is decoded is refused, not a stack overflow", () => {
  let bytes = new Uint8Array(0);
  for (let depth = 0; depth < 5000; depth++) {
    bytes = prefixed(2, prefixed(4, bytes));
  }
  assert.equal(nameOf(checkTxn(bytes, 0, bytes.length, 100_000)), "tooManyOps");
});

function prefixed(field: number, inner: Uint8Array): Uint8Array<ArrayBuffer> {
  const length: number[] = [];
  for (let rest = inner.length; ; rest >>>= 7) {
    length.push(rest >= 0x80 ? (rest & 0x7f) | 0x80 : rest);
    if (rest < 0x80) break;
  }
  return Uint8Array.from([(field << 3) | 2, ...length, ...inner]);
}
