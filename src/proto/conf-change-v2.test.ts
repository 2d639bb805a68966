import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfChangeType } from "./conf-change.ts";
import { decodeConfChangeV2, encodeConfChangeV2 } from "./conf-change-v2.ts";

// Made by go.etcd.io/raft v3.6.0.
const JOINT = "0802120408001001120d080110b8a2ccfa86e18df5b8011a0178";
const EMPTY_V2 = "0800";

const utf8 = new TextEncoder();
const NO_CONTEXT = new Uint8Array(0);

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

test("a V2 change is byte for byte what etcd writes, and is read back", () => {
  const joint = {
    transition: 2,
    changes: [
      { type: ConfChangeType.addNode, nodeId: 1n },
      { type: ConfChangeType.removeNode, nodeId: 0xb8ea37086f531138n },
    ],
    context: utf8.encode("x"),
  };
  const leave = { transition: 0, changes: [], context: NO_CONTEXT };
  for (const [text, change] of [[JOINT, joint] as const, [EMPTY_V2, leave] as const]) {
    assert.equal(hex(encodeConfChangeV2(change)), text);
    const bytes = new Uint8Array(Buffer.from(text, "hex"));
    assert.deepEqual(decodeConfChangeV2(bytes, 0, bytes.length), change);
  }
  // A V2 entry without data leaves a joint configuration.
  assert.deepEqual(decodeConfChangeV2(NO_CONTEXT, 0, 0), leave);
});

test("every truncation of a change is refused or reads as fewer fields, never throws", () => {
  const bytes = new Uint8Array(Buffer.from(JOINT, "hex"));
  for (let end = 0; end < bytes.length; end++) decodeConfChangeV2(bytes, 0, end);
  assert.equal(decodeConfChangeV2(bytes, 0, bytes.length - 1), null);
});
