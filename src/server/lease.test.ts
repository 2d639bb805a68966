/** The Lease service between rings that the test serves itself: what goes into them, and what clients are answered. */
import { deepEqual, equal, match } from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { RecordingCall, ServiceFixture } from "../../test/support/service-fixture.ts";
import { waitFor } from "../../test/support/wait.ts";
import { ERRORS, ErrorId } from "../base/errors.ts";
import { encodeCheckpoints, encodeId, idAndTtlBytes, writeIdAndTtl } from "../lease/lease-codec.ts";
import type { MethodHandler } from "../grpc/service.ts";
import { InternalRaftRequestSchema } from "../proto/gen/raft_internal_pb.ts";
import {
  LeaseGrantRequestSchema,
  LeaseKeepAliveRequestSchema,
  LeaseKeepAliveResponseSchema,
  LeaseTimeToLiveRequestSchema,
  LeaseTimeToLiveResponseSchema,
} from "../proto/gen/rpc_pb.ts";
import { PeerRequestKind, ReadKind, RecordType } from "../ring/record-types.ts";
import { leaseMethods } from "./lease.ts";
import { LeasePrimary } from "./lease-primary.ts";
import { startRevoker } from "./lease-revoker.ts";
import { leaseKeepAliveHandler, leaseKeepAlivesHandler, leaseTimeToLiveHandler } from "./peer-leases.ts";

const IDENTITY = { clusterId: 7n, memberId: 1n };
const TERM = 4;

let fixture: ServiceFixture;
let methods: MethodHandler[];
const warnings: string[] = [];

beforeEach(() => {
  fixture = new ServiceFixture();
  const { router } = fixture;
  const primary = new LeasePrimary({ router, requestTimeoutMs: 7000 });
  methods = leaseMethods(router, { identity: IDENTITY, primary, electionTimeoutMs: 1000 });
  router.onPeerRequest(PeerRequestKind.leaseKeepAlive, leaseKeepAliveHandler(primary));
  router.onPeerRequest(PeerRequestKind.leaseKeepAlives, leaseKeepAlivesHandler(primary));
  router.onPeerRequest(PeerRequestKind.leaseTimeToLive, leaseTimeToLiveHandler(primary));
  warnings.length = 0;
  const log = { info: () => {}, warn: (message: string) => void warnings.push(message) };
  startRevoker(router, log as never);
  lead(true);
});

afterEach(() => fixture.stop());

function lead(isLeader: boolean): void {
  const payload = Buffer.alloc(20);
  payload.writeDoubleLE(TERM, 0);
  payload.writeBigUInt64LE(isLeader ? 1n : 2n, 8);
  payload.writeUInt32LE(isLeader ? 1 : 0, 16);
  fixture.fromWorker(RecordType.leader, 0, payload);
}

function encode<D extends DescMessage>(schema: D, message: MessageInitShape<D>): Uint8Array {
  return toBinary(schema, create(schema, message));
}

/** Id and TTL, as apply answers. */
function answer(id: number, seconds: number): Uint8Array {
  const bytes = new Uint8Array(idAndTtlBytes(id, 0, seconds));
  writeIdAndTtl(bytes, 0, id, 0, seconds);
  return bytes;
}

function fail(requestId: number, errorId: number): void {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(errorId);
  fixture.fromWorker(RecordType.error, requestId, payload);
}

/** A stream of keep-alives that remembers what it was answered. */
class StreamCall extends RecordingCall {
  readonly answers: Array<[id: bigint, ttl: bigint]> = [];
  readonly revisions: bigint[] = [];
  override sendMessage(bytes: Uint8Array, start: number, end: number): void {
    const { ID, TTL, header } = fromBinary(LeaseKeepAliveResponseSchema, bytes.subarray(start, end));
    this.answers.push([ID, TTL]);
    this.revisions.push(header?.revision ?? 0n);
  }
}

function openStream(): { call: StreamCall; method: MethodHandler; keep: (id: bigint) => void } {
  const method = methods.find(({ path }) => path.endsWith("/LeaseKeepAlive")) as MethodHandler;
  const call = new StreamCall();
  method.onOpen?.(call);
  const keep = (ID: bigint): void => {
    const request = encode(LeaseKeepAliveRequestSchema, { ID });
    method.onMessage(call, request, 0, request.length);
  };
  return { call, method, keep };
}

test("a grant without an id gets a positive one before it is proposed; one with an id goes as it is", () => {
  const ids: bigint[] = [];
  for (const ID of [0n, 0n, -9n]) {
    fixture.call(methods, "LeaseGrant", encode(LeaseGrantRequestSchema, { TTL: 60n, ID }));
    const [record] = fixture.raftRecords();
    const { leaseGrant } = fromBinary(InternalRaftRequestSchema, record.payload);
    equal(leaseGrant?.TTL, 60n);
    ids.push(leaseGrant?.ID ?? 0n);
  }
  equal(ids[0] > 0n && ids[1] > 0n && ids[0] !== ids[1], true);
  equal(ids[2], -9n);
});

test("keep-alives of one stream are answered as they come, with the revision from before; unknown leases with TTL 0", () => {
  const { call, method, keep } = openStream();
  keep(5n);
  keep(6n);
  const [first, second] = fixture.raftRecords();
  deepEqual([first.type, first.payload[0]], [RecordType.read, ReadKind.leaseKeepAlive]);
  fail(second.id, ErrorId.leaseNotFound);
  fixture.fromWorker(RecordType.response, first.id, answer(5, 30));
  deepEqual(call.answers, [
    [6n, 0n],
    [5n, 30n],
  ]);
  deepEqual(call.revisions, [1n, 1n]);
  equal(call.status, null);
  keep(5n);
  method.onHalfClose?.(call);
  equal(call.status, null, "one is still on its way");
  fixture.fromWorker(RecordType.response, fixture.raftRecords()[0].id, answer(5, 30));
  deepEqual(call.status, { code: 0, message: "" });
});

test("a malformed list of leases is not asked for", () => {
  const { grpcCode, message } = ERRORS[ErrorId.malformedRequest];
  deepEqual(fixture.call(methods, "LeaseLeases", Buffer.of(0x0a, 9)).status, { code: grpcCode, message });
  deepEqual(fixture.applyRecords(), []);
});

test("any other error ends the stream, and what comes later is dropped", () => {
  const { call, keep } = openStream();
  keep(5n);
  keep(6n);
  const [first, second] = fixture.raftRecords();
  fail(first.id, ErrorId.timeout);
  equal(call.status?.message, ERRORS[ErrorId.timeout].message);
  fixture.fromWorker(RecordType.response, second.id, answer(6, 30));
  deepEqual(call.answers, []);
});

test("only so many keep-alives of all streams wait for another member, and each makes room when it is answered", async () => {
  lead(false);
  const renewals: Array<(seconds: number) => void> = [];
  const renew = (): Promise<number> => new Promise((resolve) => renewals.push(resolve));
  const primary = { renew, timeToLive: () => Promise.reject(new Error("not asked")) };
  const options = { identity: IDENTITY, primary, electionTimeoutMs: 1000, renewalsElsewhereMax: 2 };
  methods = leaseMethods(fixture.router, options);
  const streams = [openStream(), openStream(), openStream()];
  for (const [index, { keep }] of streams.entries()) keep(BigInt(index + 1));
  const row = ERRORS[ErrorId.requestTooManyRequests];
  deepEqual(
    streams.map(({ call }) => call.status),
    [null, null, { code: row.grpcCode, message: row.message }],
  );
  renewals[0](9);
  await nextTurn();
  const { call, keep } = openStream();
  keep(4n);
  renewals[1](8);
  renewals[2](7);
  await nextTurn();
  deepEqual(
    [...streams.map((each) => each.call.answers), call.answers],
    [[[1n, 9n]], [[2n, 8n]], [], [[4n, 7n]]],
  );
});

test("a lease with a checkpoint is renewed once that is taken back by the leader of the term", async () => {
  const { call, keep } = openStream();
  keep(5n);
  fail(fixture.raftRecords()[0].id, ErrorId.leaseHasCheckpoint);
  await nextTurn();
  fail(fixture.raftRecords()[0].id, ErrorId.leaseHasCheckpoint);
  await nextTurn();
  const [proposal] = fixture.raftRecords();
  equal(proposal.type, RecordType.proposeAsLeader);
  equal(proposal.payload.readDoubleLE(0), TERM);
  const { leaseCheckpoint } = fromBinary(InternalRaftRequestSchema, proposal.payload.subarray(8));
  deepEqual(
    leaseCheckpoint?.checkpoints.map((each) => [each.ID, each.remainingTTL]),
    [[5n, 0n]],
  );
  deepEqual(call.answers, []);
  fixture.fromWorker(RecordType.response, proposal.id, new Uint8Array(0));
  await nextTurn();
  fixture.fromWorker(RecordType.response, fixture.raftRecords()[0].id, answer(5, 3600));
  await nextTurn();
  deepEqual(call.answers, [[5n, 3600n]]);
});

test("the time to live of an unknown lease is -1, without an error", async () => {
  const ask = async (reply: (id: number) => void): Promise<RecordingCall> => {
    const request = encode(LeaseTimeToLiveRequestSchema, { ID: 5n });
    const call = fixture.call(methods, "LeaseTimeToLive", request);
    await nextTurn();
    reply(fixture.raftRecords()[0].id);
    await nextTurn();
    return call;
  };
  const found = await ask((id) => fixture.fromWorker(RecordType.response, id, answer(5, 9)));
  const response = fromBinary(LeaseTimeToLiveResponseSchema, found.message!);
  deepEqual([response.ID, response.TTL, response.header?.memberId], [5n, 9n, 1n]);
  const unknown = await ask((id) => fail(id, ErrorId.leaseNotFound));
  deepEqual(unknown.status, { code: 0, message: "" });
  const { ID, TTL, header } = fromBinary(LeaseTimeToLiveResponseSchema, unknown.message!);
  deepEqual([ID, TTL, header?.revision], [5n, -1n, 1n]);
});

/** What a peer is answered: status, content type, body. */
async function peerAnswer(kind: number, body: Uint8Array, reply: (id: number) => void): Promise<unknown[]> {
  fixture.fromWorker(RecordType.peerRequest, 1, Buffer.concat([Buffer.of(kind), body]));
  await nextTurn();
  const [asked] = fixture.raftRecords();
  if (asked?.type === RecordType.read) reply(asked.id);
  await nextTurn();
  const payload = asked?.type === RecordType.peerResponse ? asked.payload : fixture.raftRecords()[0].payload;
  const isText = payload[2] === 2;
  return [payload.readUInt16LE(0), payload[2], payload.subarray(4).toString(isText ? "utf8" : "hex")];
}

test("other members are answered with etcd's statuses", async () => {
  const { leaseKeepAlive, leaseTimeToLive } = PeerRequestKind;
  const request = encodeId(5, 0);
  const inner = Buffer.concat([Buffer.of(0x0a, request.length), request]);
  const ok = (id: number): void => fixture.fromWorker(RecordType.response, id, answer(5, 9));
  deepEqual(await peerAnswer(leaseKeepAlive, request, ok), [200, 1, "10051809"]);
  deepEqual(await peerAnswer(leaseTimeToLive, inner, ok), [200, 1, "0a060a0010051809"]);
  const notFound = (id: number): void => fail(id, ErrorId.leaseNotFound);
  deepEqual(await peerAnswer(leaseKeepAlive, request, notFound), [404, 2, "lease not found\n"]);
  deepEqual(await peerAnswer(leaseTimeToLive, inner, notFound), [404, 2, "lease not found\n"]);
  const notPrimary = (id: number): void => fail(id, ErrorId.notPrimaryLessor);
  deepEqual(await peerAnswer(leaseKeepAlive, request, notPrimary), [400, 2, "not a primary lessor\n"]);
  deepEqual(await peerAnswer(leaseTimeToLive, inner, notPrimary), [500, 2, "not a primary lessor\n"]);
  const bad = Buffer.of(0x08);
  deepEqual(await peerAnswer(leaseKeepAlive, bad, ok), [400, 2, "error unmarshalling request\n"]);
});

test("other members are answered many keep-alives at once; one that waits for more holds up none", async () => {
  const request = encodeCheckpoints([5, 6, 7], [0, 0, 0], [0, 0, 0], 3);
  const kind = Buffer.of(PeerRequestKind.leaseKeepAlives);
  fixture.fromWorker(RecordType.peerRequest, 1, Buffer.concat([kind, request]));
  await nextTurn();
  const [first, second] = fixture.raftRecords();
  fixture.fromWorker(RecordType.response, first.id, answer(5, 30));
  fail(second.id, ErrorId.leaseNotFound);
  const [{ payload }] = await waitFor("the answer", 5000, () => {
    const records = fixture.raftRecords();
    return records.length > 0 ? records : undefined;
  });
  equal(payload.readUInt16LE(0), 200);
  deepEqual(new Uint8Array(payload.subarray(4)), encodeCheckpoints([5, 6, 7], [0, 0, 0], [30, 0, -1], 3));
});

/** Hands out leases 1 to `count` for revocation. */
function expire(count: number, term = TERM): void {
  const payload = Buffer.alloc(8 + 8 * count);
  payload.writeDoubleLE(term);
  for (let id = 1; id <= count; id++) payload.writeBigUInt64LE(BigInt(id), 8 * id);
  fixture.fromWorker(RecordType.leaseExpired, 0, payload);
}

function revoked(): { id: number; lease: bigint | undefined; term: number }[] {
  return fixture.raftRecords().map(({ id, payload }) => ({
    id,
    term: payload.readDoubleLE(0),
    lease: fromBinary(InternalRaftRequestSchema, payload.subarray(8)).leaseRevoke?.ID,
  }));
}

test("expired leases are revoked 16 at a time, as the leader of their term", async () => {
  expire(20);
  const first = revoked();
  deepEqual(
    first.map(({ lease, term }) => [lease, term]),
    Array.from({ length: 16 }, (_, index) => [BigInt(index + 1), TERM]),
  );
  fixture.fromWorker(RecordType.response, first[0].id, new Uint8Array(0));
  fail(first[1].id, ErrorId.leaseNotFound);
  await nextTurn();
  deepEqual(
    revoked().map(({ lease }) => lease),
    [17n, 18n],
  );
  deepEqual(warnings, []);
  equal(fixture.router.status.leasesExpired, 20);
});

test("when the term is over, nothing more of it is revoked", async () => {
  expire(100);
  for (const { id } of revoked()) fail(id, ErrorId.notLeader);
  await nextTurn();
  deepEqual(revoked(), []);
  deepEqual(warnings, []);
  expire(1, TERM + 2);
  const [next] = revoked();
  deepEqual([next.lease, next.term], [1n, TERM + 2]);
  fail(next.id, ErrorId.timeout);
  await nextTurn();
  match(warnings[0], /failed to revoke lease/);
});
