/**
 * Leases. A session is granted one, puts a key on it, keeps it alive over a stream and revokes it; a few others let theirs expire: the key
 * must be there until then, and gone soon afterwards. The row `keep-alive` is the time to the answer on the stream.
 */
import { sleep } from "k6";
import exec from "k6/execution";
import { Trend } from "k6/metrics";
import {
  bytes,
  call,
  deleteAll,
  disconnect,
  openStream,
  prepareCluster,
  valueOf,
  verify,
} from "./lib/etcd.js";
import { companions, loadScenario, makeOptions, settings } from "./lib/settings.js";
import { summaryOf } from "./lib/summary.js";

const TTL_SECONDS = 60;
const KEEP_ALIVES = 5;
const EXPIRING = 4;
const EXPIRING_TTL_SECONDS = 3;
/** Members look for expired leases twice a second, and revoke through the log. */
const GONE_WITHIN_SECONDS = 5;
const POLL_SECONDS = 0.1;
/** Who expires waits for the longest time that a lease may last, and then some. */
const EXPIRY_SECONDS = 30;
const TRENDS = { "keep-alive": "etcd_keep_alive" };

const keepAliveTime = new Trend("etcd_keep_alive", true);

export const options = makeOptions({
  scenarios: {
    sessions: loadScenario({ exec: "session" }),
    expiries: companions(EXPIRING, EXPIRY_SECONDS, { exec: "expire" }),
  },
  operations: ["grant", "put", "time-to-live", "revoke", "get"],
  trends: TRENDS,
});
export const handleSummary = summaryOf("lease", TRENDS);

export function setup() {
  prepareCluster();
  deleteAll();
}

let serial = 0;

/** A lease with a key on it; null after an error. */
function grant(ttl) {
  const granted = call("grant", "Lease/LeaseGrant", { TTL: ttl });
  if (granted === null) return null;
  verify("grant: the TTL is at least what was asked for", Number(granted.TTL) >= ttl, () => granted.TTL);
  const key = bytes(`${settings.PREFIX}lease/${exec.vu.idInTest}/${++serial}`);
  const grantedAt = Date.now();
  const put = call("put", "KV/Put", { key, value: bytes(valueOf("on a lease ")), lease: granted.ID });
  return put === null ? null : { id: granted.ID, ttl: Number(granted.TTL), key, grantedAt };
}

export function session() {
  const lease = grant(TTL_SECONDS);
  if (lease === null) return;
  const stream = openStream("Lease/LeaseKeepAlive");
  let answers = 0;
  let askedAt = Date.now();
  const ask = () => {
    askedAt = Date.now();
    stream.write({ ID: lease.id });
  };
  stream.on("data", (answer) => {
    keepAliveTime.add(Date.now() - askedAt);
    const isRight = answer.ID === lease.id && Number(answer.TTL) === lease.ttl;
    verify("keep-alive: the lease has its whole TTL again", isRight, () => JSON.stringify(answer));
    if (++answers < KEEP_ALIVES) ask();
    else stream.end();
  });
  stream.on("error", (error) => verify("keep-alive: the stream lasts", false, () => error.message));
  stream.on("end", () => {
    verify("keep-alive: each is answered", answers === KEEP_ALIVES, () => String(answers));
    revoke(lease);
  });
  ask();
}

function revoke({ id, ttl, key }) {
  const left = call("time-to-live", "Lease/LeaseTimeToLive", { ID: id, keys: true });
  if (left !== null) {
    verify("time-to-live: the key is on the lease", left.keys.length === 1 && left.keys[0] === key, () =>
      JSON.stringify(left),
    );
    verify("time-to-live: it was kept alive", Number(left.TTL) > ttl / 2, () => left.TTL);
  }
  if (call("revoke", "Lease/LeaseRevoke", { ID: id }) === null) return;
  const after = call("get", "KV/Range", { key });
  if (after !== null)
    verify("revoke: the key goes with the lease", after.kvs.length === 0, () => JSON.stringify(after));
}

/** Leases end by themselves, one after the other, as long as the load goes on. */
export function expire() {
  const endAt = Date.now() + settings.seconds * 1000;
  do expireOne();
  while (Date.now() < endAt);
  disconnect();
}

function expireOne() {
  const lease = grant(EXPIRING_TTL_SECONDS);
  if (lease === null) return sleep(1);
  const { ttl, key, grantedAt } = lease;
  for (;;) {
    const askedAt = Date.now();
    const answer = call("get", "KV/Range", { key });
    const goneAfter = (Date.now() - grantedAt) / 1000;
    if (answer !== null && answer.kvs.length === 0) {
      // `grantedAt` is later than the grant itself, by the time of its answer: that much it may seem too early.
      verify(
        "expiry: not before the TTL",
        goneAfter > ttl - POLL_SECONDS * 2,
        () => `${goneAfter} s of ${ttl}`,
      );
      return;
    }
    const late = (askedAt - grantedAt) / 1000 > ttl + GONE_WITHIN_SECONDS;
    if (late) {
      verify("expiry: soon after the TTL", false, () => `still there after ${goneAfter} s`);
      return;
    }
    sleep(POLL_SECONDS);
  }
}

export function teardown() {
  deleteAll();
}
