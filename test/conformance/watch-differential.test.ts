/**
 * Same events as etcd: random watches on the member under test and on a real etcd while both are changed and compacted alike, and
 * everything that comes on every watch is compared. `SEED=n OPS=n` replays a run.
 */
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Prng } from "../../src/base/prng.ts";
import {
  CompactionRequestSchema,
  PutRequestSchema,
  TxnRequestSchema,
  WatchCreateRequestSchema,
} from "../../src/proto/gen/rpc_pb.ts";
import { referenceMember, skipWithout } from "../support/binaries.ts";
import { Comparison } from "./comparison.ts";
import { startPair } from "./pair.ts";
import { WatchComparison } from "./watch-comparison.ts";
import { SEED } from "../support/seed.ts";

const OPS = Number(process.env["OPS"] ?? 1_000);
const ACT_CHANCE = 0.12;
const PROGRESS_CHANCE = 0.01;
// Two such events are more than etcd puts into one response that may be split.
const HALF_FRAGMENT_BYTES = 700_000;
const LONG_KEY_BYTES = 300_000;

const reference = referenceMember();

test(
  "watches are told what etcd tells them",
  { skip: skipWithout("etcd", reference) ?? false, timeout: 900_000 },
  async (t) => {
    t.diagnostic(`SEED=${SEED} OPS=${OPS}`);
    const pair = await startPair(t);
    const comparison = new Comparison({ ...pair, seed: SEED });
    const prng = new Prng(SEED + 1);
    const watches = await WatchComparison.start(pair, comparison, prng);
    await largeRevisions(comparison, watches);
    await recreation(comparison, watches);
    await compactedPrevious(comparison, watches);
    for (let i = 0; i < OPS; i++) {
      if (prng.chance(ACT_CHANCE)) await watches.act();
      if (prng.chance(PROGRESS_CHANCE)) await watches.progress();
      const operation = comparison.next();
      // prev_kv is read when an event is sent: what a compaction takes away must have been sent before.
      if (operation.method === "Compact") await watches.settle();
      await comparison.step(operation);
    }
    await watches.progress();
    t.diagnostic(comparison.summary());
    for (const [what, count] of watches.counts) t.diagnostic(`${what}: ${count}`);
  },
);

/** Revisions whose events are more than one response takes, for watches that let them be split and watches that do not. */
async function largeRevisions(comparison: Comparison, watches: WatchComparison): Promise<void> {
  const slot = await watches.newSlot();
  const key = Buffer.from("large/");
  const rangeEnd = Buffer.from("large0");
  const open = async (startRevision: bigint): Promise<void> => {
    for (const fragment of [true, false])
      for (const prevKv of [true, false])
        await watches.open(
          slot,
          create(WatchCreateRequestSchema, { key, rangeEnd, fragment, prevKv, startRevision }),
        );
  };
  await open(0n);
  for (const fill of [1, 2, 3]) {
    const value = new Uint8Array(HALF_FRAGMENT_BYTES).fill(fill);
    const success = ["large/a", "large/b"].map((name) => ({
      request: { case: "requestPut", value: { key: Buffer.from(name), value } } as never,
    }));
    await comparison.step({ method: "Txn", request: create(TxnRequestSchema, { success }) });
  }
  await open(1n);
  await watches.settle();
}

/** A transaction deletes a key and creates it: the creation has no previous value, although the key was there before. */
async function recreation(comparison: Comparison, watches: WatchComparison): Promise<void> {
  const slot = await watches.newSlot();
  const key = Buffer.from("recreated");
  const put = { case: "requestPut", value: { key, value: Buffer.from("v") } };
  // etcd refuses to touch a key twice, unless the deletion is of everything from the key on.
  const remove = { case: "requestDeleteRange", value: { key, rangeEnd: Buffer.from("\0") } };
  await watches.open(slot, create(WatchCreateRequestSchema, { key, prevKv: true }));
  for (const requests of [[put], [remove, put]]) {
    const success = requests.map((request) => ({ request }) as never);
    await comparison.step({ method: "Txn", request: create(TxnRequestSchema, { success }) });
  }
  await watches.open(slot, create(WatchCreateRequestSchema, { key, prevKv: true, startRevision: 1n }));
  await watches.settle();
}

/**
 * A watch from the compacted revision itself: its events have no previous values, those behind it have, also of keys that are longer
 * than an ordinary question between our threads.
 */
async function compactedPrevious(comparison: Comparison, watches: WatchComparison): Promise<void> {
  const slot = await watches.newSlot();
  const keys = [Buffer.from("previous"), Buffer.alloc(LONG_KEY_BYTES, "previous")];
  // Somebody wants previous values, so that they are sent along with the events.
  for (const key of keys) await watches.open(slot, create(WatchCreateRequestSchema, { key, prevKv: true }));
  for (const value of ["one", "two", "three"])
    for (const key of keys)
      await comparison.step({
        method: "Put",
        request: create(PutRequestSchema, { key, value: Buffer.from(value) }),
      });
  await watches.settle();
  const revision = BigInt(comparison.view.revision - 3);
  await comparison.step({ method: "Compact", request: create(CompactionRequestSchema, { revision }) });
  for (const key of keys)
    await watches.open(
      slot,
      create(WatchCreateRequestSchema, { key, prevKv: true, startRevision: revision }),
    );
  await watches.settle();
}
