import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { ConfChangeType, decodeConfChange, encodeConfChange } from "./conf-change.ts";
import { ConfChangeSchema } from "./gen/raft_pb.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("zeros are written, an empty context is not", () => {
  const change = { id: 0n, type: ConfChangeType.addNode, nodeId: 0n, context: new Uint8Array(0) };
  equal(hex(encodeConfChange(change)), "080010001800");
});

test("64-bit ids and a long context go there and back, and are what the generated codec writes", () => {
  const change = {
    id: 0xffff_ffff_ffff_fffen,
    type: ConfChangeType.addLearnerNode,
    nodeId: 0x8000_0000_0000_0001n,
    context: new Uint8Array(300).fill(7),
  };
  const bytes = encodeConfChange(change);
  const around = Buffer.concat([Buffer.of(1, 2), bytes, Buffer.of(3)]);
  deepEqual(decodeConfChange(around, 2, 2 + bytes.length), change);
  const { id, type, nodeId, context } = change;
  equal(hex(bytes), hex(toBinary(ConfChangeSchema, create(ConfChangeSchema, { id, type, nodeId, context }))));
});

test("malformed bytes are refused", () => {
  equal(decodeConfChange(Buffer.from("0800221000", "hex"), 0, 5), null);
});
