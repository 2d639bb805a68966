import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  CLUSTER_ID,
  MachineFixture,
  MEMBER_ID,
  NO_REQUESTS,
  TestLeases,
} from "../../test/fuzz/machine-fixture.ts";
import { MemorySource } from "../../test/fuzz/memory-source.ts";
import { ErrorId } from "../base/errors.ts";
import { createMvccStore, type Mvcc } from "../mvcc/mvcc.ts";
import {
  DeleteRangeRequestSchema,
  PutRequestSchema,
  PutResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
} from "../proto/gen/rpc_pb.ts";
import { RaftField, raftRequestBytes, writeRaftRequest } from "../proto/raft-request.ts";
import { ReadKind } from "../ring/record-types.ts";
import { BUCKETS } from "../mvcc/backend.ts";
import { META_BUCKET } from "./apply-compaction.ts";
import type { EntryPosition, RequestHook } from "./apply-interfaces.ts";
import { ApplyMachine } from "./apply-machine.ts";
import { ProposerIds } from "./proposer-ids.ts";
import { MemoryBucketSink, MemoryResponseSink } from "./memory-sinks.ts";

const PREFIX = Number(MEMBER_ID & 0xffffn);
const key = (text: string): Uint8Array => new TextEncoder().encode(text);

function newStore(): Mvcc {
  const source = new MemorySource();
  return createMvccStore({ source, sink: source, valueBytesMax: 1 << 20 });
}

function entryOf(field: number, payload: Uint8Array, id: number, prefix = PREFIX): Uint8Array {
  const entry = new Uint8Array(raftRequestBytes(field, payload.length, id, prefix * 0x10000));
  writeRaftRequest(entry, 0, field, payload, 0, payload.length, id, prefix * 0x10000);
  return entry;
}

const PUT = toBinary(PutRequestSchema, create(PutRequestSchema, { key: key("k"), value: key("v") }));

function machineOf(options: {
  consistentIndex?: number;
  bootId?: number;
  bootIndex?: number;
  bootTerm?: number;
  requests?: RequestHook;
}) {
  const responses = new MemoryResponseSink();
  const store = newStore();
  const machine = new ApplyMachine({
    store,
    responses,
    clusterId: CLUSTER_ID,
    memberId: MEMBER_ID,
    buckets: new MemoryBucketSink(),
    requests: options.requests ?? NO_REQUESTS,
    consistentIndex: options.consistentIndex ?? 0,
    consistentTerm: 1,
    ids: new ProposerIds({
      memberId: MEMBER_ID,
      bootId: options.bootId ?? 0,
      bootIndex: options.bootIndex ?? 0,
      bootTerm: options.bootTerm ?? 0,
    }),
  });
  const apply = (index: number, term: number, type: number, entry: Uint8Array): void =>
    machine.applyEntry(index, term, type, entry, 0, entry.length);
  return { machine, store, responses, apply };
}

test("entries that storage holds are skipped, but given to the hook", () => {
  const seen: Array<[string, EntryPosition]> = [];
  const note = (what: string, at: EntryPosition): boolean => seen.push([what, { ...at }]) > 0;
  const requests: RequestHook = {
    applyRequest: (field, _bytes, _start, _end, _id, at) => note(`request ${field}`, at),
    applyV2Request: (_bytes, _start, _end, at) => void note("v2", at),
    applyConfChange: (type, _bytes, _start, _end, at) => void note(`conf ${type}`, at),
    applyEmptyEntry: (at) => void note("empty", at),
  };
  const { machine, store, responses, apply } = machineOf({ consistentIndex: 3, requests });
  apply(1, 1, 1, Uint8Array.of(1));
  apply(2, 1, 0, entryOf(RaftField.put, PUT, 1));
  apply(3, 1, 0, entryOf(RaftField.clusterVersionSet, key("x"), 2));
  assert.equal(store.revision, 1);
  apply(4, 2, 0, new Uint8Array(0));
  apply(5, 2, 0, entryOf(RaftField.put, PUT, 3));
  apply(6, 2, 0, entryOf(RaftField.clusterMemberAttrSet, key("x"), 4));
  assert.equal(store.revision, 2);
  assert.deepEqual([...responses.answers.keys()], [3]);
  assert.equal(machine.appliedIndex, 6);
  assert.deepEqual(seen, [
    ["conf 1", { index: 1, term: 1, replayed: true }],
    ["request 1300", { index: 3, term: 1, replayed: true }],
    ["empty", { index: 4, term: 2, replayed: false }],
    ["request 1301", { index: 6, term: 2, replayed: false }],
  ]);
  assert.equal(fromBinary(PutResponseSchema, responses.take(3).bytes).header?.raftTerm, 2n);
});

test("only what this life of this member proposed is answered, and all is applied", () => {
  const { store, responses, apply } = machineOf({ bootId: 100 });
  apply(1, 1, 0, entryOf(RaftField.put, PUT, 99));
  apply(2, 1, 0, entryOf(RaftField.put, PUT, 100, PREFIX ^ 1));
  apply(3, 1, 0, entryOf(RaftField.put, PUT, 100));
  assert.equal(store.revision, 4);
  assert.deepEqual([...responses.answers.keys()], [100]);
});

test("an entry that cannot be decoded, or holds what nobody knows, is a broken invariant", () => {
  const { apply } = machineOf({});
  assert.throws(() => apply(1, 1, 0, Uint8Array.of(0x22, 9, 1)), /can be decoded/);
  assert.throws(() => apply(2, 1, 0, entryOf(RaftField.put, Uint8Array.of(0x0a, 9), 1)), /can be decoded/);
  assert.throws(
    () => apply(3, 1, 0, entryOf(RaftField.leaseGrant, PUT, 1)),
    /known request: index, field: 3, 8/,
  );
});

test("an empty range_end that is on the wire opens a read, and means one key in the log", () => {
  const fixture = new MachineFixture(newStore());
  for (const name of ["a", "b", "c"]) {
    const put = toBinary(PutRequestSchema, create(PutRequestSchema, { key: key(name) }));
    fixture.answer(fixture.apply(RaftField.put, put));
  }
  const withEmptyEnd = (bytes: Uint8Array): Uint8Array => Uint8Array.from([...bytes, 0x12, 0]);
  const range = withEmptyEnd(toBinary(RangeRequestSchema, create(RangeRequestSchema, { key: key("b") })));
  const read = fixture.answer(fixture.read(ReadKind.range, range));
  assert.equal(fromBinary(RangeResponseSchema, read.bytes).count, 2n);
  const del = withEmptyEnd(
    toBinary(DeleteRangeRequestSchema, create(DeleteRangeRequestSchema, { key: key("b") })),
  );
  fixture.answer(fixture.apply(RaftField.deleteRange, del));
  assert.ok(fixture.store.count({ key: key("a"), end: Uint8Array.of(0) }, 0) === 2, "c is still there");
});

test("an unknown read is answered with an error", () => {
  const fixture = new MachineFixture(newStore());
  assert.equal(fixture.answer(fixture.read(200, new Uint8Array(0))).errorId, ErrorId.notCapable);
});

test("leases follow the keys: put attaches and moves, a put without one and deletes detach", () => {
  const leases = new TestLeases([7n, 8n]);
  const fixture = new MachineFixture(newStore(), leases);
  const put = (name: string, lease: bigint, ignoreLease = false): void => {
    const bytes = toBinary(
      PutRequestSchema,
      create(PutRequestSchema, { key: key(name), lease, ignoreLease }),
    );
    assert.equal(fixture.answer(fixture.apply(RaftField.put, bytes)).errorId, ErrorId.none);
  };
  for (const name of ["a", "b", "c", "d"]) put(name, 7n);
  put("a", 8n);
  put("b", 0n);
  put("c", 0n, true);
  assert.deepEqual(leases.byKey(fixture.store), [
    ["a", "8"],
    ["c", "7"],
    ["d", "7"],
  ]);
  const del = toBinary(
    DeleteRangeRequestSchema,
    create(DeleteRangeRequestSchema, { key: key("a"), rangeEnd: key("d") }),
  );
  fixture.answer(fixture.apply(RaftField.deleteRange, del));
  assert.deepEqual(leases.byKey(fixture.store), [["d", "7"]]);
});

test("the number of bucket meta is storage's", () => {
  assert.equal(BUCKETS[META_BUCKET], "meta");
});

test("entries that the log held at the start are applied and not answered, whatever their ids", () => {
  const { store, responses, apply } = machineOf({ bootIndex: 2, bootTerm: 1 });
  for (const index of [1, 2, 3]) apply(index, 1, 0, entryOf(RaftField.put, PUT, 10 + index));
  assert.equal(store.revision, 4);
  assert.deepEqual([...responses.answers.keys()], [13]);
});

test("what replaced the log's uncommitted end is answered, and what is older than that end is not", () => {
  const { responses, apply } = machineOf({ bootIndex: 3, bootTerm: 4 });
  apply(1, 2, 0, entryOf(RaftField.put, PUT, 11));
  apply(2, 3, 0, entryOf(RaftField.put, PUT, 12));
  apply(3, 5, 0, entryOf(RaftField.put, PUT, 13));
  assert.deepEqual([...responses.answers.keys()], [13]);
});
