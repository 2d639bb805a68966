import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { crc32c } from "../base/crc32c.ts";
import { goSort } from "./go-sort.ts";

/** The generators of the inputs, as in the Go program that printed testdata/go-sort.txt. */
function generate(shape: string, count: number): number[] {
  let state = (count * 7 + 1) >>> 0;
  return Array.from({ length: count }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    switch (shape) {
      case "random":
        return state >>> 8;
      case "few":
        return (state >>> 16) % 3;
      case "some":
        return (state >>> 16) % 20;
      case "ascending":
        return Math.floor(i / 3);
      case "descending":
        return Math.floor((count - i) / 3);
      case "equal":
        return 7;
      case "saw":
        return i % 17;
      case "nearly":
        return (state >>> 16) % 50 === 0 ? (state >>> 8) % count : i;
      default:
        return i < Math.floor(count / 2) ? i : count - i;
    }
  });
}

test("equal elements end up where Go's sort.Sort and sort.Reverse leave them", () => {
  const lines = readFileSync(new URL("testdata/go-sort.txt", import.meta.url), "utf8")
    .trim()
    .split("\n");
  assert.equal(lines.length, 324);
  for (const line of lines) {
    const [shape, count, direction, expected] = line.split(" ") as [string, string, string, string];
    const values = generate(shape, Number(count));
    const isLess = (a: number, b: number): boolean => values[a] < values[b];
    const order = goSort(values.length, direction === "asc" ? isLess : (a, b) => isLess(b, a));
    const bytes = new Uint8Array(order.buffer);
    assert.equal(crc32c(0, bytes, 0, bytes.length).toString(16).padStart(8, "0"), expected, line);
  }
});
