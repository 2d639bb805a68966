import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../base/prng.ts";
import { MergeSort } from "./merge-sort.ts";

test("a merge sort that stops after every few moves is stable and ends", () => {
  const prng = new Prng(5);
  for (const count of [0, 1, 2, 3, 7, 8, 9, 100, 1023, 1025]) {
    const values = Array.from({ length: count }, () => prng.below(10));
    const sort = new MergeSort(count, (a, b) => values[a] < values[b]);
    let steps = 0;
    while (!sort.step(1 + prng.below(5))) assert.ok(++steps <= count * 12);
    const expected = values.map((_, i) => i).toSorted((a, b) => values[a] - values[b] || a - b);
    assert.deepEqual([...sort.order], expected);
  }
});
