import assert from "node:assert/strict";
import { test } from "node:test";
import { prefixEnd } from "./key-prefix.ts";

test("the end of a prefix is the first key behind it", () => {
  const cases: [string, string][] = [
    ["61", "62"],
    ["6100", "6101"],
    ["61ff", "62"],
    ["61ffff", "62"],
    ["ff", "00"],
    ["ffff", "00"],
    ["", "00"],
  ];
  for (const [prefix, end] of cases) {
    assert.equal(Buffer.from(prefixEnd(Buffer.from(prefix, "hex"))).toString("hex"), end, prefix);
  }
});

test("the prefix itself is not changed, a Buffer's memory included", () => {
  const prefix = Buffer.from("lock/");
  prefixEnd(prefix);
  assert.equal(prefix.toString(), "lock/");
});
