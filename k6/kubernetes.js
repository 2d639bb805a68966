/**
 * What a Kubernetes API server asks of its store: lists page by page at one revision, gets, creation and optimistic update and deletion by
 * Txn, a watch on each kind of object from the revision of its list, events that go with a lease which is kept alive, compaction. No
 * object may be lost or changed unseen; each watch must tell every change once and in order.
 */
import exec from "k6/execution";
import { Counter } from "k6/metrics";
import { clearInterval, setInterval, setTimeout } from "k6/timers";
import {
  bytes,
  call,
  deleteAll,
  disconnect,
  isEqual,
  keyName,
  listAll,
  openStream,
  prefixRange,
  prepareCluster,
  revisionOf,
  text,
  valueOf,
  verify,
} from "./lib/etcd.js";
import { Mirror, stamp, WATCH_TRENDS } from "./lib/mirror.js";
import { companions, loadScenario, makeOptions, settings } from "./lib/settings.js";
import { summaryOf } from "./lib/summary.js";

const REGISTRY = `${settings.PREFIX}registry/`;
const PODS = `${REGISTRY}pods/default/`;
const NODES = `${REGISTRY}leases/kube-node-lease/`;
const EVENTS = `${REGISTRY}events/default/`;
const NODE_COUNT = 50;
/** An API server lists in chunks of 500. */
const PAGE_KEYS = 500;
const TRIES = 5;
const LEAD_SECONDS = 1;
const TAIL_SECONDS = 2;
/** An hour of events stands in ten seconds here, so that leases are kept alive and handed over within a short run. */
const EVENT_TTL_SECONDS = 10;
const EVENT_EVERY_MS = 100;
/** The first compaction comes with the second tick. */
const COMPACTION_EVERY_SECONDS = Math.max(1, Math.min(5, Math.floor(settings.seconds / 3)));

/** Out of 100 iterations. Most of what a cluster writes is the status of what is there. */
const MIX = [
  [25, getPod],
  [5, listPods],
  [10, createPod],
  [30, updatePodStatus],
  [10, deletePod],
  [20, renewNodeLease],
];

const conflicts = new Counter("etcd_txn_conflicts");

export const options = makeOptions({
  scenarios: {
    pods: companions(settings.WATCHERS, 60, { exec: "watchPods" }),
    nodes: companions(1, 60, { exec: "watchNodes" }),
    events: companions(1, 60, { exec: "recordEvents", startTime: `${LEAD_SECONDS}s` }),
    controllers: loadScenario({ exec: "control", startTime: `${LEAD_SECONDS}s` }),
    compaction: {
      executor: "constant-arrival-rate",
      exec: "compact",
      rate: 1,
      timeUnit: `${COMPACTION_EVERY_SECONDS}s`,
      duration: settings.DURATION,
      preAllocatedVUs: 1,
    },
  },
  operations: ["get", "list", "create", "update", "delete", "event", "compact"],
  trends: { "watch event": WATCH_TRENDS.event },
  // Lists are long, and a compaction waits for the log only.
  limits: { "list.p99": 2000 },
});
export const handleSummary = summaryOf("kubernetes", { "watch event": WATCH_TRENDS.event });

export function setup() {
  prepareCluster();
  deleteAll();
  for (let i = 0; i < settings.KEYS / 2; i++) put(keyName(PODS, i));
  for (let i = 0; i < NODE_COUNT; i++) put(keyName(NODES, i));
}

function put(name) {
  if (call("fill", "KV/Put", { key: bytes(name), value: object(name) }) === null)
    exec.test.abort("the objects could not be written");
}

/** An object's bytes: when it was written, for the watches, and what it is, for everybody who reads it. */
function object(name) {
  return bytes(valueOf(`${stamp()} ${name} `));
}

export function control() {
  let dice = Math.random() * 100;
  const [, act] = MIX.find(([share]) => (dice -= share) < 0) ?? MIX[0];
  act();
}

function anyPod() {
  return keyName(PODS, Math.floor(Math.random() * settings.KEYS));
}

function getPod() {
  read(anyPod());
}

/** The key as it is now; undefined without one, null after an error. */
function read(name) {
  const answer = call("get", "KV/Range", { key: bytes(name) });
  if (answer === null) return null;
  revisionOf("get", answer, { wrote: false });
  const kv = answer.kvs[0];
  if (kv !== undefined) checkObject("get", name, kv);
  return kv;
}

function checkObject(op, name, kv) {
  verify(`${op}: the object is the one of its name`, text(kv.value).split(" ")[1] === name, () =>
    JSON.stringify(kv),
  );
}

function listPods() {
  const listed = listAll("list", PODS, PAGE_KEYS);
  if (listed === null) return;
  let last = "";
  for (const kv of listed.kvs) {
    const name = text(kv.key);
    verify("list: names in order, each once", name > last, () => `${name} after ${last}`);
    verify("list: nothing newer than its revision", Number(kv.modRevision) <= listed.revision, () =>
      JSON.stringify(kv),
    );
    last = name;
  }
}

function createPod() {
  const name = anyPod();
  const key = bytes(name);
  const answer = call("create", "KV/Txn", {
    compare: [isEqual(key, "MOD", "mod_revision", 0)],
    success: [{ request_put: { key, value: object(name) } }],
    failure: [{ request_range: { key } }],
  });
  if (answer === null) return;
  revisionOf("create", answer, { wrote: answer.succeeded });
  if (answer.succeeded) return;
  const kv = answer.responses[0].responseRange.kvs[0];
  verify("create: it fails only where an object is", kv !== undefined, () => name);
}

function updatePodStatus() {
  update(anyPod());
}

function renewNodeLease() {
  update(keyName(NODES, Math.floor(Math.random() * NODE_COUNT)));
}

/** Reads, and writes on top of what was read; begins again with what was in the way. */
function update(name) {
  change("update", name, (key) => ({ request_put: { key, value: object(name) } }));
}

function deletePod() {
  change("delete", anyPod(), (key) => ({ request_delete_range: { key } }));
}

function change(op, name, write) {
  const key = bytes(name);
  let kv = read(name);
  for (let i = 0; i < TRIES && kv; i++) {
    const compared = Number(kv.modRevision);
    const answer = call(op, "KV/Txn", {
      compare: [isEqual(key, "MOD", "mod_revision", compared)],
      success: [write(key)],
      failure: [{ request_range: { key } }],
    });
    if (answer === null) return;
    revisionOf(op, answer, { wrote: answer.succeeded });
    if (answer.succeeded) return;
    conflicts.add(1);
    kv = answer.responses[0].responseRange.kvs[0];
    const newer = kv === undefined || Number(kv.modRevision) > compared;
    verify(
      `${op}: who loses is shown a newer object`,
      newer,
      () => `${JSON.stringify(kv)} after ${compared}`,
    );
  }
}

export function watchPods() {
  follow(PODS);
}

export function watchNodes() {
  follow(NODES);
}

function follow(prefix) {
  new Mirror(prefix).follow(LEAD_SECONDS + settings.seconds + TAIL_SECONDS);
}

/** Events on a lease, which is kept alive as long as the load goes on; then it is revoked, and all of them are gone. */
export function recordEvents() {
  const granted = call("grant", "Lease/LeaseGrant", { TTL: EVENT_TTL_SECONDS });
  if (granted === null) return;
  const stream = openStream("Lease/LeaseKeepAlive");
  stream.on("data", (answer) =>
    verify("events: their lease is kept alive", answer.ID === granted.ID && Number(answer.TTL) > 0, () =>
      JSON.stringify(answer),
    ),
  );
  stream.on("error", (error) => verify("events: the keep-alive stream lasts", false, () => error.message));
  stream.on("end", () => revokeEvents(granted.ID, recorded));
  let recorded = 0;
  const keepAlive = setInterval(() => stream.write({ ID: granted.ID }), (EVENT_TTL_SECONDS * 1000) / 3);
  const record = setInterval(() => (recorded += recordEvent(granted.ID, recorded)), EVENT_EVERY_MS);
  setTimeout(() => {
    clearInterval(keepAlive);
    clearInterval(record);
    stream.end();
  }, settings.seconds * 1000);
}

/** Returns how many were recorded: one, or none after an error. */
function recordEvent(lease, index) {
  const name = keyName(EVENTS, index);
  const key = bytes(name);
  const answer = call("event", "KV/Txn", {
    compare: [isEqual(key, "MOD", "mod_revision", 0)],
    success: [{ request_put: { key, value: object(name), lease } }],
    failure: [],
  });
  if (answer === null) return 0;
  verify("events: each name is new", answer.succeeded, () => name);
  return 1;
}

function revokeEvents(lease, recorded) {
  verify(
    "events: none is gone while the lease lives",
    countEvents() === recorded,
    () => `${recorded} were recorded`,
  );
  call("revoke", "Lease/LeaseRevoke", { ID: lease });
  verify("events: all go with the lease", countEvents() === 0, () => `${countEvents()} are left`);
  disconnect();
}

function countEvents() {
  const answer = call("get", "KV/Range", { ...prefixRange(EVENTS), count_only: true });
  return answer === null ? -1 : Number(answer.count);
}

let compactTo = 0;

/** Up to where the store was one interval ago, as an API server does it: nobody reads as far back as that. */
export function compact() {
  const before = compactTo;
  const answer = call("get", "KV/Range", { key: bytes(NODES) });
  if (answer === null) return;
  compactTo = Number(answer.header.revision);
  if (before > 0 && before < compactTo) call("compact", "KV/Compact", { revision: before });
}

export function teardown() {
  deleteAll();
}
