/** Puts. Each VU has keys of its own, so that it knows what a read of one must show: it reads back one Put of twenty. */
import exec from "k6/execution";
import { bytes, call, deleteAll, keyName, prepareCluster, revisionOf, valueOf, verify } from "./lib/etcd.js";
import { loadScenario, makeOptions, settings } from "./lib/settings.js";
import { summaryOf } from "./lib/summary.js";

const READ_BACK_EVERY = 20;
const KEYS_A_VU = Math.ceil(settings.KEYS / settings.VUS);

export const options = makeOptions({ scenarios: { puts: loadScenario() }, operations: ["put", "get"] });
export const handleSummary = summaryOf("put");

export function setup() {
  prepareCluster();
  deleteAll();
}

let serial = 0;

export default function put() {
  const key = keyName(`${settings.PREFIX}put/${exec.vu.idInTest}/`, serial % KEYS_A_VU);
  const value = valueOf(`${key}#${++serial}`);
  const answer = call("put", "KV/Put", { key: bytes(key), value: bytes(value) });
  if (answer === null) return;
  const revision = revisionOf("put", answer, { wrote: true });
  if (serial % READ_BACK_EVERY === 0) readBack(bytes(key), bytes(value), revision);
}

function readBack(key, value, revision) {
  const answer = call("get", "KV/Range", { key });
  if (answer === null) return;
  revisionOf("get", answer, { wrote: false });
  const kv = answer.kvs[0];
  verify("get: the value is the one written last", kv?.value === value, () => JSON.stringify(kv));
  verify("get: mod_revision is that of the Put", Number(kv?.modRevision) === revision, () =>
    JSON.stringify(kv),
  );
}

export function teardown() {
  deleteAll();
}
