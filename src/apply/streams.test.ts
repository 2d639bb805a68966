/** Long answers: slices, credit, cancel, the cap, and what writes and compactions between slices do to them (nothing). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { MachineFixture } from "../../test/fuzz/machine-fixture.ts";
import { MemorySource } from "../../test/fuzz/memory-source.ts";
import { ErrorId } from "../base/errors.ts";
import { createMvccStore } from "../mvcc/mvcc.ts";
import {
  CompactionRequestSchema,
  DeleteRangeRequestSchema,
  DeleteRangeResponseSchema,
  PutRequestSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  type RangeResponse,
  TxnRequestSchema,
  TxnResponseSchema,
} from "../proto/gen/rpc_pb.ts";
import { RaftField } from "../proto/raft-request.ts";
import { ReadKind } from "../ring/record-types.ts";
import { SLICE_BYTES, STREAMS_ACTIVE_MAX, STREAMS_MAX } from "./apply-limits.ts";

const KEYS = 6000;
const VALUE_BYTES = 200;
const ALL = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const keyOf = (i: number): Uint8Array => new TextEncoder().encode(`key-${String(i).padStart(6, "0")}`);

function put(fixture: MachineFixture, key: Uint8Array, value: Uint8Array): void {
  const id = fixture.apply(
    RaftField.put,
    toBinary(PutRequestSchema, create(PutRequestSchema, { key, value })),
  );
  assert.equal(fixture.sink.take(id).errorId, ErrorId.none);
}

function filled(): MachineFixture {
  const source = new MemorySource();
  const fixture = new MachineFixture(createMvccStore({ source, sink: source, valueBytesMax: 1 << 24 }));
  for (let i = 0; i < KEYS; i++) put(fixture, keyOf(i), new Uint8Array(VALUE_BYTES).fill((i * 7) % 251));
  return fixture;
}

function read(fixture: MachineFixture, request: MessageInitShape<typeof RangeRequestSchema>): number {
  return fixture.read(ReadKind.range, toBinary(RangeRequestSchema, create(RangeRequestSchema, request)));
}

function finish(fixture: MachineFixture, id: number): RangeResponse {
  const answer = fixture.answer(id);
  assert.ok(answer.announced > 0, "the answer was streamed");
  assert.equal(answer.bytes.length, answer.announced);
  return fromBinary(RangeResponseSchema, answer.bytes);
}

test("a long range tells its length, sends nothing without credit, little beyond it, and goes on where it was", () => {
  const fixture = filled();
  const id = read(fixture, ALL);
  while (fixture.machine.runSlice());
  const sent = (): number => fixture.sink.answers.get(id)?.bytes.length ?? -1;
  assert.equal(sent(), 0);
  const credit = 3 * SLICE_BYTES;
  fixture.machine.credit(id, credit);
  while (fixture.machine.runSlice());
  assert.ok(sent() >= credit && sent() < credit + SLICE_BYTES, `sent ${sent()}`);
  assert.equal(fixture.machine.runSlice(), false);
  fixture.machine.credit(id, 1000);
  assert.equal(fixture.machine.runSlice(), true);
  const response = finish(fixture, id);
  assert.equal(response.count, BigInt(KEYS));
  assert.deepEqual(
    response.kvs.map((kv) => text(kv.key)),
    Array.from({ length: KEYS }, (_, i) => text(keyOf(i))),
  );
  assert.ok(fixture.sink.pieceBytesMax <= SLICE_BYTES);
  assert.equal(fixture.machine.streamsPending, 0);
});

test("writes and a compaction between slices do not change the answer, and the compaction waits without spinning", () => {
  const fixture = filled();
  const revision = fixture.store.revision;
  const ids = [read(fixture, ALL), read(fixture, { ...ALL, sortTarget: 1, sortOrder: 2 })];
  fixture.machine.runSlice();
  for (let i = 0; i < KEYS; i += 2) put(fixture, keyOf(i), Uint8Array.of(1));
  const deletion = create(DeleteRangeRequestSchema, { key: keyOf(1000), rangeEnd: keyOf(3000) });
  fixture.sink.take(fixture.apply(RaftField.deleteRange, toBinary(DeleteRangeRequestSchema, deletion)));
  const compaction = create(CompactionRequestSchema, {
    revision: BigInt(fixture.store.revision),
    physical: true,
  });
  const compactId = fixture.apply(RaftField.compaction, toBinary(CompactionRequestSchema, compaction));
  while (fixture.machine.runSlice());
  assert.equal(fixture.buckets.flushes.length, 0, "the compaction waits for the ranges");
  const responses = ids.map((id) => finish(fixture, id));
  for (const response of responses) {
    assert.equal(response.header?.revision, BigInt(revision));
    assert.equal(response.kvs.length, KEYS);
    assert.ok(
      response.kvs.every((kv) => kv.value.length === VALUE_BYTES && kv.modRevision <= BigInt(revision)),
    );
  }
  while (fixture.machine.runSlice());
  assert.deepEqual(fixture.buckets.flushes, [1]);
  assert.equal(fixture.sink.answers.has(compactId), false, "physical waits for storage");
  fixture.machine.storageCommitted(1);
  assert.equal(fixture.sink.take(compactId).errorId, ErrorId.none);
  assert.deepEqual(
    fixture.buckets.changes.map((line) => line.split(" ").slice(0, 3).join(" ")),
    ["put 9 scheduledCompactRev", "put 9 finishedCompactRev"],
  );
});

test("limits, filters, keys_only and sorts of streamed answers equal those answered at once", () => {
  const fixture = filled();
  const cases: Array<MessageInitShape<typeof RangeRequestSchema>> = [
    { limit: 4000n },
    { limit: 5999n, keysOnly: false },
    { minModRevision: 500n, limit: 4500n },
    { maxModRevision: 5000n },
    { sortOrder: 2 },
    { sortTarget: 3, sortOrder: 2, limit: 3500n },
    { sortTarget: 4 },
    { sortTarget: 4, sortOrder: 2, minCreateRevision: 900n },
    { sortTarget: 2, limit: 3000n },
  ];
  for (const options of cases) {
    const response = finish(fixture, read(fixture, { ...ALL, ...options }));
    let expected = Array.from({ length: KEYS }, (_, i) => ({
      key: text(keyOf(i)),
      revision: BigInt(i + 2),
      value: (i * 7) % 251,
    }));
    if (options.minModRevision) expected = expected.filter((kv) => kv.revision >= options.minModRevision!);
    if (options.minCreateRevision)
      expected = expected.filter((kv) => kv.revision >= options.minCreateRevision!);
    if (options.maxModRevision) expected = expected.filter((kv) => kv.revision <= options.maxModRevision!);
    const by = options.sortTarget === 4 ? "value" : "revision";
    if (options.sortOrder === 2)
      expected = expected.toSorted((a, b) =>
        a[by] < b[by] ? 1 : a[by] > b[by] ? -1 : a.key < b.key ? -1 : 1,
      );
    else if (options.sortTarget === 4)
      expected = expected.toSorted((a, b) => a.value - b.value || (a.key < b.key ? -1 : 1));
    const limit = Number(options.limit ?? 0n) || KEYS;
    assert.equal(response.more, expected.length > limit, JSON.stringify(Object.keys(options)));
    assert.equal(response.count, BigInt(KEYS));
    assert.deepEqual(
      response.kvs.map((kv) => text(kv.key)),
      expected.slice(0, limit).map((kv) => kv.key),
    );
  }
  const keys = fixture.answer(read(fixture, { ...ALL, keysOnly: true }));
  const response = fromBinary(RangeResponseSchema, keys.bytes);
  assert.equal(response.kvs.length, KEYS);
  assert.ok(response.kvs.every((kv) => kv.value.length === 0 && kv.version === 1n));
  assert.deepEqual(Buffer.from(toBinary(RangeResponseSchema, response)), Buffer.from(keys.bytes));
});

test("a delete of many keys streams what they were", () => {
  const fixture = filled();
  const request = create(DeleteRangeRequestSchema, { ...ALL, prevKv: true });
  const answer = fixture.answer(
    fixture.apply(RaftField.deleteRange, toBinary(DeleteRangeRequestSchema, request)),
  );
  assert.equal(answer.announced, answer.bytes.length);
  const response = fromBinary(DeleteRangeResponseSchema, answer.bytes);
  assert.equal(response.deleted, BigInt(KEYS));
  assert.equal(response.prevKvs.length, KEYS);
  assert.equal(response.header?.revision, BigInt(fixture.store.revision));
  assert.deepEqual(Buffer.from(toBinary(DeleteRangeResponseSchema, response)), Buffer.from(answer.bytes));
});

test("a long answer of a txn is streamed from memory", () => {
  const fixture = filled();
  const txn = create(TxnRequestSchema, {
    success: [
      { request: { case: "requestPut", value: { key: keyOf(0) } } },
      { request: { case: "requestRange", value: ALL } },
    ],
  });
  const answer = fixture.answer(fixture.apply(RaftField.txn, toBinary(TxnRequestSchema, txn)));
  assert.equal(answer.announced, answer.bytes.length);
  const response = fromBinary(TxnResponseSchema, answer.bytes);
  const range = response.responses[1]?.response.value as RangeResponse;
  assert.equal(range.kvs.length, KEYS);
  assert.equal(range.kvs[0]?.value.length, 0, "the range sees the put before it");
  assert.deepEqual(Buffer.from(toBinary(TxnResponseSchema, response)), Buffer.from(answer.bytes));
});

test("a value longer than the window arrives whole", () => {
  const fixture = filled();
  put(fixture, keyOf(10), new Uint8Array(2_000_000).fill(9));
  for (const request of [ALL, { key: keyOf(10) }]) {
    const response = finish(fixture, read(fixture, request));
    const kv = response.kvs.find((candidate) => text(candidate.key) === text(keyOf(10)));
    assert.equal(kv?.value.length, 2_000_000);
  }
});

test("only so many streams are worked at: while the ring is full the others wait, and cancel makes place", () => {
  const fixture = filled();
  fixture.sink.room = false;
  const ids = Array.from({ length: STREAMS_ACTIVE_MAX + 2 }, () => read(fixture, ALL));
  for (const id of ids) fixture.machine.credit(id, 1);
  while (fixture.machine.runSlice());
  const begun = (): number => ids.filter((id) => fixture.sink.answers.has(id)).length;
  assert.equal(begun(), STREAMS_ACTIVE_MAX);
  fixture.machine.cancel(ids[0]);
  fixture.machine.cancel(ids[STREAMS_ACTIVE_MAX]);
  while (fixture.machine.runSlice());
  assert.equal(begun(), STREAMS_ACTIVE_MAX + 1);
  assert.equal(fixture.machine.streamsPending, STREAMS_ACTIVE_MAX);
  fixture.machine.credit(ids[1], 1 << 20);
  assert.equal(fixture.machine.runSlice(), false);
  for (const id of ids) fixture.machine.cancel(id);
  assert.equal(fixture.machine.streamsPending, 0);
});

test("streams of clients that do not read hold up nobody; cancel ends them in every state", () => {
  const fixture = filled();
  const stuck = Array.from({ length: 2 * STREAMS_ACTIVE_MAX }, () => read(fixture, ALL));
  while (fixture.machine.runSlice());
  assert.equal(finish(fixture, read(fixture, ALL)).kvs.length, KEYS);
  const queued = read(fixture, ALL);
  fixture.machine.credit(stuck[0], 1);
  for (const id of [queued, ...stuck]) fixture.machine.cancel(id);
  assert.equal(fixture.machine.streamsPending, 0);
  assert.equal(fixture.machine.runSlice(), false);
});

test("beyond the most streams altogether a request is refused", () => {
  const fixture = filled();
  const ids = Array.from({ length: STREAMS_MAX }, () => read(fixture, ALL));
  const refused = read(fixture, ALL);
  assert.equal(fixture.sink.take(refused).errorId, ErrorId.requestTooManyRequests);
  for (const id of ids) fixture.machine.cancel(id);
  assert.equal(fixture.machine.streamsPending, 0);
});
