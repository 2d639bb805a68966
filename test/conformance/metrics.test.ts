/**
 * The metrics of a member, against the list of etcd's (testdata/metrics.tsv): names, types, labels and buckets. What is not there
 * stands in testdata/metrics-absent.tsv, with the reason.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { KV } from "../../src/proto/gen/rpc_pb.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { startMember } from "../support/member.ts";
import { memoryDir } from "../support/temp-dir.ts";

/** Families that have samples only in a cluster, or after something rare: their labels are tested beside their source. */
const WITHOUT_SAMPLES =
  /^etcd_network_(peer|snapshot)_|^etcd_network_(active|disconnected)_peers|_alarms$|promote_failures$/;

interface Fact {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  /** As texts; empty but for histograms. */
  readonly bounds: readonly string[];
}

interface Family {
  type: string;
  readonly labels: Set<string>;
  readonly bounds: Set<string>;
}

function readTable(name: string): string[][] {
  const text = readFileSync(join(import.meta.dirname, "testdata", name), "utf8");
  const rows = text.trimEnd().split("\n").slice(1);
  return rows.map((line) => line.split("\t"));
}

/** `a,b,c`, or `first*factor^count`. */
function parseBounds(text: string): number[] {
  const exponential = /^([\d.]+)\*(\d+)\^(\d+)$/.exec(text);
  if (exponential === null) return text === "-" ? [] : text.split(",").map(Number);
  const [first, factor, count] = exponential.slice(1).map(Number);
  return Array.from({ length: count }, (_, i) => first * factor ** i);
}

function readFacts(): Fact[] {
  return readTable("metrics.tsv").map(([name, type, labels, buckets]) => ({
    name,
    type,
    labels: labels === "-" ? [] : labels.split(",").sort(),
    bounds: parseBounds(buckets).map(String),
  }));
}

function parseScrape(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let current: Family | undefined;
  for (const line of text.split("\n")) {
    const [, name, type] = /^# TYPE (\S+) (\S+)/.exec(line) ?? [];
    if (name !== undefined) families.set(name, (current = { type, labels: new Set(), bounds: new Set() }));
    if (current === undefined || line.startsWith("#")) continue;
    const names = Array.from(line.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g), ([, label]) => label);
    const expected = names.filter((label) => label !== "le").sort();
    assert.deepEqual(
      names,
      names.includes("le") ? [...expected, "le"] : expected,
      `order of labels: ${line}`,
    );
    for (const [, label, value] of line.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      if (label !== "le") current.labels.add(label);
      else if (value !== "+Inf") current.bounds.add(String(Number(value)));
    }
  }
  return families;
}

test("etcd's metrics are there under its names, with its types, labels and buckets", async (t) => {
  const member = await startMember(t, { dataDir: memoryDir(t), args: ["--metrics=extensive"] });
  const client = new EtcdClient(member.clientUrl.slice("http://".length));
  t.after(() => client.close());
  const key = Buffer.from("k");
  await client.call(KV.method.put, { key, value: key });
  await client.call(KV.method.range, { key });
  await fetch(`${member.clientUrl}/readyz`);
  const response = await fetch(`${member.clientUrl}/metrics`, {
    headers: { accept: "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5" },
  });
  assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const families = parseScrape(await response.text());

  const absences = readTable("metrics-absent.tsv").map(([pattern, reason]) => ({
    pattern: new RegExp(`^(?:${pattern})$`),
    reason,
    names: 0,
  }));
  for (const { name, type, labels, bounds } of readFacts()) {
    const family = families.get(name);
    const absence = absences.find(({ pattern }) => pattern.test(name));
    if (absence !== undefined) {
      assert.equal(family, undefined, `${name} is there, and metrics-absent.tsv says: ${absence.reason}`);
      absence.names++;
      t.diagnostic(`absent: ${name}: ${absence.reason}`);
      continue;
    }
    assert.ok(family, `${name} is missing`);
    assert.equal(family.type, type, name);
    if (WITHOUT_SAMPLES.test(name)) continue;
    assert.deepEqual([...family.labels].sort(), labels, name);
    assert.deepEqual([...family.bounds], bounds, name);
  }
  for (const { pattern, names } of absences) assert.ok(names > 0, `${pattern.source} is no metric of etcd's`);
});
