import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { environmentName } from "./flag-row.ts";
import { FLAG_BY_NAME, FLAGS, IGNORED_FLAGS } from "./flag-table.ts";
import { defaultFlagValue, parseFlagValue } from "./flag-values.ts";

/** etcd 3.6's flags as its documentation lists them: an account of the same facts that was made apart from the table. */
const LISTED = readFileSync(new URL("testdata/etcd-flags.tsv", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .slice(1)
  .map((line) => {
    const [name = "", type = "", documentedDefault = "", yaml = ""] = line.split("\t");
    return { name, type, documentedDefault, yaml };
  });

test("every flag of etcd is in the table, and no other but ours", () => {
  const listed = new Set(LISTED.filter((flag) => flag.type !== "ignored").map((flag) => flag.name));
  const ours = FLAGS.filter((row) => row.ours).map((row) => row.name);
  assert.deepEqual(new Set(FLAGS.map((row) => row.name)), new Set([...listed, ...ours]));
  assert.equal(FLAG_BY_NAME.size, FLAGS.length, "no name twice");
  const fields = FLAGS.flatMap((row) => row.field ?? []);
  assert.equal(new Set(fields).size, fields.length, "no field twice");
  assert.equal(LISTED.length, 138);
  assert.equal(IGNORED_FLAGS.size, 15);
});

for (const { name, documentedDefault, yaml } of LISTED) {
  test(`--${name}: default ${documentedDefault}, file key ${yaml}`, () => {
    const row = FLAG_BY_NAME.get(name);
    assert.ok(row);
    // "(empty -> x)" and "0 (-> x)" tell what the server makes of it later.
    const typed = documentedDefault.startsWith("{")
      ? documentedDefault
      : documentedDefault.replace(/ ?\(.*$/, "");
    const expected = name === "initial-cluster" ? "" : typed;
    assert.deepEqual(defaultFlagValue(row), parseFlagValue(row, expected));
    const key = yaml.startsWith("same") ? name : yaml.split(" ")[0];
    assert.equal(row.yaml === null ? "none" : (row.yaml ?? name), key);
  });
}

test("environment names follow from flag names", () => {
  assert.equal(environmentName("initial-advertise-peer-urls"), "ETCD_INITIAL_ADVERTISE_PEER_URLS");
});

test("older names and switches point at something", () => {
  for (const row of FLAGS) {
    const kinds = [row.field, row.renamedTo, row.gate].filter((kind) => kind !== undefined);
    const isSpecial = row.name === "version" || row.name === "config-file";
    assert.equal(kinds.length, isSpecial ? 0 : 1, row.name);
    if (row.renamedTo !== undefined) assert.equal(FLAG_BY_NAME.get(row.renamedTo)?.type, row.type, row.name);
  }
});
