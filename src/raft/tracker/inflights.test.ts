import assert from "node:assert/strict";
import { test } from "node:test";
import { Inflights } from "./inflights.ts";

test("frees what is acknowledged, in order, while the ring turns and grows", () => {
  const inflights = new Inflights(20, 0);
  let acknowledged = 0;
  for (let index = 1; index <= 500; index++) {
    inflights.add(index, index);
    // A window that breathes between 1 and 20 messages.
    if (inflights.isFull || index % 7 === 0) acknowledged = index - (index % 5);
    inflights.freeUpTo(acknowledged);
    const expected = Array.from({ length: index - acknowledged }, (_, i) => acknowledged + 1 + i);
    assert.equal(inflights.count, expected.length);
    assert.equal(
      inflights.bytes,
      expected.reduce((sum, size) => sum + size, 0),
    );
  }
});

test("is full at the number of messages", () => {
  const inflights = new Inflights(2, 0);
  inflights.add(1, 1000);
  assert.equal(inflights.isFull, false);
  inflights.add(2, 1000);
  assert.equal(inflights.isFull, true);
  assert.throws(() => inflights.add(3, 1), /inflights are full/);
  inflights.freeUpTo(1);
  assert.equal(inflights.isFull, false);
});

test("is full at the number of bytes, after the message that crosses it", () => {
  const inflights = new Inflights(100, 10);
  inflights.add(1, 9);
  assert.equal(inflights.isFull, false);
  inflights.add(2, 50);
  assert.equal(inflights.isFull, true);
  inflights.freeUpTo(1);
  assert.equal(inflights.isFull, true);
  inflights.freeUpTo(2);
  assert.deepEqual([inflights.isFull, inflights.bytes], [false, 0]);
});

test("forgets bytes when it is cleared", () => {
  const inflights = new Inflights(10, 100);
  for (let round = 0; round < 50; round++) {
    inflights.clear();
    for (let i = 0; i < 5; i++) inflights.add(round * 5 + i, 16);
    assert.equal(inflights.isFull, false);
  }
});
