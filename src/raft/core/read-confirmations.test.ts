import assert from "node:assert/strict";
import { test } from "node:test";
import { JointConfig } from "../quorum/joint.ts";
import { NodeSet } from "../quorum/node-set.ts";
import { ReadConfirmations, READS_WAITING_MAX } from "./read-confirmations.ts";

const VOTERS = new JointConfig(NodeSet.of([1n, 2n, 3n]));
const request = (index: number) => ({ from: 0n, context: new Uint8Array(0), index });

function contextOf(reads: ReadConfirmations): Uint8Array {
  const context = reads.heartbeatContext;
  assert.ok(context !== null);
  return context;
}

void test("the answer to a heartbeat confirms its read and all older ones, no newer ones", () => {
  const reads = new ReadConfirmations();
  assert.equal(reads.heartbeatContext, null);
  reads.add(request(1), 1n);
  reads.add(request(2), 1n);
  const second = contextOf(reads);
  reads.add(request(3), 1n);
  assert.deepEqual(reads.takeConfirmed(VOTERS), [], "this member alone is no quorum");
  reads.acknowledge(2n, second);
  assert.deepEqual(reads.takeConfirmed(VOTERS), [request(1), request(2)]);
  assert.deepEqual(reads.takeConfirmed(VOTERS), []);
  reads.acknowledge(3n, contextOf(reads));
  assert.deepEqual(reads.takeConfirmed(VOTERS), [request(3)]);
  assert.equal(reads.heartbeatContext, null);
});

void test("acknowledgements of different voters add up to the lower one, and learners do not count", () => {
  const reads = new ReadConfirmations();
  const five = new JointConfig(NodeSet.of([1n, 2n, 3n, 4n, 5n]));
  reads.add(request(1), 1n);
  const first = contextOf(reads);
  reads.add(request(2), 1n);
  reads.acknowledge(2n, contextOf(reads));
  reads.acknowledge(9n, contextOf(reads));
  assert.deepEqual(reads.takeConfirmed(five), []);
  reads.acknowledge(3n, first);
  assert.deepEqual(reads.takeConfirmed(five), [request(1)]);
});

void test("a joint configuration needs both halves", () => {
  const reads = new ReadConfirmations();
  const joint = new JointConfig(NodeSet.of([1n, 2n, 3n]), NodeSet.of([1n, 4n, 5n]));
  reads.add(request(1), 1n);
  reads.acknowledge(2n, contextOf(reads));
  assert.deepEqual(reads.takeConfirmed(joint), []);
  reads.acknowledge(5n, contextOf(reads));
  assert.deepEqual(reads.takeConfirmed(joint), [request(1)]);
});

void test("contexts that nobody was sent confirm nothing", () => {
  const reads = new ReadConfirmations();
  reads.add(request(1), 1n);
  reads.acknowledge(2n, new Uint8Array([0, 0, 0, 0, 0, 0, 0, 9]));
  reads.acknowledge(2n, new Uint8Array([1]));
  reads.acknowledge(3n, new Uint8Array(8).fill(0xff));
  assert.deepEqual(reads.takeConfirmed(VOTERS), []);
});

void test("a new term forgets everything", () => {
  const reads = new ReadConfirmations();
  reads.add(request(1), 1n);
  const old = contextOf(reads);
  reads.acknowledge(2n, old);
  reads.clear();
  assert.deepEqual(reads.takeConfirmed(VOTERS), []);
  reads.add(request(2), 1n);
  assert.deepEqual(reads.takeConfirmed(VOTERS), [], "acknowledgements of the old term are gone");
});

void test("no more than so many reads wait", () => {
  const reads = new ReadConfirmations();
  for (let i = 0; i < READS_WAITING_MAX; i++) assert.equal(reads.add(request(i), 1n), true);
  assert.equal(reads.add(request(0), 1n), false);
});
