/**
 * Writers, and WATCHERS streams that watch all of their keys. Each watch must tell every change once and in order, and its copy of the keys
 * must be as the store in the end. The row `event` is the time from before a Put is sent until its event is here.
 */
import { bytes, call, deleteAll, keyName, prepareCluster, revisionOf, valueOf } from "./lib/etcd.js";
import { Mirror, stamp, WATCH_TRENDS } from "./lib/mirror.js";
import { companions, loadScenario, makeOptions, settings } from "./lib/settings.js";
import { summaryOf } from "./lib/summary.js";

const PREFIX = `${settings.PREFIX}watch/`;
/** Watches are there before the load and go on behind it. */
const LEAD_SECONDS = 1;
const TAIL_SECONDS = 2;

export const options = makeOptions({
  scenarios: {
    watchers: companions(settings.WATCHERS, 60, { exec: "watch" }),
    writers: loadScenario({ exec: "write", startTime: `${LEAD_SECONDS}s` }),
  },
  operations: ["put"],
  trends: WATCH_TRENDS,
});
export const handleSummary = summaryOf("watch", WATCH_TRENDS);

export function setup() {
  prepareCluster();
  deleteAll();
}

export function watch() {
  new Mirror(PREFIX).follow(LEAD_SECONDS + settings.seconds + TAIL_SECONDS);
}

export function write() {
  const key = keyName(PREFIX, Math.floor(Math.random() * settings.KEYS));
  const answer = call("put", "KV/Put", { key: bytes(key), value: bytes(valueOf(stamp())) });
  if (answer !== null) revisionOf("put", answer, { wrote: true });
}

export function teardown() {
  deleteAll();
}
