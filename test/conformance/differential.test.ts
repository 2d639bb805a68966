/**
 * Same answers as etcd: one random sequence of KV and Lease calls goes to the member under test and to a real etcd, and every field
 * of every answer is compared. `SEED=n OPS=n` replays a run; the names in test/support/binaries.ts choose the programs.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Lease, LeaseGrantRequestSchema } from "../../src/proto/gen/rpc_pb.ts";
import { referenceMember, skipWithout } from "../support/binaries.ts";
import { startPair } from "./pair.ts";
import { Comparison } from "./comparison.ts";
import { SEED } from "../support/seed.ts";

const OPS = Number(process.env["OPS"] ?? 5_000);

const reference = referenceMember();

test(
  "answers every call of KV and Lease as etcd does",
  { skip: skipWithout("etcd", reference) ?? false, timeout: 600_000 },
  async (t) => {
    t.diagnostic(`SEED=${SEED} OPS=${OPS}`);
    const pair = await startPair(t);
    const comparison = new Comparison({ ...pair, seed: SEED });
    await comparison.run(OPS);
    await comparison.compareHistory();
    await shortGrants(comparison);
    const granted = await Promise.all(
      [pair.ours, pair.theirs].map((client) => client.call(Lease.method.leaseGrant, { TTL: 500n })),
    );
    for (const { ID, TTL, error } of granted)
      assert.deepEqual([ID > 0n, TTL, error], [true, 500n, ""], "an id that the member chose");
    t.diagnostic(comparison.summary());
  },
);

/** Times that etcd raises to its minimum. They come last, since leases that expire let the stores drift apart. */
async function shortGrants(comparison: Comparison): Promise<void> {
  for (const [i, TTL] of [-(1n << 63n), -1n, 0n, 1n, 2n, 3n].entries()) {
    const request = create(LeaseGrantRequestSchema, { ID: 5000n + BigInt(i), TTL });
    await comparison.step({ method: "LeaseGrant", request });
  }
}
