import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation } from "../../test/sim/linearizability.ts";
import { acknowledgedWrites, lostWrites } from "./lost-writes.ts";

const common = { process: 0, key: "k", invoke: 0, return: 1 };
const HISTORY: readonly Operation[] = [
  { ...common, op: "put", input: { value: "a" }, output: { revision: 2 } },
  { ...common, op: "put", input: { value: "b" }, output: null, return: Infinity },
  { ...common, op: "cas", input: { value: "c", expected: "b" }, output: { revision: 4, succeeded: true } },
  { ...common, op: "cas", input: { value: "d", expected: "x" }, output: { revision: 4, succeeded: false } },
  { ...common, op: "delete", input: {}, output: { revision: 5, succeeded: true } },
  { ...common, op: "get", input: {}, output: { revision: 5, value: null } },
];
const event = (revision: number, value: string, isDelete = false) => ({
  revision,
  key: "k",
  value,
  isDelete,
  atMs: 0,
});
const EVENTS = [event(2, "a"), event(3, "b"), event(4, "c"), event(5, "", true)];

test("only what was acknowledged must be there, and more may be", () => {
  const writes = acknowledgedWrites(HISTORY);
  assert.deepEqual(
    writes.map(({ revision }) => revision),
    [2, 4, 5],
  );
  assert.deepEqual(lostWrites(writes, EVENTS), []);
});

test("a write is lost where its revision is missing or holds something else", () => {
  const writes = acknowledgedWrites(HISTORY);
  const lost = (events: typeof EVENTS): number[] =>
    lostWrites(writes, events).map(({ revision }) => revision);
  assert.deepEqual(lost(EVENTS.slice(1)), [2]);
  assert.deepEqual(lost([...EVENTS.slice(0, 2), event(4, "other"), event(5, "", true)]), [4]);
  assert.deepEqual(lost([...EVENTS.slice(0, 3), event(5, "back")]), [5]);
});
