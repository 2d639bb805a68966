/** Leases as the apply machine has them: what entries and reads answer, what is stored, and what the primary hands to main. */
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { MemorySource } from "../../test/fuzz/memory-source.ts";
import { CLUSTER_ID, MEMBER_ID, NO_REQUESTS } from "../../test/fuzz/machine-fixture.ts";
import { ErrorId } from "../base/errors.ts";
import { REVOKES_PER_ROUND_MAX } from "../lease/lease-limits.ts";
import { Lessor } from "../lease/lessor.ts";
import { BUCKETS } from "../mvcc/backend.ts";
import { createMvccStore } from "../mvcc/mvcc.ts";
import { LeaseSchema } from "../proto/gen/lease_pb.ts";
import {
  DeleteRangeRequestSchema,
  LeaseCheckpointRequestSchema,
  LeaseGrantRequestSchema,
  LeaseGrantResponseSchema,
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
  LeaseLeasesResponseSchema,
  LeaseRevokeRequestSchema,
  LeaseRevokeResponseSchema,
  LeaseTimeToLiveRequestSchema,
  LeaseTimeToLiveResponseSchema,
  PutRequestSchema,
  TxnRequestSchema,
} from "../proto/gen/rpc_pb.ts";
import { RaftField, raftRequestBytes, writeRaftRequest } from "../proto/raft-request.ts";
import { MemoryRing } from "../ring/memory-ring.ts";
import { ReadKind, RecordType } from "../ring/record-types.ts";
import { LEASE_BUCKET } from "./apply-lease.ts";
import { ApplyMachine } from "./apply-machine.ts";
import { LeaseDuties } from "./lease-duties.ts";
import { type MemoryAnswer, MemoryResponseSink } from "./memory-sinks.ts";
import { ProposerIds } from "./proposer-ids.ts";

const TERM = 3;
const PREFIX = Number(MEMBER_ID & 0xffffn) * 0x1_0000;
const utf8 = new TextEncoder();
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** A member's apply side over virtual time. */
class World {
  nowMs = 0;
  persists = true;
  readonly lessor: Lessor;
  readonly source = new MemorySource();
  readonly store = createMvccStore({ source: this.source, sink: this.source, valueBytesMax: 1 << 20 });
  readonly sink = new MemoryResponseSink();
  readonly toMain = new MemoryRing(1 << 20);
  /** Bucket `lease`, by hex of its key. */
  readonly bucket = new Map<string, Uint8Array>();
  readonly machine: ApplyMachine;
  readonly duties: LeaseDuties;
  #index = 0;
  #requestId = 1000;

  constructor(checkpointIntervalMs = 0) {
    this.lessor = new Lessor({ minTtlSeconds: 2, retryMs: 7000, checkpointIntervalMs, hashSeed: 1 });
    this.machine = new ApplyMachine({
      store: this.store,
      clusterId: CLUSTER_ID,
      memberId: MEMBER_ID,
      responses: this.sink,
      buckets: {
        bucketPut: (bucket, key, value) => {
          equal(bucket, LEASE_BUCKET);
          this.bucket.set(Buffer.from(key).toString("hex"), value.slice());
        },
        bucketDelete: (bucket, key) => {
          equal(bucket, LEASE_BUCKET);
          this.bucket.delete(Buffer.from(key).toString("hex"));
        },
        flush: () => {},
      },
      leases: { lessor: this.lessor, nowMs: () => this.nowMs, persistsCheckpoints: () => this.persists },
      requests: NO_REQUESTS,
      consistentIndex: 0,
      consistentTerm: TERM,
      ids: new ProposerIds({ memberId: MEMBER_ID, bootId: 1000, bootIndex: 0, bootTerm: 0 }),
    });
    const { leases } = this.machine;
    this.duties = new LeaseDuties({ leases: leases!, toMain: this.toMain, electionTimeoutMs: 1000 });
  }

  lead(): void {
    this.duties.noteLeader(TERM, true);
    this.duties.noteEmptyEntry(TERM);
  }

  apply<D extends DescMessage>(field: number, schema: D, message: MessageInitShape<D>): number {
    const payload = toBinary(schema, create(schema, message));
    const id = ++this.#requestId;
    const entry = new Uint8Array(raftRequestBytes(field, payload.length, id, PREFIX));
    writeRaftRequest(entry, 0, field, payload, 0, payload.length, id, PREFIX);
    this.machine.applyEntry(++this.#index, TERM, 0, entry, 0, entry.length);
    return id;
  }

  read<D extends DescMessage>(kind: number, schema: D, message: MessageInitShape<D>): number {
    const payload = toBinary(schema, create(schema, message));
    this.machine.read(++this.#requestId, kind, payload, 0, payload.length);
    return this.#requestId;
  }

  answer(id: number): MemoryAnswer {
    return this.sink.take(id);
  }

  grant(ID: bigint, ttl: number): MemoryAnswer {
    return this.answer(this.apply(RaftField.leaseGrant, LeaseGrantRequestSchema, { ID, TTL: BigInt(ttl) }));
  }

  revoke(ID: bigint): MemoryAnswer {
    return this.answer(this.apply(RaftField.leaseRevoke, LeaseRevokeRequestSchema, { ID }));
  }

  put(key: string, lease: bigint, ignoreLease = false): MemoryAnswer {
    const message = { key: utf8.encode(key), value: utf8.encode("v"), lease, ignoreLease };
    return this.answer(this.apply(RaftField.put, PutRequestSchema, message));
  }

  keepAlive(ID: bigint): number {
    return this.read(ReadKind.leaseKeepAlive, LeaseKeepAliveRequestSchema, { ID });
  }

  /** Keys of a lease, ascending. */
  keysOf(ID: bigint): string[] {
    const answer = this.answer(
      this.read(ReadKind.leaseTimeToLive, LeaseTimeToLiveRequestSchema, { ID, keys: true }),
    );
    return fromBinary(LeaseTimeToLiveResponseSchema, answer.bytes).keys.map(text).toSorted();
  }

  /** What lies in the ring to main: `expired` with ids, `checkpoint` with ids and seconds. */
  handedOut(): string[] {
    this.duties.turn(this.nowMs);
    this.toMain.publish();
    const lines: string[] = [];
    this.toMain.drain((type, _flags, _id, bytes, start, end) => {
      const payload = Buffer.from(bytes.slice(start, end));
      equal(payload.readDoubleLE(0), TERM);
      if (type === RecordType.leaseExpired) {
        const ids: bigint[] = [];
        for (let at = 8; at < payload.length; at += 8) ids.push(payload.readBigUInt64LE(at));
        lines.push(`expired ${ids.join(" ")}`);
      } else if (type === RecordType.leaseCheckpoint) {
        const { checkpoints } = fromBinary(LeaseCheckpointRequestSchema, payload.subarray(8));
        lines.push(`checkpoint ${checkpoints.map((each) => `${each.ID}=${each.remainingTTL}`).join(" ")}`);
      }
    }, 1000);
    return lines;
  }
}

test("the number of bucket lease is storage's", () => {
  equal(BUCKETS[LEASE_BUCKET], "lease");
});

test("a grant is stored and answered with the TTL that counts; bad ones are refused and change nothing", () => {
  const world = new World();
  const granted = fromBinary(LeaseGrantResponseSchema, world.grant(5n, 1).bytes);
  deepEqual([granted.ID, granted.TTL, granted.header?.revision], [5n, 2n, 1n]);
  const record = fromBinary(LeaseSchema, world.bucket.get("0000000000000005")!);
  deepEqual([record.ID, record.TTL, record.RemainingTTL], [5n, 2n, 0n]);
  equal(world.grant(5n, 9).errorId, ErrorId.leaseExist);
  equal(world.grant(0n, 9).errorId, ErrorId.leaseNotFound);
  equal(world.grant(6n, 9_000_000_001).errorId, ErrorId.leaseTtlTooLarge);
  equal(world.grant(6n, 9_000_000_000).errorId, ErrorId.none);
  equal(world.bucket.size, 2);
  equal(world.store.revision, 1);
});

test("a revocation deletes the keys in one revision, in their order, and the lease's record", () => {
  const world = new World();
  world.grant(5n, 10);
  world.lead();
  for (const key of ["b", "c", "a", "d"]) world.put(key, 5n);
  world.put("x", 0n);
  const before = world.store.revision;
  const answer = fromBinary(LeaseRevokeResponseSchema, world.revoke(5n).bytes);
  equal(answer.header?.revision, BigInt(before + 1));
  equal(world.store.revision, before + 1);
  const tombstones = [0, 1, 2, 3, 4].map((sub) => world.source.getRevision(before + 1, sub, true));
  deepEqual(
    tombstones.map((bytes) => bytes && text(bytes.subarray(2))),
    ["a", "b", "c", "d", undefined],
  );
  equal(world.bucket.size, 0);
  equal(world.store.liveKeys, 1);
  equal(world.revoke(5n).errorId, ErrorId.leaseNotFound);
});

test("a lease without keys goes without a revision", () => {
  const world = new World();
  world.grant(5n, 10);
  const answer = fromBinary(LeaseRevokeResponseSchema, world.revoke(5n).bytes);
  equal(answer.header?.revision, 1n);
});

test("keys follow their last put, in txns, too; deleted ones are on no lease", () => {
  const world = new World();
  world.grant(5n, 10);
  world.grant(6n, 10);
  world.lead();
  equal(world.put("a", 7n).errorId, ErrorId.leaseNotFound);
  for (const key of ["a", "b", "c", "d", "e"]) world.put(key, 5n);
  world.put("a", 6n);
  world.put("b", 0n);
  world.put("c", 0n, true);
  const del = { key: utf8.encode("d"), rangeEnd: new Uint8Array(0) };
  world.answer(world.apply(RaftField.deleteRange, DeleteRangeRequestSchema, del));
  const put = (key: string, lease: bigint) =>
    ({ request: { case: "requestPut", value: { key: utf8.encode(key), lease } } }) as const;
  world.answer(world.apply(RaftField.txn, TxnRequestSchema, { success: [put("e", 6n), put("f", 6n)] }));
  const failing = world.apply(RaftField.txn, TxnRequestSchema, { success: [put("g", 6n), put("h", 99n)] });
  equal(world.answer(failing).errorId, ErrorId.leaseNotFound);
  deepEqual(world.keysOf(5n), ["c"]);
  deepEqual(world.keysOf(6n), ["a", "e", "f"]);
  // Deleted and put again without a lease: the revocation must leave it alone.
  world.put("d", 0n);
  world.revoke(5n);
  world.revoke(6n);
  deepEqual(world.store.liveKeys, 2, "b and d");
});

test("a keep-alive is answered with the TTL by the primary only", () => {
  const world = new World();
  world.grant(5n, 10);
  equal(world.answer(world.keepAlive(5n)).errorId, ErrorId.notPrimaryLessor);
  world.lead();
  const answer = fromBinary(LeaseKeepAliveResponseSchema, world.answer(world.keepAlive(5n)).bytes);
  deepEqual([answer.ID, answer.TTL, answer.header], [5n, 10n, undefined]);
  equal(world.answer(world.keepAlive(6n)).errorId, ErrorId.leaseNotFound);
});

test("a keep-alive of an expired lease waits for the revocation, or for another primary", () => {
  const world = new World();
  world.lead();
  world.grant(5n, 10);
  world.grant(6n, 10);
  world.nowMs = 10_000;
  const [first, second, gone, other] = [5n, 5n, 5n, 6n].map((id) => world.keepAlive(id));
  equal(world.sink.answers.size, 0);
  world.machine.cancel(gone);
  world.revoke(5n);
  equal(world.answer(first).errorId, ErrorId.leaseNotFound);
  equal(world.answer(second).errorId, ErrorId.leaseNotFound);
  equal(world.sink.answers.size, 0);
  world.duties.noteLeader(TERM + 1, false);
  equal(world.answer(other).errorId, ErrorId.notPrimaryLessor);
  equal(world.sink.answers.size, 0);
});

test("the time to live is what is left, in whole seconds, and the keys only if asked for", () => {
  const world = new World();
  world.lead();
  world.grant(5n, 10);
  world.put("k", 5n);
  world.nowMs = 3001;
  const ask = (ID: bigint, keys: boolean): MemoryAnswer =>
    world.answer(world.read(ReadKind.leaseTimeToLive, LeaseTimeToLiveRequestSchema, { ID, keys }));
  const answer = fromBinary(LeaseTimeToLiveResponseSchema, ask(5n, false).bytes);
  deepEqual([answer.ID, answer.TTL, answer.grantedTTL, answer.keys.length], [5n, 6n, 10n, 0]);
  equal(ask(6n, true).errorId, ErrorId.leaseNotFound);
  world.nowMs = 11_500;
  equal(fromBinary(LeaseTimeToLiveResponseSchema, ask(5n, false).bytes).TTL, -1n);
});

test("the list names every lease, also on a member that does not lead", () => {
  const world = new World();
  for (const id of [5n, 0x7fff_ffff_ffff_ffffn, 6n]) world.grant(id, 10);
  const answer = world.answer(world.read(ReadKind.leaseList, LeaseTimeToLiveRequestSchema, {}));
  const list = fromBinary(LeaseLeasesResponseSchema, answer.bytes);
  deepEqual(new Set(list.leases.map((each) => each.ID)), new Set([5n, 6n, 0x7fff_ffff_ffff_ffffn]));
  equal(list.header?.revision, 1n);
});

test("a member is primary once it has applied the first entry of its term, whichever is heard of first", () => {
  for (const order of ["leader first", "entry first"]) {
    const world = new World();
    if (order === "leader first") world.duties.noteLeader(TERM, true);
    world.duties.noteEmptyEntry(TERM - 1);
    equal(world.lessor.isPrimary, false);
    world.duties.noteEmptyEntry(TERM);
    if (order === "entry first") world.duties.noteLeader(TERM, true);
    equal(world.lessor.isPrimary, true);
    world.duties.noteLeader(TERM, false);
    equal(world.lessor.isPrimary, false);
    world.duties.noteLeader(TERM + 1, true);
    equal(world.lessor.isPrimary, false, "the entry of the new term has not come");
  }
});

test("expired leases are handed out in rounds, and the thread knows when it has to wake up", () => {
  const world = new World();
  equal(world.duties.sleepMs(0), Infinity);
  const leases = REVOKES_PER_ROUND_MAX + 1;
  for (let id = 1; id <= leases; id++) world.grant(BigInt(id), 10);
  world.lead();
  equal(world.duties.sleepMs(500), 10_500);
  world.nowMs = 10_999;
  deepEqual(world.handedOut(), []);
  world.nowMs = 11_000;
  const [first] = world.handedOut();
  equal(first.split(" ").length, 1 + REVOKES_PER_ROUND_MAX);
  equal(world.duties.sleepMs(11_000), 500);
  world.nowMs = 11_499;
  deepEqual(world.handedOut(), []);
  world.nowMs = 11_500;
  equal(world.handedOut()[0].split(" ").length, 2);
  equal(world.duties.sleepMs(11_500), 6500, "what has not been revoked is handed out again");
  world.duties.noteLeader(TERM + 1, false);
  world.nowMs = 1e9;
  deepEqual(world.handedOut(), []);
});

test("checkpoints are handed out, stored when the cluster knows them, and taken back before a renewal", () => {
  const world = new World(300_000);
  world.lead();
  world.grant(5n, 3600);
  world.grant(6n, 100);
  world.nowMs = 300_000;
  deepEqual(world.handedOut(), ["checkpoint 5=3300", "expired 6"].toSorted().toReversed());
  const checkpoint = (remainingTTL: bigint): void => {
    const checkpoints = [
      { ID: 5n, remainingTTL },
      { ID: 404n, remainingTTL },
    ];
    world.answer(world.apply(RaftField.leaseCheckpoint, LeaseCheckpointRequestSchema, { checkpoints }));
  };
  world.persists = false;
  checkpoint(3300n);
  const stored = (): bigint => fromBinary(LeaseSchema, world.bucket.get("0000000000000005")!).RemainingTTL;
  equal(stored(), 0n);
  world.persists = true;
  checkpoint(3300n);
  equal(stored(), 3300n);
  equal(world.answer(world.keepAlive(5n)).errorId, ErrorId.leaseHasCheckpoint);
  checkpoint(0n);
  equal(stored(), 0n);
  equal(world.answer(world.keepAlive(5n)).errorId, ErrorId.none);
});
