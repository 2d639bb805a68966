import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { RangeTable } from "./range-table.ts";

const NUL = String.fromCharCode(0);
const encode = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** Short keys over few letters, so that ranges nest, touch and repeat. */
const key = fc.string({ unit: fc.constantFrom("a", "b", "c", NUL, "\u00ff"), minLength: 1, maxLength: 4 });
const range = fc.record({ key, end: fc.option(fc.oneof(key, fc.constant("")), { nil: null }) });
const command = fc.oneof(
  { weight: 3, arbitrary: fc.record({ add: range }) },
  { weight: 2, arbitrary: fc.record({ remove: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ find: key }) },
);

function holds({ key, end }: { key: string; end: string | null }, each: string): boolean {
  if (end === null) return each === key;
  return each >= key && (end === "" || each < end);
}

test("the ranges around a key are those that a list finds", () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), fc.integer(), (commands, seed) => {
      const table = new RangeTable(seed);
      const ranges = new Map<number, { key: string; end: string | null }>();
      for (const each of commands) {
        if ("add" in each) {
          const { key, end } = each.add;
          const number = table.obtain(encode(key), end === null ? null : encode(end));
          const known = ranges.get(number);
          if (known !== undefined) assert.deepEqual([known.key, known.end], [key, end]);
          ranges.set(number, each.add);
        } else if ("remove" in each) {
          const numbers = [...ranges.keys()];
          if (numbers.length === 0) continue;
          const number = numbers[each.remove % numbers.length];
          ranges.delete(number);
          table.remove(number);
        } else {
          const found: number[] = [];
          const bytes = encode(`..${each.find}..`);
          table.match(bytes, 2, bytes.length - 2, found);
          const wanted = [...ranges].filter(([, one]) => holds(one, each.find)).map(([number]) => number);
          assert.deepEqual(found.toSorted(byNumber), wanted.toSorted(byNumber));
        }
        assert.equal(table.size, ranges.size);
      }
    }),
    { numRuns: 300 },
  );
});

function byNumber(a: number, b: number): number {
  return a - b;
}

test("ten thousand ranges that come and go leave their memory to the next ones", () => {
  const table = new RangeTable(1);
  for (let round = 0; round < 3; round++) {
    const numbers = Array.from({ length: 10_000 }, (_, i) => {
      const name = `range/${round}/${i}`;
      return table.obtain(encode(name), i % 2 === 0 ? null : encode(`${name}0`));
    });
    assert.equal(Math.max(...numbers), 10_000);
    const found: number[] = [];
    const bytes = encode(`range/${round}/77`);
    table.match(bytes, 0, bytes.length, found);
    assert.deepEqual(found, [numbers[77]], "the range itself, and no neighbour");
    for (const number of numbers) table.remove(number);
    assert.equal(table.size, 0);
  }
});
