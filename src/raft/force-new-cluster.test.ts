import { test } from "node:test";
import { deepEqual, throws } from "node:assert/strict";
import { WalBatch } from "../wal/wal-batch.ts";
import { ConfChangeType, encodeConfChange } from "../proto/conf-change.ts";
import { encodeRemovals, replayConfChanges } from "./force-new-cluster.ts";
import { EntryType } from "./raft.ts";

const { addNode, removeNode, addLearnerNode } = ConfChangeType;
const BIG = 0xfedc_ba98_7654_3210n;

function batchOf(firstIndex: number, entries: ReadonlyArray<readonly [type: number, data: Uint8Array]>) {
  const batch = new WalBatch();
  entries.forEach(([type, data], i) => batch.keepEntry(type, 1, firstIndex + i, data, 0, data.length));
  return batch;
}

const change = (type: number, id: bigint) =>
  [
    EntryType.confChange,
    encodeConfChange({ id: 0n, type, nodeId: id, context: new Uint8Array([1]) }),
  ] as const;

test("conf changes count up to the commit index, whatever stands between them", () => {
  const roles = new Map([
    [1n, false],
    [2n, false],
  ]);
  const batches = [
    batchOf(5, [
      [EntryType.normal, new Uint8Array([0xff])],
      change(addLearnerNode, BIG),
      change(removeNode, 2n),
    ]),
    batchOf(8, [change(addNode, BIG), change(addNode, 9n)]),
  ];
  replayConfChanges(roles, batches, 7);
  deepEqual(
    [...roles],
    [
      [1n, false],
      [BIG, true],
    ],
  );
  replayConfChanges(roles, batches, 8);
  deepEqual(
    [...roles],
    [
      [1n, false],
      [BIG, false],
    ],
  );
});

test("an unreadable conf change is an error that names its index", () => {
  const broken = batchOf(3, [[EntryType.confChange, new Uint8Array([0x18])]]);
  throws(() => replayConfChanges(new Map(), [broken], 3), /index 3/);
});

test("everybody else leaves, learners too, ascending by id", () => {
  const roles = new Map([
    [BIG, false],
    [1n, false],
    [7n, true],
  ]);
  deepEqual(encodeRemovals(roles, 1n), [
    encodeConfChange({ id: 0n, type: removeNode, nodeId: 7n, context: new Uint8Array(0) }),
    encodeConfChange({ id: 0n, type: removeNode, nodeId: BIG, context: new Uint8Array(0) }),
  ]);
  deepEqual(encodeRemovals(new Map([[1n, false]]), 1n), []);
});

test("a member that is no voter becomes one before the others leave", () => {
  const context = (data: Uint8Array) => new TextDecoder().decode(data).replace(/^[^{]*/, "");
  const added = encodeRemovals(new Map([[2n, false]]), 1n);
  deepEqual([context(added[0]), added.length], ['{"id":1,"peerURLs":["http://localhost:2380"]}', 2]);
  const promoted = encodeRemovals(new Map([[1n, true]]), 1n);
  deepEqual(promoted.map(context), ['{"id":1,"peerURLs":null,"isPromote":true}']);
});
