import assert from "node:assert/strict";
import { test } from "node:test";
import { searchCapacity } from "./capacity-search.ts";

/** A cluster that holds every rate up to `capacity`. */
function search(capacity: number, more: { confirmed?: number; max?: number } = {}) {
  const probed: number[] = [];
  const rate = searchCapacity({
    from: 1000,
    max: more.max ?? 1_000_000,
    precision: 0.05,
    probe: async (rate) => {
      probed.push(rate);
      return rate <= capacity;
    },
    confirm: async (rate) => rate <= (more.confirmed ?? capacity),
  });
  return { rate, probed };
}

test("the rate found holds, and is within the precision of the highest that does", async () => {
  for (const capacity of [17, 999, 1000, 1001, 7777, 123_456]) {
    const rate = await search(capacity).rate;
    assert.ok(rate <= capacity && rate * 1.06 >= capacity, `${rate} for ${capacity}`);
  }
});

test("it needs few tries", async () => {
  const { rate, probed } = search(123_456);
  await rate;
  assert.ok(probed.length <= 12, probed.join(" "));
});

test("a rate that held by luck is lowered until one is confirmed", async () => {
  const rate = await search(10_000, { confirmed: 9000 }).rate;
  assert.ok(rate <= 9000 && rate > 8000, String(rate));
});

test("no rate is above the largest, and none holds where nothing does", async () => {
  assert.equal(await search(1e9, { max: 5000 }).rate, 5000);
  assert.equal(await search(0).rate, 0);
  assert.equal(await search(10_000, { confirmed: 0 }).rate, 0);
});
