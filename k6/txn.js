/**
 * Counters that many raise: each iteration reads one and raises it by a Txn that compares its mod_revision. A counter's value is the
 * number of its writes, so it must always equal the key's version: a lost or a doubled update would show.
 */
import { Counter } from "k6/metrics";
import {
  bytes,
  call,
  deleteAll,
  isEqual,
  keyName,
  prepareCluster,
  revisionOf,
  text,
  verify,
} from "./lib/etcd.js";
import { loadScenario, makeOptions, settings } from "./lib/settings.js";
import { summaryOf } from "./lib/summary.js";

const TRIES = 5;
const conflicts = new Counter("etcd_txn_conflicts");

export const options = makeOptions({ scenarios: { counters: loadScenario() }, operations: ["get", "txn"] });
export const handleSummary = summaryOf("txn");

export function setup() {
  prepareCluster();
  deleteAll();
}

export default function raise() {
  const name = keyName(`${settings.PREFIX}txn/`, Math.floor(Math.random() * settings.KEYS));
  const key = bytes(name);
  const answer = call("get", "KV/Range", { key });
  if (answer === null) return;
  revisionOf("get", answer, { wrote: false });
  let kv = answer.kvs[0];
  for (let i = 0; i < TRIES && kv !== null; i++) kv = raiseOnce(key, kv);
}

/** Returns the newer key value that was in the way, or null when the counter is raised (or the call has failed). */
function raiseOnce(key, kv) {
  const count = kv === undefined ? 0 : countOf(kv);
  const expected = Number(kv?.modRevision ?? 0);
  const value = String(count + 1).padEnd(settings.VALUE_SIZE, " ");
  const answer = call("txn", "KV/Txn", {
    compare: [isEqual(key, "MOD", "mod_revision", expected)],
    success: [{ request_put: { key, value: bytes(value), prev_kv: true } }],
    failure: [{ request_range: { key } }],
  });
  if (answer === null) return null;
  revisionOf("txn", answer, { wrote: answer.succeeded });
  if (answer.succeeded) {
    const before = answer.responses[0].responsePut.prevKv;
    verify(
      "txn: it replaced what it compared",
      Number(before?.modRevision ?? 0) === expected,
      () => `${JSON.stringify(before)} in place of ${expected}`,
    );
    return null;
  }
  conflicts.add(1);
  const newer = answer.responses[0].responseRange.kvs[0];
  verify(
    "txn: who loses is shown a newer revision",
    Number(newer?.modRevision) > expected,
    () => `${JSON.stringify(newer)} after ${expected}`,
  );
  return newer ?? null;
}

function countOf(kv) {
  const count = Number(text(kv.value));
  verify(
    "txn: the counter is the number of its writes",
    count === Number(kv.version),
    () => `${count}: ${kv.version}`,
  );
  return count;
}

export function teardown() {
  deleteAll();
}
