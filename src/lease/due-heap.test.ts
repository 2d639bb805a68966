import { equal } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../base/prng.ts";
import { DueHeap } from "./due-heap.ts";

test("rows come out in the order in which they fall due, however they were set, moved and removed", () => {
  const prng = new Prng(7);
  const heap = new DueHeap();
  const model = new Map<number, number>();
  for (let step = 0; step < 20_000; step++) {
    const row = 1 + prng.below(3000);
    if (prng.chance(0.7)) {
      const dueMs = prng.below(10_000);
      heap.set(row, dueMs);
      model.set(row, dueMs);
    } else {
      heap.remove(row);
      model.delete(row);
    }
    equal(heap.size, model.size);
    if (step % 100 === 0) {
      equal(heap.firstDueMs, Math.min(...model.values()));
      equal(heap.dueMs(row), model.get(row) ?? Infinity);
    }
  }
  let last = -Infinity;
  while (heap.size > 0) {
    equal(heap.firstDueMs, model.get(heap.first));
    equal(heap.firstDueMs >= last, true);
    last = heap.firstDueMs;
    model.delete(heap.first);
    heap.remove(heap.first);
  }
  equal(model.size, 0);
});

test("an empty heap has nothing due, also after it was cleared", () => {
  const heap = new DueHeap();
  equal(heap.firstDueMs, Infinity);
  equal(heap.first, 0);
  heap.set(5000, 1);
  heap.clear();
  equal(heap.firstDueMs, Infinity);
  equal(heap.dueMs(5000), Infinity);
  heap.remove(5000);
  heap.set(2, 9);
  equal(heap.first, 2);
});
