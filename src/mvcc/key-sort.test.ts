import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../base/prng.ts";
import { sortKeyIds } from "./key-sort.ts";
import { KeyTable } from "./key-table.ts";
import { Probe } from "./probe.ts";

test("ids come in the byte order of their keys", () => {
  const prng = new Prng(11);
  const table = new KeyTable();
  const probe = new Probe();
  const keys = new Set<string>();
  for (let length = 0; length < 30; length++) keys.add("\0".repeat(length)).add(`same${"\0".repeat(length)}`);
  while (keys.size < 5_000) {
    const alphabet = prng.pick(["ab", "\0\u00ff", "/registry/pods"]);
    keys.add(
      prng.pick(["", "/registry/", "x"]) +
        Array.from({ length: prng.below(20) }, () => alphabet[prng.below(alphabet.length)]).join(""),
    );
  }
  const ids = Uint32Array.from(keys, (key) => {
    const bytes = Buffer.from(key, "latin1");
    probe.set(bytes, 0, bytes.length);
    probe.computeHash(0);
    return table.add(probe);
  });
  sortKeyIds(table, ids);
  const target = Buffer.alloc(64);
  const sorted = Array.from(ids, (id) => target.toString("latin1", 0, table.copyKey(id, target, 0)));
  assert.deepEqual(sorted, [...keys].sort());
});
