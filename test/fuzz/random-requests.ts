/** Random KV requests over few keys, so that they collide; valid and invalid, with every option. */
import { create } from "@bufbuild/protobuf";
import type { Prng } from "../../src/base/prng.ts";
import {
  type Compare,
  CompareSchema,
  type DeleteRangeRequest,
  DeleteRangeRequestSchema,
  type PutRequest,
  PutRequestSchema,
  type RangeRequest,
  RangeRequestSchema,
  type RequestOp,
  RequestOpSchema,
  type TxnRequest,
  TxnRequestSchema,
} from "../../src/proto/gen/rpc_pb.ts";
import { toKeyBytes } from "./naive-store.ts";

/** Knows what is around in the store, so that revisions hit it. */
export interface Surroundings {
  readonly revision: number;
  readonly leases: readonly bigint[];
  /** Length of the longest value. */
  readonly valueBytesMax: number;
}

export function randomKey(prng: Prng): Uint8Array {
  if (prng.chance(0.01)) return new Uint8Array(0);
  if (prng.chance(0.02)) return toKeyBytes("\0");
  if (prng.chance(0.03)) return toKeyBytes(`long/${"x".repeat(120 + prng.below(20))}`);
  return toKeyBytes(prng.pick(["a", "b", "c", "d"]) + prng.pick(["", "1", "2", "\xff", "\0"]));
}

function randomEnd(prng: Prng): Uint8Array {
  if (prng.chance(0.4)) return new Uint8Array(0);
  if (prng.chance(0.3)) return toKeyBytes("\0");
  return prng.chance(0.1) ? toKeyBytes("\xff\xff") : randomKey(prng);
}

function randomValue(prng: Prng, around: Surroundings): Uint8Array {
  if (prng.chance(0.2)) return toKeyBytes(prng.pick(["", "v", "value-a", "value-b"]));
  return new Uint8Array(prng.below(around.valueBytesMax)).fill(prng.below(256));
}

function randomRevision(prng: Prng, around: Surroundings): bigint {
  if (prng.chance(0.7)) return 0n;
  return BigInt(prng.below(around.revision + 4)) - 2n;
}

function randomLease(prng: Prng, around: Surroundings): bigint {
  if (prng.chance(0.8)) return 0n;
  return prng.chance(0.1) ? 123456789n : prng.pick(around.leases);
}

export function randomPut(prng: Prng, around: Surroundings): PutRequest {
  const ignoreValue = prng.chance(0.1);
  const ignoreLease = prng.chance(0.1);
  return create(PutRequestSchema, {
    key: randomKey(prng),
    value: ignoreValue && prng.chance(0.9) ? new Uint8Array(0) : randomValue(prng, around),
    lease: ignoreLease && prng.chance(0.9) ? 0n : randomLease(prng, around),
    prevKv: prng.chance(0.3),
    ignoreValue,
    ignoreLease,
  });
}

export function randomRange(prng: Prng, around: Surroundings): RangeRequest {
  const filter = (): bigint => (prng.chance(0.9) ? 0n : BigInt(prng.below(around.revision + 2)));
  return create(RangeRequestSchema, {
    key: randomKey(prng),
    rangeEnd: randomEnd(prng),
    limit: prng.chance(0.6) ? 0n : BigInt(prng.below(12)) - 1n,
    revision: randomRevision(prng, around),
    sortOrder: (prng.chance(0.02) ? 5 : prng.pick([0, 0, 1, 2])) as RangeRequest["sortOrder"],
    sortTarget: (prng.chance(0.02) ? -1 : prng.pick([0, 0, 1, 2, 3, 4])) as RangeRequest["sortTarget"],
    serializable: prng.chance(0.5),
    keysOnly: prng.chance(0.2),
    countOnly: prng.chance(0.1),
    minModRevision: filter(),
    maxModRevision: filter(),
    minCreateRevision: filter(),
    maxCreateRevision: filter(),
  });
}

export function randomDeleteRange(prng: Prng): DeleteRangeRequest {
  // Mostly single keys, lest the store be always empty.
  const rangeEnd = prng.chance(0.15) ? randomEnd(prng) : new Uint8Array(0);
  return create(DeleteRangeRequestSchema, { key: randomKey(prng), rangeEnd, prevKv: prng.chance(0.5) });
}

function randomCompare(prng: Prng, around: Surroundings): Compare {
  const number = BigInt(prng.below(around.revision + 2));
  const compare = create(CompareSchema, {
    key: randomKey(prng),
    rangeEnd: prng.chance(0.8) ? new Uint8Array(0) : randomEnd(prng),
    result: prng.pick([0, 1, 2, 3]) as Compare["result"],
    target: prng.pick([0, 1, 2, 3, 4]) as Compare["target"],
  });
  const union = prng.below(6);
  if (union === 0) compare.targetUnion = { case: "version", value: BigInt(prng.below(3)) };
  else if (union === 1) compare.targetUnion = { case: "createRevision", value: number };
  else if (union === 2) compare.targetUnion = { case: "modRevision", value: number };
  else if (union === 3) compare.targetUnion = { case: "value", value: randomValue(prng, around) };
  else if (union === 4) compare.targetUnion = { case: "lease", value: prng.pick([0n, ...around.leases]) };
  return compare;
}

function randomOp(prng: Prng, around: Surroundings, depth: number): RequestOp {
  const op = create(RequestOpSchema);
  const kind = prng.below(10);
  if (kind < 3) op.request = { case: "requestRange", value: randomRange(prng, around) };
  else if (kind < 6) op.request = { case: "requestPut", value: randomPut(prng, around) };
  else if (kind < 8) op.request = { case: "requestDeleteRange", value: randomDeleteRange(prng) };
  else if (depth > 0) op.request = { case: "requestTxn", value: randomTxn(prng, around, depth - 1) };
  else if (prng.chance(0.9)) op.request = { case: "requestRange", value: randomRange(prng, around) };
  return op;
}

export function randomTxn(prng: Prng, around: Surroundings, depth = 2): TxnRequest {
  const some = <T>(make: () => T): T[] => Array.from({ length: prng.below(4) }, make);
  return create(TxnRequestSchema, {
    compare: some(() => randomCompare(prng, around)),
    success: some(() => randomOp(prng, around, depth)),
    failure: some(() => randomOp(prng, around, depth)),
  });
}
