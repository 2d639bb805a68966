import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../base/prng.ts";
import { LeaseKeys } from "./lease-keys.ts";

test("each key is on the lease it was attached to last, and on no other", () => {
  const prng = new Prng(3);
  const keys = new LeaseKeys();
  const model = new Map<number, number>();
  for (let step = 0; step < 30_000; step++) {
    const keyId = 1 + prng.below(10_000);
    const row = 1 + prng.below(2000);
    if (prng.chance(0.75)) {
      keys.attach(row, keyId);
      model.set(keyId, row);
    } else {
      keys.detach(keyId);
      model.delete(keyId);
    }
    equal(keys.attached, model.size);
    equal(keys.rowOf(keyId), model.get(keyId) ?? 0);
  }
  const byRow = Map.groupBy(model.keys(), (keyId) => model.get(keyId) as number);
  for (let row = 1; row <= 2000; row++) {
    const expected = (byRow.get(row) ?? []).toSorted((a, b) => a - b);
    equal(keys.count(row), expected.length);
    deepEqual(Array.from(keys.keysOf(row).sort()), expected);
  }
});

test("keys that were never attached are on nothing", () => {
  const keys = new LeaseKeys();
  keys.detach(123_456_789);
  equal(keys.rowOf(123_456_789), 0);
  equal(keys.count(77), 0);
  deepEqual(keys.keysOf(77), new Uint32Array(0));
});
