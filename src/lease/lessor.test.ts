/** The lessor over virtual time. */
import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../base/prng.ts";
import { CHECKPOINT_INTERVAL_MS, SPREAD_EXPIRIES_PER_SECOND } from "./lease-limits.ts";
import { Lessor, Renewal } from "./lessor.ts";

const RETRY_MS = 7000;
const EXTEND_MS = 1000;

function lessorOf(checkpointIntervalMs = 0): Lessor {
  return new Lessor({ minTtlSeconds: 2, retryMs: RETRY_MS, checkpointIntervalMs, hashSeed: 42 });
}

/** Ids that are handed out at `nowMs`. */
function expired(lessor: Lessor, nowMs: number, leasesMax = 1e6): number[] {
  const ids: number[] = [];
  lessor.takeExpired(nowMs, leasesMax, (low) => ids.push(low));
  return ids;
}

function checkpoints(lessor: Lessor, nowMs: number): Array<[id: number, seconds: number]> {
  const taken: Array<[number, number]> = [];
  lessor.takeCheckpoints(nowMs, 1e6, (low, _high, seconds) => taken.push([low, seconds]));
  return taken;
}

test("a lease is handed out when its time is over, not before, and again after the retry interval", () => {
  const lessor = lessorOf();
  lessor.promote(0, EXTEND_MS);
  lessor.grant(1, 0, 10, 5000);
  equal(lessor.nextExpiredMs, 15_000);
  deepEqual(expired(lessor, 14_999), []);
  deepEqual(expired(lessor, 15_000), [1]);
  deepEqual(expired(lessor, 15_000 + RETRY_MS - 1), []);
  deepEqual(expired(lessor, 15_000 + RETRY_MS), [1]);
  lessor.remove(lessor.find(1, 0));
  deepEqual(expired(lessor, 1e9), []);
  equal(lessor.size, 0);
});

test("short TTLs are raised to the minimum, also those from the database", () => {
  const lessor = lessorOf();
  lessor.restore(1, 0, 1, 0);
  for (const [index, ttl] of [0, -5, 1, 2, 3].entries()) lessor.grant(10 + index, 0, ttl, 0);
  deepEqual(
    [1, 10, 11, 12, 13, 14].map((id) => lessor.ttlSeconds(lessor.find(id, 0))),
    [2, 2, 2, 2, 2, 3],
  );
});

test("a renewal gives the whole TTL again; what is past its time is not renewed", () => {
  const lessor = lessorOf();
  equal(lessor.renew(1, 0, 0), Renewal.notPrimary);
  lessor.promote(0, EXTEND_MS);
  equal(lessor.renew(1, 0, 0), Renewal.notFound);
  lessor.grant(1, 0, 10, 0);
  equal(lessor.renew(1, 0, 9999), Renewal.renewed);
  deepEqual(expired(lessor, 19_998), []);
  equal(lessor.renew(1, 0, 19_999), Renewal.expired);
  deepEqual(expired(lessor, 19_999), [1]);
  equal(lessor.renew(1, 0, 19_999), Renewal.expired, "it waits for its revocation");
});

test("leases live for ever on a member that is not primary, and get an expiry when it becomes it", () => {
  const lessor = lessorOf();
  lessor.grant(1, 0, 10, 0);
  equal(lessor.expiryMs(lessor.find(1, 0)), Infinity);
  equal(lessor.nextExpiredMs, Infinity);
  lessor.promote(100_000, EXTEND_MS);
  equal(lessor.nextExpiredMs, 111_000);
  lessor.demote();
  equal(lessor.nextExpiredMs, Infinity);
  deepEqual(expired(lessor, 1e12), []);
  equal(lessor.renew(1, 0, 0), Renewal.notPrimary);
  lessor.promote(200_000, EXTEND_MS);
  deepEqual(expired(lessor, 210_999), []);
  deepEqual(expired(lessor, 211_000), [1]);
});

test("keys follow their last put; a lease with keys is not removed", () => {
  const lessor = lessorOf();
  lessor.grant(1, 5, 10, 0);
  lessor.grant(2, 5, 10, 0);
  lessor.attach(1, 5, 100);
  lessor.attach(1, 5, 101);
  lessor.attach(2, 5, 101);
  lessor.attach(9, 9, 102); // not known: as a database without the lease has it
  equal(lessor.attachedKeys, 2);
  deepEqual([...lessor.keysOf(lessor.find(1, 5))], [100]);
  throws(() => lessor.remove(lessor.find(2, 5)), /holds no keys/);
  lessor.attach(0, 0, 101);
  lessor.detach(100);
  equal(lessor.attachedKeys, 0);
  lessor.remove(lessor.find(2, 5));
  equal(lessor.has(2, 5), false);
});

test("a long lease is checkpointed after the interval, and the next primary begins with what is left", () => {
  const lessor = lessorOf(CHECKPOINT_INTERVAL_MS);
  lessor.promote(0, EXTEND_MS);
  lessor.grant(1, 0, 3600, 0);
  lessor.grant(2, 0, 300, 0);
  deepEqual(checkpoints(lessor, CHECKPOINT_INTERVAL_MS - 1), []);
  deepEqual(checkpoints(lessor, CHECKPOINT_INTERVAL_MS), [[1, 3300]], "a short lease is not worth it");
  deepEqual(checkpoints(lessor, CHECKPOINT_INTERVAL_MS), [], "it is on its way");
  lessor.checkpoint(lessor.find(1, 0), 3300, CHECKPOINT_INTERVAL_MS + 10);
  deepEqual(checkpoints(lessor, 2 * CHECKPOINT_INTERVAL_MS + 9), []);
  deepEqual(checkpoints(lessor, 2 * CHECKPOINT_INTERVAL_MS + 10), [[1, 3000]], "and so on");
  equal(lessor.renew(1, 0, 400_000), Renewal.hasCheckpoint, "it is to be taken back first");
  lessor.demote();
  lessor.promote(0, EXTEND_MS);
  equal(lessor.expiryMs(lessor.find(1, 0)), 3_301_000);
  lessor.checkpoint(lessor.find(1, 0), 0, 500);
  equal(lessor.renew(1, 0, 1000), Renewal.renewed);
  equal(lessor.expiryMs(lessor.find(1, 0)), 3_601_000);
  lessor.demote();
  lessor.promote(0, 0);
  equal(lessor.expiryMs(lessor.find(1, 0)), 3_600_000, "nothing is left of the checkpoint");
});

test("a lease whose checkpoint is on its way is not renewed before that has come and is taken back", () => {
  const lessor = lessorOf(CHECKPOINT_INTERVAL_MS);
  const row = lessor.grant(1, 0, 3600, 0);
  lessor.promote(0, 0);
  deepEqual(checkpoints(lessor, CHECKPOINT_INTERVAL_MS), [[1, 3300]]);
  // The next primary would begin with 3,300 s, though the client was told 3,600.
  equal(lessor.renew(1, 0, 310_000), Renewal.hasCheckpoint, "handed out");
  lessor.checkpoint(row, 0, 320_000);
  equal(
    lessor.renew(1, 0, 330_000),
    Renewal.hasCheckpoint,
    "an earlier one was taken back, this one comes behind it",
  );
  deepEqual(checkpoints(lessor, 1_000_000), [], "none is handed out beside it");
  lessor.checkpoint(row, 3300, 1_000_000);
  equal(lessor.renew(1, 0, 1_000_001), Renewal.hasCheckpoint, "it has come");
  lessor.checkpoint(row, 0, 1_000_002);
  equal(lessor.renew(1, 0, 1_000_003), Renewal.renewed);
  deepEqual(checkpoints(lessor, 1_400_000), [[1, 3201]], "and they go on");
  lessor.demote();
  lessor.promote(1_500_000, 0);
  equal(lessor.renew(1, 0, 1_500_001), Renewal.renewed, "what an old term handed out no longer comes");
});

test("many leases are restored with their checkpoints, however often the columns grow", () => {
  const lessor = lessorOf(CHECKPOINT_INTERVAL_MS);
  for (let id = 1; id <= 5000; id++) lessor.restore(id, 1, 600, id);
  for (let id = 1; id <= 5000; id++) equal(lessor.remainingSeconds(lessor.find(id, 1)), id);
});

test("without checkpoints nothing is handed out for them, and those of others count", () => {
  const lessor = lessorOf(0);
  lessor.restore(1, 0, 3600, 100);
  lessor.promote(0, EXTEND_MS);
  equal(lessor.expiryMs(lessor.find(1, 0)), 101_000);
  deepEqual(checkpoints(lessor, 1e9), []);
  equal(lessor.renew(1, 0, 0), Renewal.renewed);
});

test("a new primary spreads leases that would fall due together, none to before its time", () => {
  const lessor = lessorOf();
  const leases = 10_000;
  for (let id = 1; id <= leases; id++) lessor.restore(id, 0, id <= 5000 ? 10 : 60, 0);
  lessor.promote(0, EXTEND_MS);
  const perSecond = new Map<number, number>();
  for (let id = 1; id <= leases; id++) {
    const expiryMs = lessor.expiryMs(lessor.find(id, 0));
    equal(expiryMs >= (id <= 5000 ? 11_000 : 61_000), true);
    const second = Math.floor(expiryMs / 1000);
    perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
  }
  const most = Math.max(...perSecond.values());
  equal(most <= SPREAD_EXPIRIES_PER_SECOND + 1, true, `${most} in one second`);
  const few = lessorOf();
  for (let id = 1; id <= 999; id++) few.restore(id, 0, 10, 0);
  few.promote(0, EXTEND_MS);
  equal(few.expiryMs(few.find(999, 0)), 11_000, "so few are revoked in time as they are");
});

test("the list begins with what expires first", () => {
  const lessor = lessorOf();
  lessor.promote(0, 0);
  for (const [id, ttl] of [
    [1, 30],
    [2, 10],
    [3, 20],
  ])
    lessor.grant(id, 7, ttl, 0);
  deepEqual([...lessor.ids()], [2, 7, 3, 7, 1, 7]);
});

/** A lease as simply as it can be written. */
interface ModelLease {
  ttl: number;
  expiryMs: number;
  retryMs: number;
}

test("random histories agree with a model: nothing expires early or late, and nothing is forgotten", () => {
  const prng = new Prng(99);
  for (let round = 0; round < 20; round++) {
    const lessor = lessorOf();
    const model = new Map<number, ModelLease>();
    let isPrimary = false;
    let nowMs = 0;
    for (let step = 0; step < 2000; step++) {
      nowMs += prng.below(200);
      const id = 1 + prng.below(200);
      const lease = model.get(id);
      const choice = prng.below(100);
      if (choice < 30 && lease === undefined) {
        const ttl = 2 + prng.below(60);
        lessor.grant(id, 0, ttl, nowMs);
        const expiryMs = isPrimary ? nowMs + ttl * 1000 : Infinity;
        model.set(id, { ttl, expiryMs, retryMs: expiryMs });
      } else if (choice < 70) {
        let expected: number = Renewal.renewed;
        if (!isPrimary) expected = Renewal.notPrimary;
        else if (lease === undefined) expected = Renewal.notFound;
        else if (nowMs >= lease.expiryMs) expected = Renewal.expired;
        else lease.expiryMs = lease.retryMs = nowMs + lease.ttl * 1000;
        equal(lessor.renew(id, 0, nowMs), expected);
      } else if (choice < 80 && lease !== undefined) {
        lessor.remove(lessor.find(id, 0));
        model.delete(id);
      } else if (choice === 99) {
        isPrimary = !isPrimary;
        if (isPrimary) lessor.promote(nowMs, EXTEND_MS);
        else lessor.demote();
        for (const each of model.values())
          each.expiryMs = each.retryMs = isPrimary ? nowMs + EXTEND_MS + each.ttl * 1000 : Infinity;
      } else {
        const due = [...model].filter(([, each]) => each.retryMs <= nowMs);
        for (const [, each] of due) each.retryMs = nowMs + RETRY_MS;
        deepEqual(
          expired(lessor, nowMs).toSorted((a, b) => a - b),
          due.map(([dueId]) => dueId).toSorted((a, b) => a - b),
        );
      }
      equal(lessor.size, model.size);
    }
  }
});
