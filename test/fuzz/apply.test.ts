/** Random requests against a model: every answer, byte for byte, from the naive store and from the real one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { checkDeleteRange, checkPut, checkRange } from "../../src/apply/validate-kv.ts";
import { checkTxn, classifyTxn, TxnRoute } from "../../src/apply/validate-txn.ts";
import { ErrorId } from "../../src/base/errors.ts";
import { Prng } from "../../src/base/prng.ts";
import { createMvccStore } from "../../src/mvcc/mvcc.ts";
import type { MvccStore } from "../../src/mvcc/store.ts";
import {
  CompactionRequestSchema,
  CompactionResponseSchema,
  DeleteRangeRequestSchema,
  DeleteRangeResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  TxnRequestSchema,
  TxnResponseSchema,
} from "../../src/proto/gen/rpc_pb.ts";
import { create } from "@bufbuild/protobuf";
import { RaftField } from "../../src/proto/raft-request.ts";
import { ReadKind } from "../../src/ring/record-types.ts";
import { KvModel, ModelError } from "./kv-model.ts";
import { CLUSTER_ID, MachineFixture, MEMBER_ID, TERM, TestLeases } from "./machine-fixture.ts";
import { MemorySource } from "./memory-source.ts";
import { NaiveStore } from "./naive-store.ts";
import {
  randomDeleteRange,
  randomPut,
  randomRange,
  randomTxn,
  type Surroundings,
} from "./random-requests.ts";
import { modelCheckDeleteRange, modelCheckPut, modelCheckRange, modelCheckTxn } from "./validation-model.ts";
import { SEED } from "../support/seed.ts";

const LEASES = [7n, 0x7fff_ffff_ffff_fff1n];
const OPS_MAX = 8;

const header = (revision: bigint) => ({
  clusterId: CLUSTER_ID,
  memberId: MEMBER_ID,
  revision,
  raftTerm: BigInt(TERM),
});

/** One world: the model and two machines. */
class World {
  readonly model = new KvModel(header);
  readonly fixtures: MachineFixture[];
  readonly leases: TestLeases[];

  constructor(stores: MvccStore[]) {
    this.leases = stores.map(() => new TestLeases(LEASES));
    this.fixtures = stores.map((store, i) => new MachineFixture(store, this.leases[i]));
    for (const lease of LEASES) this.model.leases.add(lease);
  }

  expectAnswer(what: string, ids: number[], expected: { bytes: Uint8Array; errorId: number }): void {
    this.fixtures.forEach((fixture, i) => {
      const answer = fixture.answer(ids[i]);
      assert.equal(answer.errorId, expected.errorId, `${what}: error, store ${i}`);
      assert.ok(
        answer.announced < 0 || answer.announced === answer.bytes.length,
        `${what}: announced length, store ${i}`,
      );
      assert.deepEqual(Buffer.from(answer.bytes), Buffer.from(expected.bytes), `${what}: answer, store ${i}`);
    });
  }
}

function expectedOf<Desc extends DescMessage>(
  schema: Desc,
  run: () => MessageShape<Desc>,
): { bytes: Uint8Array; errorId: number } {
  try {
    return { bytes: toBinary(schema, run()), errorId: ErrorId.none };
  } catch (error) {
    if (error instanceof ModelError) return { bytes: new Uint8Array(0), errorId: error.errorId };
    throw error;
  }
}

function stepPut(world: World, prng: Prng, around: Surroundings): void {
  const request = randomPut(prng, around);
  const bytes = toBinary(PutRequestSchema, request);
  const error = modelCheckPut(request);
  assert.equal(checkPut(bytes, 0, bytes.length), error);
  if (error !== ErrorId.none) return;
  const expected = expectedOf(PutResponseSchema, () => world.model.put(request));
  world.expectAnswer(
    "put",
    world.fixtures.map((fixture) => fixture.apply(RaftField.put, bytes)),
    expected,
  );
}

function stepRange(world: World, prng: Prng, around: Surroundings): void {
  const request = randomRange(prng, around);
  const bytes = toBinary(RangeRequestSchema, request);
  const error = modelCheckRange(request);
  assert.equal(checkRange(bytes, 0, bytes.length), error);
  if (error !== ErrorId.none) return;
  const expected = expectedOf(RangeResponseSchema, () => world.model.range(request));
  world.expectAnswer(
    "range",
    world.fixtures.map((fixture) => fixture.read(ReadKind.range, bytes)),
    expected,
  );
}

function stepDeleteRange(world: World, prng: Prng): void {
  const request = randomDeleteRange(prng);
  const bytes = toBinary(DeleteRangeRequestSchema, request);
  const error = modelCheckDeleteRange(request);
  assert.equal(checkDeleteRange(bytes, 0, bytes.length), error);
  if (error !== ErrorId.none) return;
  const expected = expectedOf(DeleteRangeResponseSchema, () => world.model.deleteRange(request));
  world.expectAnswer(
    "delete",
    world.fixtures.map((fixture) => fixture.apply(RaftField.deleteRange, bytes)),
    expected,
  );
}

function stepTxn(world: World, prng: Prng, around: Surroundings): void {
  const request = randomTxn(prng, around);
  const bytes = toBinary(TxnRequestSchema, request);
  const error = modelCheckTxn(request, OPS_MAX);
  assert.equal(checkTxn(bytes, 0, bytes.length, OPS_MAX), error);
  if (error !== ErrorId.none) return;
  const expected = expectedOf(TxnResponseSchema, () => world.model.txn(request));
  const isRead = classifyTxn(bytes, 0, bytes.length) !== TxnRoute.write;
  const ids = world.fixtures.map((fixture) =>
    isRead ? fixture.read(ReadKind.txn, bytes) : fixture.apply(RaftField.txn, bytes),
  );
  world.expectAnswer("txn", ids, expected);
}

function stepCompact(world: World, prng: Prng): void {
  const revision = BigInt(prng.below(world.model.revision + 3)) - 1n;
  const bytes = toBinary(CompactionRequestSchema, create(CompactionRequestSchema, { revision }));
  const expected = expectedOf(CompactionResponseSchema, () => {
    world.model.compact(Number(revision));
    return create(CompactionResponseSchema, { header: header(BigInt(world.model.revision)) });
  });
  world.expectAnswer(
    "compact",
    world.fixtures.map((fixture) => fixture.apply(RaftField.compaction, bytes)),
    expected,
  );
}

function run(seed: number, steps: number, valueBytesMax: number): void {
  const prng = new Prng(seed);
  const source = new MemorySource();
  const real = createMvccStore({ source, sink: source, valueBytesMax: 1 << 20 });
  const world = new World([new NaiveStore(), real]);
  for (let i = 0; i < steps; i++) {
    const around: Surroundings = { revision: world.model.revision, leases: LEASES, valueBytesMax };
    const kind = prng.below(100);
    if (kind < 35) stepPut(world, prng, around);
    else if (kind < 65) stepRange(world, prng, around);
    else if (kind < 75) stepDeleteRange(world, prng);
    else if (kind < 98) stepTxn(world, prng, around);
    else stepCompact(world, prng);
    if (prng.chance(0.05)) real.committed(real.revision);
    for (const fixture of world.fixtures) assert.equal(fixture.store.revision, world.model.revision);
    const [naive, other] = world.leases.map((leases, i) => leases.byKey(world.fixtures[i].store));
    assert.deepEqual(other, naive);
  }
}

for (const [steps, valueBytesMax] of [
  [1500, 40],
  [200, 60_000],
] as const) {
  test(`random requests with values up to ${valueBytesMax} B answer as the model does (SEED=${SEED})`, () => {
    for (let round = 0; round < 3; round++) run(SEED + round, steps, valueBytesMax);
  });
}
