import { equal } from "node:assert/strict";
import { test } from "node:test";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { DeleteRangeRequestSchema, TxnRequestSchema } from "./gen/rpc_pb.ts";
import { stripDeleteRange, stripTxn } from "./strip-range-end.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const field = (number: number, ...parts: Buffer[]): Buffer => {
  const value = Buffer.concat(parts);
  const tag = number * 8 + 2;
  const head = tag < 128 ? [tag] : [(tag & 127) | 128, tag >> 7];
  return Buffer.concat([Buffer.from([...head, value.length]), value]);
};
const text = (value: string): Buffer => Buffer.from(value);
const KEY = field(1, text("k"));
const EMPTY_END = field(2);

/** What the stripped message is, if it were decoded and encoded anew as Go's leader does. */
function strippedDelete(message: Buffer): string {
  const around = Buffer.concat([text("xx"), message, text("yy")]);
  const stripped = stripDeleteRange(around, 2, 2 + message.length);
  equal(
    hex(stripped),
    hex(toBinary(DeleteRangeRequestSchema, fromBinary(DeleteRangeRequestSchema, message))),
  );
  return hex(stripped);
}

test("an empty range end goes, one that says something stays", () => {
  equal(strippedDelete(Buffer.concat([KEY, EMPTY_END, Buffer.of(0x18, 1)])), "0a016b1801");
  equal(strippedDelete(Buffer.concat([KEY, field(2, text("z"))])), "0a016b12017a");
});

test("the last occurrence counts", () => {
  const stripped = (...ends: Buffer[]): string => {
    const message = Buffer.concat([KEY, ...ends]);
    return hex(stripDeleteRange(message, 0, message.length));
  };
  equal(stripped(field(2, text("z")), EMPTY_END), "0a016b");
  equal(stripped(EMPTY_END, field(2, text("z"))), "0a016b120012017a");
});

test("in a txn they go from compares, ranges and deletes, nested ones too, and lengths follow", () => {
  const range = field(1, KEY, EMPTY_END);
  const remove = field(3, KEY, EMPTY_END);
  const put = field(2, KEY, EMPTY_END);
  const compare = Buffer.concat([field(3, text("k")), Buffer.of(0x20, 7), field(64)]);
  const nested = field(4, field(1, compare), field(2, remove), field(3, range));
  const txn = Buffer.concat([field(1, compare), field(2, put), field(2, nested), field(3, remove)]);
  const stripped = stripTxn(txn, 0, txn.length);
  const innerCompare = Buffer.concat([field(3, text("k")), Buffer.of(0x20, 7)]);
  const expected = Buffer.concat([
    field(1, innerCompare),
    field(2, put),
    field(2, field(4, field(1, innerCompare), field(2, field(3, KEY)), field(3, field(1, KEY)))),
    field(3, field(3, KEY)),
  ]);
  equal(hex(stripped), hex(expected));
  const semantics = (bytes: Uint8Array): string =>
    hex(toBinary(TxnRequestSchema, fromBinary(TxnRequestSchema, bytes)));
  equal(semantics(stripped), semantics(expected));
});
