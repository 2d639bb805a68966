/** The loop's rounds over its rings: what one round may take on, and what it asks of storage. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { CLUSTER_ID, MachineFixture, MEMBER_ID, TERM } from "../../test/fuzz/machine-fixture.ts";
import { MemorySource } from "../../test/fuzz/memory-source.ts";
import { Membership } from "../cluster/membership.ts";
import { createMvccStore, type Mvcc } from "../mvcc/mvcc.ts";
import { PutRequestSchema, RangeRequestSchema, TxnRequestSchema } from "../proto/gen/rpc_pb.ts";
import { RaftField, raftRequestBytes, writeRaftRequest } from "../proto/raft-request.ts";
import { responseHeader } from "../proto/response-header.ts";
import { MemoryRing } from "../ring/memory-ring.ts";
import { ReadKind, RecordType } from "../ring/record-types.ts";
import { ApplyLoop, type AppliedSink } from "./apply-loop.ts";
import { LONG_ANSWER_SLICES, SLICE_BYTES, SLICE_REST_MS, SLICES_ALONE } from "./apply-limits.ts";
import { HashKvJobs } from "./hash-kv-jobs.ts";
import { MembershipFeed } from "./membership-feed.ts";

const RING_BYTES = 1024 * 1024;
const ENTRY_HEAD_BYTES = 16;
const KEYS = 8;
const VALUE_BYTES = 10_000;
/** What all keys take once. */
const ROUND_BYTES = KEYS * VALUE_BYTES;

/** Notes what the loop tells storage, in order. */
class NotedStorage implements AppliedSink {
  readonly told: string[] = [];
  applied(index: number): void {
    this.told.push(`applied ${index}`);
  }
  flush(token: number): void {
    this.told.push(`flush ${token}`);
  }
  publish(): void {}
}

class Setup {
  readonly fromRaft = new MemoryRing(RING_BYTES);
  readonly fromMain = new MemoryRing(RING_BYTES);
  readonly fromStorage = new MemoryRing(RING_BYTES);
  readonly storage = new NotedStorage();
  readonly loop: ApplyLoop;
  readonly store: Mvcc;
  #index = 0;

  constructor(uncommittedBytesMax: number) {
    const source = new MemorySource();
    const store = (this.store = createMvccStore({
      source,
      sink: source,
      valueBytesMax: 1 << 24,
      valueChunkBytes: 1 << 14,
      uncommittedBytesMax,
    }));
    const { machine, sink } = new MachineFixture(store);
    const toRaft = new MemoryRing(RING_BYTES);
    const toMain = new MemoryRing(RING_BYTES);
    const identity = { clusterId: CLUSTER_ID, memberId: MEMBER_ID };
    const hashes = new HashKvJobs(
      {
        store,
        responses: sink,
        openScan: () => assert.fail("nobody asks for a hash"),
        header: () => responseHeader(identity, store.revision, TERM),
        requestCommit: () => this.storage.flush(0),
      },
      store.revision,
    );
    this.loop = new ApplyLoop({
      machine,
      hashes,
      store,
      membership: new Membership(),
      identity,
      fromRaft: this.fromRaft,
      fromMain: this.fromMain,
      fromStorage: this.fromStorage,
      toRaft,
      toMain,
      feed: new MembershipFeed(toRaft, toMain),
      storage: this.storage,
      direct: null,
      onCommitted: () => {},
    });
  }

  entry(field: number, payload: Uint8Array): void {
    const record = new Uint8Array(ENTRY_HEAD_BYTES + raftRequestBytes(field, payload.length, 1, 0));
    new DataView(record.buffer).setFloat64(0, TERM, true);
    writeRaftRequest(record, ENTRY_HEAD_BYTES, field, payload, 0, payload.length, 1, 0);
    assert.ok(this.fromRaft.write(RecordType.entry, 0, ++this.#index, record, 0, record.length));
    this.fromRaft.publish();
  }

  /** Storage has committed everything up to the current revision. */
  committed(): void {
    const record = new Uint8Array(32);
    new DataView(record.buffer).setFloat64(0, this.store.revision, true);
    assert.ok(this.fromStorage.write(RecordType.committed, 0, this.#index, record, 0, record.length));
    this.fromStorage.publish();
  }
}

const keyOf = (i: number): Uint8Array => Uint8Array.of(0x6b, i);

test("entries that write far more than their size wait for storage, one by one", () => {
  const setup = new Setup(2 * ROUND_BYTES);
  const { store } = setup;
  for (let i = 0; i < KEYS; i++) {
    const put = create(PutRequestSchema, { key: keyOf(i), value: new Uint8Array(VALUE_BYTES) });
    setup.entry(RaftField.put, toBinary(PutRequestSchema, put));
  }
  setup.loop.turn();
  setup.committed();
  const again = Array.from({ length: KEYS }, (_, i) => ({
    request: { case: "requestPut" as const, value: { key: keyOf(i), ignoreValue: true } },
  }));
  const txn = toBinary(TxnRequestSchema, create(TxnRequestSchema, { success: again }));
  const txns = 20;
  for (let i = 0; i < txns; i++) setup.entry(RaftField.txn, txn);
  const last = store.revision + txns;
  for (let round = 0; store.revision < last; round++) {
    assert.ok(round < txns, "each round goes on");
    const before = store.revision;
    setup.storage.told.length = 0;
    setup.loop.turn();
    assert.ok(store.uncommittedBytes <= 4 * ROUND_BYTES, `${store.uncommittedBytes} bytes wait for storage`);
    assert.ok(store.revision > before);
    if (!store.needsCommit) continue;
    assert.deepEqual(setup.storage.told, ["flush 0", `applied ${setup.loop.appliedIndex}`]);
    setup.loop.turn();
    assert.equal(setup.storage.told.length, 2, "it is asked once");
    assert.equal(setup.loop.inboxesEmpty(), true, "and the thread may sleep until storage has committed");
    setup.committed();
  }
});

test("a long answer leaves the core to others between slices while raft brings something", () => {
  const slices = LONG_ANSWER_SLICES + 2 * SLICES_ALONE;
  const setup = new Setup(2 * slices * SLICE_BYTES);
  const put = (name: string, valueBytes: number): void => {
    const key = new TextEncoder().encode(name);
    const message = create(PutRequestSchema, { key, value: new Uint8Array(valueBytes) });
    setup.entry(RaftField.put, toBinary(PutRequestSchema, message));
  };
  for (let i = 0; i < slices; i++) {
    put(`a${i}`, SLICE_BYTES);
    setup.loop.turn();
  }
  const range = toBinary(RangeRequestSchema, create(RangeRequestSchema, { key: A, rangeEnd: B }));
  const read = Uint8Array.of(ReadKind.range, ...range);
  /** How often in a row the loop wanted to go on at once, and to rest. */
  const answer = (id: number, between: () => void): number[] => {
    const runs = [0];
    assert.ok(setup.fromRaft.write(RecordType.read, 0, id, read, 0, read.length));
    const credit = new Uint8Array(4);
    new DataView(credit.buffer).setUint32(0, 2 * slices * SLICE_BYTES, true);
    setup.fromRaft.publish();
    setup.loop.turn(); // walks
    assert.ok(setup.fromMain.write(RecordType.credit, 0, id, credit, 0, credit.length));
    setup.fromMain.publish();
    for (let before = setup.loop.slices; ; before = setup.loop.slices) {
      setup.loop.turn();
      if (setup.loop.slices === before) return runs;
      const rests = setup.loop.restMs === SLICE_REST_MS;
      if (rests === (runs.length % 2 === 0)) runs[runs.length - 1]++;
      else runs.push(1);
      between();
    }
  };
  const long = slices + 1 - LONG_ANSWER_SLICES;
  const alone = answer(1, () => {});
  assert.deepEqual(alone, [LONG_ANSWER_SLICES - 1, SLICES_ALONE, long - SLICES_ALONE]);
  const beside = answer(2, () => put("c", 1));
  assert.deepEqual(beside, [LONG_ANSWER_SLICES - 1, long]);
});

const A = new TextEncoder().encode("a");
const B = new TextEncoder().encode("b");
