import { equal } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../base/prng.ts";
import { LeaseTable } from "./lease-table.ts";

test("leases are found by their ids while others come and go, and rows are used again", () => {
  const prng = new Prng(11);
  const table = new LeaseTable(prng.nextUint32());
  const model = new Map<string, { low: number; high: number; ttl: number }>();
  // Ids that differ in few bits, as a member chooses them, and some that differ in the upper half only.
  const idOf = (): { low: number; high: number } => ({
    low: (0x53_0000 + prng.below(4000) * 2) >>> 0,
    high: 0x1234_0000 + prng.below(3),
  });
  for (let step = 0; step < 60_000; step++) {
    const { low, high } = idOf();
    const name = `${high}/${low}`;
    const row = table.find(low, high);
    equal(row !== 0, model.has(name));
    if (row === 0) {
      const ttl = prng.below(1000);
      const added = table.add(low, high, ttl); // may replace the columns
      equal(table.ttlSeconds[added], ttl);
      model.set(name, { low, high, ttl });
    } else if (prng.chance(0.6)) {
      table.remove(row);
      model.delete(name);
    }
    equal(table.size, model.size);
  }
  for (const { low, high, ttl } of model.values()) equal(table.ttlSeconds[table.find(low, high)], ttl);
  equal(table.used <= 12_001, true, "rows of removed leases were given out again");
});
