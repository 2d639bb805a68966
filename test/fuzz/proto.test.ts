/** The hand-tuned decoders against the generated ones on valid messages, and against hostile bytes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { checkDeleteRange, checkPut, checkRange } from "../../src/apply/validate-kv.ts";
import { checkTxn } from "../../src/apply/validate-txn.ts";
import { Prng } from "../../src/base/prng.ts";
import {
  CompactionView,
  CompareView,
  DeleteRangeView,
  PutView,
  RangeView,
} from "../../src/proto/kv-decode.ts";
import { OpKind, TxnArena } from "../../src/proto/kv-txn-decode.ts";
import { RequestHeaderSchema, InternalRaftRequestSchema } from "../../src/proto/gen/raft_internal_pb.ts";
import {
  type Compare,
  type DeleteRangeRequest,
  DeleteRangeRequestSchema,
  type PutRequest,
  PutRequestSchema,
  type RangeRequest,
  RangeRequestSchema,
  type RequestOp,
  type TxnRequest,
  TxnRequestSchema,
} from "../../src/proto/gen/rpc_pb.ts";
import {
  isV2Request,
  RaftField,
  raftRequestBytes,
  RaftRequestView,
  writeRaftRequest,
} from "../../src/proto/raft-request.ts";
import { randomDeleteRange, randomPut, randomRange, randomTxn } from "./random-requests.ts";
import { SEED } from "../support/seed.ts";

const AROUND = { revision: 50, leases: [-5n, 1n << 40n], valueBytesMax: 300 };

/** The message behind some bytes that are not its own, and those that follow. */
function embed(bytes: Uint8Array): { bytes: Uint8Array; start: number; end: number } {
  const around = new Uint8Array(bytes.length + 7).fill(0xff);
  around.set(bytes, 4);
  return { bytes: around, start: 4, end: 4 + bytes.length };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const lease = (low: number, high: number): bigint => BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low));

function comparePut(bytes: Uint8Array, view: PutView, expected: PutRequest): void {
  assert.equal(hex(bytes.subarray(view.keyStart, view.keyEnd)), hex(expected.key));
  assert.equal(hex(bytes.subarray(view.valueStart, view.valueEnd)), hex(expected.value));
  assert.equal(lease(view.leaseLow, view.leaseHigh), expected.lease);
  const flags = [view.prevKv, view.ignoreValue, view.ignoreLease];
  assert.deepEqual(flags, [expected.prevKv, expected.ignoreValue, expected.ignoreLease]);
}

function compareRange(bytes: Uint8Array, view: RangeView, expected: RangeRequest): void {
  assert.equal(hex(bytes.subarray(view.keyStart, view.keyEnd)), hex(expected.key));
  assert.equal(hex(bytes.subarray(view.rangeEndStart, view.rangeEndEnd)), hex(expected.rangeEnd));
  assert.equal(view.hasRangeEnd, expected.rangeEnd.length > 0);
  for (const name of [
    "limit",
    "revision",
    "minModRevision",
    "maxModRevision",
    "minCreateRevision",
    "maxCreateRevision",
  ] as const) {
    assert.equal(view[name], Number(expected[name]), name);
  }
  for (const name of ["sortOrder", "sortTarget", "serializable", "keysOnly", "countOnly"] as const) {
    assert.equal(view[name], expected[name], name);
  }
}

function compareDelete(bytes: Uint8Array, view: DeleteRangeView, expected: DeleteRangeRequest): void {
  assert.equal(hex(bytes.subarray(view.keyStart, view.keyEnd)), hex(expected.key));
  assert.equal(hex(bytes.subarray(view.rangeEndStart, view.rangeEndEnd)), hex(expected.rangeEnd));
  assert.equal(view.prevKv, expected.prevKv);
}

function compareCompare(bytes: Uint8Array, view: CompareView, expected: Compare): void {
  assert.equal(hex(bytes.subarray(view.keyStart, view.keyEnd)), hex(expected.key));
  assert.equal(hex(bytes.subarray(view.rangeEndStart, view.rangeEndEnd)), hex(expected.rangeEnd));
  assert.deepEqual([view.result, view.target], [expected.result, expected.target]);
  const { targetUnion } = expected;
  const fields = { version: 4, createRevision: 5, modRevision: 6, value: 7, lease: 8 };
  assert.equal(view.unionField, targetUnion.case === undefined ? 0 : fields[targetUnion.case]);
  if (targetUnion.case === "value")
    assert.equal(hex(bytes.subarray(view.valueStart, view.valueEnd)), hex(targetUnion.value));
  else if (targetUnion.case === "lease")
    assert.equal(lease(view.leaseLow, view.leaseHigh), targetUnion.value);
  else if (targetUnion.case !== undefined) assert.equal(view.number, Number(targetUnion.value));
}

const put = new PutView();
const range = new RangeView();
const del = new DeleteRangeView();
const compare = new CompareView();

function compareTxn(arena: TxnArena, txn: number, expected: TxnRequest): void {
  assert.equal(arena.compareCount(txn), expected.compare.length);
  expected.compare.forEach((message, i) => {
    const at = arena.compareFirst(txn) + i;
    assert.ok(compare.decode(arena.bytes, arena.compareStart(at), arena.compareEnd(at)));
    compareCompare(arena.bytes, compare, message);
  });
  assert.equal(arena.successCount(txn), expected.success.length);
  assert.equal(arena.failureCount(txn), expected.failure.length);
  expected.success.forEach((op, i) => compareOp(arena, arena.successFirst(txn) + i, op));
  expected.failure.forEach((op, i) => compareOp(arena, arena.failureFirst(txn) + i, op));
}

function compareOp(arena: TxnArena, op: number, { request }: RequestOp): void {
  const kinds = { requestRange: 1, requestPut: 2, requestDeleteRange: 3, requestTxn: 4 };
  assert.equal(arena.opKind(op), request.case === undefined ? OpKind.none : kinds[request.case]);
  const [start, end] = [arena.opStart(op), arena.opEnd(op)];
  if (request.case === "requestPut") {
    assert.ok(put.decode(arena.bytes, start, end));
    comparePut(arena.bytes, put, request.value);
  } else if (request.case === "requestRange") {
    assert.ok(range.decode(arena.bytes, start, end));
    compareRange(arena.bytes, range, request.value);
  } else if (request.case === "requestDeleteRange") {
    assert.ok(del.decode(arena.bytes, start, end));
    compareDelete(arena.bytes, del, request.value);
  } else if (request.case === "requestTxn") compareTxn(arena, arena.opTxn(op), request.value);
}

test(`valid messages decode as the generated code decodes them (SEED=${SEED})`, () => {
  const prng = new Prng(SEED);
  const arena = new TxnArena();
  for (let i = 0; i < 1500; i++) {
    const aPut = randomPut(prng, AROUND);
    const inPut = embed(toBinary(PutRequestSchema, aPut));
    assert.ok(put.decode(inPut.bytes, inPut.start, inPut.end));
    comparePut(inPut.bytes, put, aPut);
    const aRange = randomRange(prng, AROUND);
    const inRange = embed(toBinary(RangeRequestSchema, aRange));
    assert.ok(range.decode(inRange.bytes, inRange.start, inRange.end));
    compareRange(inRange.bytes, range, aRange);
    const aDelete = randomDeleteRange(prng);
    const inDelete = embed(toBinary(DeleteRangeRequestSchema, aDelete));
    assert.ok(del.decode(inDelete.bytes, inDelete.start, inDelete.end));
    compareDelete(inDelete.bytes, del, aDelete);
    const aTxn = randomTxn(prng, AROUND);
    const inTxn = embed(toBinary(TxnRequestSchema, aTxn));
    assert.ok(arena.decode(inTxn.bytes, inTxn.start, inTxn.end));
    compareTxn(arena, 0, aTxn);
  }
});

test(`the envelope of a proposal is Go's, and is read back (SEED=${SEED})`, () => {
  const prng = new Prng(SEED);
  const view = new RaftRequestView();
  for (let i = 0; i < 1000; i++) {
    const value = randomPut(prng, AROUND);
    const payload = toBinary(PutRequestSchema, value);
    const [low, high] = [prng.nextUint32(), prng.nextUint32()];
    const id = (BigInt(high) << 32n) | BigInt(low);
    const expected = toBinary(
      InternalRaftRequestSchema,
      create(InternalRaftRequestSchema, { header: create(RequestHeaderSchema, { ID: id }), put: value }),
    );
    const written = new Uint8Array(raftRequestBytes(RaftField.put, payload.length, low, high));
    assert.equal(
      writeRaftRequest(written, 0, RaftField.put, payload, 0, payload.length, low, high),
      written.length,
    );
    assert.equal(hex(written), hex(expected));
    const around = embed(written);
    assert.ok(view.decode(around.bytes, around.start, around.end));
    assert.deepEqual([view.field, view.idLow, view.idHigh], [RaftField.put, low, high]);
    assert.equal(hex(around.bytes.subarray(view.payloadStart, view.payloadEnd)), hex(payload));
  }
});

test("a v2 Request is told from an InternalRaftRequest", () => {
  const text = (value: string): number[] => [value.length, ...new TextEncoder().encode(value)];
  const v2 = Uint8Array.from([
    0x08,
    5,
    0x12,
    ...text("PUT"),
    0x1a,
    ...text("/0/members/1/attributes"),
    0x22,
    ...text("{}"),
    0x28,
    0,
  ]);
  assert.ok(isV2Request(v2, 0, v2.length));
  assert.equal(new RaftRequestView().decode(v2, 0, v2.length), false);
  const put2 = toBinary(
    InternalRaftRequestSchema,
    create(InternalRaftRequestSchema, { put: { key: Uint8Array.of(1) } }),
  );
  assert.equal(isV2Request(put2, 0, put2.length), false);
});

/** Flips, cuts, repeats and inserts. */
function spoil(prng: Prng, bytes: Uint8Array): Uint8Array {
  let spoiled: number[] = [...bytes];
  for (let n = 1 + prng.below(3); n > 0; n--) {
    const at = prng.below(spoiled.length + 1);
    const kind = prng.below(4);
    if (kind === 0) spoiled[at] = prng.pick([0, 0x7f, 0x80, 0xff, prng.below(256)]);
    else if (kind === 1) spoiled = spoiled.slice(0, at);
    else if (kind === 2) spoiled.splice(at, 0, ...spoiled.slice(0, prng.below(20)));
    else spoiled.splice(at, 0, 0xff, 0xff, 0xff, 0xff, prng.below(256));
  }
  return Uint8Array.from(spoiled, (byte) => byte ?? 0);
}

function decodes(schema: Parameters<typeof fromBinary>[0], bytes: Uint8Array): boolean {
  try {
    fromBinary(schema, bytes);
    return true;
  } catch {
    return false;
  }
}

test(`hostile bytes never throw, never leave their slice, and what is accepted is a message (SEED=${SEED})`, () => {
  const prng = new Prng(SEED);
  const arena = new TxnArena();
  const raft = new RaftRequestView();
  const compaction = new CompactionView();
  const inside = (from: number, to: number, start: number, end: number): void => {
    assert.ok(from >= start && from <= to && to <= end, `${from}..${to} of ${start}..${end}`);
  };
  for (let i = 0; i < 4000; i++) {
    const valid = prng.chance(0.5)
      ? toBinary(TxnRequestSchema, randomTxn(prng, AROUND))
      : toBinary(PutRequestSchema, randomPut(prng, AROUND));
    const { bytes, start, end } = embed(
      prng.chance(0.1)
        ? Uint8Array.from({ length: prng.below(60) }, () => prng.below(256))
        : spoil(prng, valid),
    );
    const own = bytes.slice(start, end);
    if (put.decode(bytes, start, end)) {
      assert.ok(decodes(PutRequestSchema, own), `put ${hex(own)}`);
      inside(put.keyStart, put.keyEnd, start, end);
      inside(put.valueStart, put.valueEnd, start, end);
    }
    if (range.decode(bytes, start, end)) inside(range.keyStart, range.keyEnd, start, end);
    if (del.decode(bytes, start, end)) inside(del.rangeEndStart, del.rangeEndEnd, start, end);
    if (compare.decode(bytes, start, end)) inside(compare.keyStart, compare.keyEnd, start, end);
    if (raft.decode(bytes, start, end)) inside(raft.payloadStart, raft.payloadEnd, start, end);
    compaction.decode(bytes, start, end);
    isV2Request(bytes, start, end);
    if (arena.decode(bytes, start, end)) {
      for (let op = arena.successFirst(0); op < arena.successFirst(0) + arena.successCount(0); op++) {
        inside(arena.opStart(op), arena.opEnd(op), arena.opKind(op) === 0 ? 0 : start, end);
      }
    }
    checkPut(bytes, start, end);
    checkRange(bytes, start, end);
    checkDeleteRange(bytes, start, end);
    if (checkTxn(bytes, start, end, 128) === 0) assert.ok(decodes(TxnRequestSchema, own), `txn ${hex(own)}`);
  }
});
