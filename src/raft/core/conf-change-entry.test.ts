import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { ConfChangeSchema, ConfChangeSingleSchema, ConfChangeV2Schema } from "../../proto/gen/raft_pb.ts";
import { EntryType } from "../raft.ts";
import { decodeConfChange, describeConfChange, entersJoint, leavesJoint } from "./conf-change-entry.ts";

const NO_BYTES = new Uint8Array(0);

void test("a change of version 1 is one single change", () => {
  const context = new TextEncoder().encode('{"id":5}');
  const data = toBinary(ConfChangeSchema, create(ConfChangeSchema, { type: 3, nodeId: 5n, id: 9n, context }));
  const change = decodeConfChange(EntryType.confChange, data);
  assert.ok(change !== null);
  assert.deepEqual([change.transition, change.changes], [0, [{ type: 3, nodeId: 5n }]]);
  assert.equal(
    describeConfChange(change),
    'transition:ConfChangeTransitionAuto changes:{type:ConfChangeAddLearnerNode node_id:5} context:"{\\"id\\":5}"',
  );
  assert.equal(entersJoint(change), false);
});

void test("how a change of version 2 goes through a joint configuration", () => {
  const add = create(ConfChangeSingleSchema, { type: 0, nodeId: 4n });
  const cases = [
    { transition: 0, changes: [], enters: false, leaves: true },
    { transition: 0, changes: [add], enters: false, leaves: false },
    { transition: 0, changes: [add, add], enters: true, leaves: false },
    { transition: 1, changes: [add], enters: true, leaves: false },
    { transition: 2, changes: [], enters: true, leaves: false },
  ] as const;
  for (const { transition, changes, enters, leaves } of cases) {
    const message = create(ConfChangeV2Schema, {
      transition,
      changes: [...changes],
    });
    const change = decodeConfChange(EntryType.confChangeV2, toBinary(ConfChangeV2Schema, message));
    assert.ok(change !== null);
    assert.deepEqual([entersJoint(change), leavesJoint(change)], [enters, leaves]);
  }
});

void test("no data is the empty change, malformed data none", () => {
  const empty = decodeConfChange(EntryType.confChangeV2, NO_BYTES);
  assert.ok(empty !== null && leavesJoint(empty));
  assert.equal(decodeConfChange(EntryType.confChangeV2, new Uint8Array([0x12, 0x7f])), null);
  assert.equal(decodeConfChange(EntryType.confChange, new Uint8Array([0xff])), null);
});
