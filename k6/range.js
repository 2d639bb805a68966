/** Reads of keys that stay as they are: one key linearizable or serializable, a count, and a list page by page at one revision. */
import {
  bytes,
  call,
  deleteAll,
  fill,
  keyName,
  listAll,
  prefixRange,
  prepareCluster,
  revisionOf,
  valueOf,
  verify,
} from "./lib/etcd.js";
import { loadScenario, makeOptions, settings } from "./lib/settings.js";
import { summaryOf } from "./lib/summary.js";

const PREFIX = `${settings.PREFIX}range/`;
const PAGE_KEYS = 100;

export const options = makeOptions({
  scenarios: { ranges: loadScenario() },
  operations: ["get", "get-serializable", "count", "list"],
});
export const handleSummary = summaryOf("range");

export function setup() {
  prepareCluster();
  deleteAll();
  return { filledAt: fill(PREFIX, valueOf) };
}

export default function range({ filledAt }) {
  const dice = Math.random();
  if (dice < 0.7) get("get", false);
  else if (dice < 0.9) get("get-serializable", true, filledAt);
  else if (dice < 0.98) count();
  else list();
}

function get(op, serializable, filledAt = 0) {
  const key = keyName(PREFIX, Math.floor(Math.random() * settings.KEYS));
  const answer = call(op, "KV/Range", { key: bytes(key), serializable });
  if (answer === null) return;
  if (serializable) {
    // A member that is behind may answer such a read, and then the key may not be there yet.
    if (Number(answer.header.revision) < filledAt) return;
  } else revisionOf(op, answer, { wrote: false });
  const kv = answer.kvs[0];
  verify(`${op}: the value belongs to the key`, kv?.value === bytes(valueOf(key)), () =>
    JSON.stringify(answer),
  );
  verify(`${op}: the key was written once`, kv?.version === "1", () => JSON.stringify(kv));
}

function count() {
  const answer = call("count", "KV/Range", { ...prefixRange(PREFIX), count_only: true });
  if (answer === null) return;
  revisionOf("count", answer, { wrote: false });
  verify("count: all keys are there", Number(answer.count) === settings.KEYS, () => answer.count);
}

function list() {
  const listed = listAll("list", PREFIX, PAGE_KEYS);
  if (listed === null) return;
  const wrong = listed.kvs.findIndex((kv, index) => kv.key !== bytes(keyName(PREFIX, index)));
  verify(
    "list: all keys, in order",
    wrong === -1 && listed.kvs.length === settings.KEYS,
    () => `${listed.kvs.length} keys, the first wrong one at ${wrong}`,
  );
}

export function teardown() {
  deleteAll();
}
