import assert from "node:assert/strict";
import { test } from "node:test";
import { UncommittedBytes } from "./uncommitted-bytes.ts";

void test("the limit lets one proposal of any size pass, and empty ones always", () => {
  const uncommitted = new UncommittedBytes(10);
  assert.equal(uncommitted.hasRoom(100), true);
  uncommitted.add(5, 100);
  assert.equal(uncommitted.hasRoom(1), false);
  assert.equal(uncommitted.hasRoom(0), true);
  uncommitted.appliedTo(5);
  assert.equal(uncommitted.hasRoom(10), true);
});

void test("applied entries make room one by one, over many turns of the ring", () => {
  const uncommitted = new UncommittedBytes(1000);
  let expected = 0;
  let applied = 0;
  for (let index = 1; index <= 1000; index++) {
    uncommitted.add(index, index % 7);
    expected += index % 7;
    if (index % 3 !== 0) continue;
    // Two of three: the ring grows.
    for (let i = 0; i < 2; i++) expected -= ++applied % 7;
    uncommitted.appliedTo(applied);
    assert.equal(uncommitted.bytes, expected);
  }
});

void test("entries of earlier leaders do not count", () => {
  const uncommitted = new UncommittedBytes(10);
  uncommitted.add(7, 10);
  uncommitted.appliedTo(6);
  assert.equal(uncommitted.bytes, 10);
  uncommitted.clear();
  assert.equal(uncommitted.bytes, 0);
  uncommitted.add(20, 4);
  uncommitted.appliedTo(25);
  assert.equal(uncommitted.bytes, 0);
});

void test("without a limit nothing is kept", () => {
  const uncommitted = new UncommittedBytes(0);
  uncommitted.add(1, 1e9);
  assert.equal(uncommitted.bytes, 0);
  assert.equal(uncommitted.hasRoom(1e9), true);
});
