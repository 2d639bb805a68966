/** Membership changes and MoveLeader: the checks before them, what is proposed, and what clients are told. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";

import { type RecordingCall, ServiceFixture } from "../../test/support/service-fixture.ts";
import { ERRORS, ErrorId } from "../base/errors.ts";
import { formatMember, type Member, parseMember } from "../cluster/membership.ts";
import { decodeConfChange } from "../proto/conf-change.ts";
import {
  HashKVResponseSchema,
  MemberAddRequestSchema,
  MemberPromoteRequestSchema,
  MemberPromoteResponseSchema,
  MemberRemoveRequestSchema,
  MemberUpdateRequestSchema,
  MoveLeaderRequestSchema,
} from "../proto/gen/rpc_pb.ts";
import { PeerCallError } from "../peer/peer-client.ts";
import { PeerRequestKind, RecordType } from "../ring/record-types.ts";
import { SILENT_LOGGER } from "../telemetry/logger.ts";
import { AutoPromoter } from "./auto-promoter.ts";
import { clusterMethods } from "./cluster.ts";
import { maintenanceMethods } from "./maintenance.ts";
import { hashKvHandler } from "./peer-hash-kv.ts";
import { promoteHandler } from "./peer-promote.ts";
import { Reconfigurer } from "./reconfigurer.ts";

const SELF = 1n;
const LEARNER = 3n;
const LONG_AGO = 1;

const member = (id: bigint, isLearner = false): Member => ({
  id,
  name: `m${id}`,
  peerUrls: [`http://m${id}:2380`],
  clientUrls: [],
  isLearner,
});

function setUp(options: { strict?: boolean; promoteAt?: () => Promise<readonly Member[]> } = {}) {
  const made = new ServiceFixture();
  const { router } = made;
  const reconfigurer = new Reconfigurer({
    router,
    strict: options.strict ?? true,
    requestTimeoutMs: 7000,
    log: SILENT_LOGGER,
    ...(options.promoteAt === undefined ? {} : { promoteAt: options.promoteAt }),
  });
  const identity = { clusterId: 7n, memberId: SELF };
  const methods = [
    ...clusterMethods(router, identity, reconfigurer),
    ...maintenanceMethods(router, {
      ...identity,
      quotaBackendBytes: 0,
      requestTimeoutMs: 20,
      storageVersion: () => "3.6.0",
      snapshots: { createForClient: () => Promise.reject(new Error("no snapshots here")) },
      defragmenter: { defragment: () => Promise.resolve() },
      log: SILENT_LOGGER,
    }),
  ];
  return { fixture: made, methods, reconfigurer };
}

let { fixture, methods, reconfigurer } = setUp();
afterEach(() => {
  fixture.stop();
  ({ fixture, methods, reconfigurer } = setUp());
});

function lead(id: bigint): void {
  const payload = Buffer.alloc(20);
  payload.writeDoubleLE(3, 0);
  payload.writeBigUInt64LE(id, 8);
  payload.writeUInt32LE(id === SELF ? 1 : 0, 16);
  fixture.fromWorker(RecordType.leader, 0, payload);
}

function applied(members: readonly Member[]): void {
  const report = {
    index: 1,
    members: members.map((each) => ({ ...each, id: each.id.toString(16) })),
    removed: [],
    clusterVersion: "3.6.0",
  };
  fixture.fromWorker(RecordType.membership, 0, Buffer.from(JSON.stringify(report)));
}

/** Answers the one report that main asks raft for. */
async function giveReport(
  activeSinceMs: Record<string, number>,
  match: Record<string, number> = {},
): Promise<void> {
  await turn();
  const [record] = fixture.raftRecords();
  equal(record?.type, RecordType.raftReport);
  const report = { lastIndex: 100, activeSinceMs, match };
  fixture.fromWorker(RecordType.response, record?.id ?? 0, Buffer.from(JSON.stringify(report)));
}

/** What was proposed. */
async function proposed() {
  await turn();
  await turn();
  const [record, ...others] = fixture.raftRecords();
  deepEqual([record?.type, others], [RecordType.proposeConfChange, []]);
  const change = decodeConfChange(record.payload, 0, record.payload.length);
  ok(change !== null);
  equal(change.id, (SELF << 48n) | BigInt(record.id), "etcd's request id");
  const { type, nodeId, context } = change;
  return { type, nodeId, context: Buffer.from(context).toString(), recordId: record.id };
}

function refused(call: RecordingCall, errorId: number): void {
  const { grpcCode, message } = ERRORS[errorId];
  deepEqual(call.status, { code: grpcCode, message });
}

const add = (peerURLs: string[], isLearner = false): RecordingCall =>
  fixture.call(
    methods,
    "MemberAdd",
    toBinary(MemberAddRequestSchema, create(MemberAddRequestSchema, { peerURLs, isLearner })),
  );
const remove = (ID: bigint): RecordingCall =>
  fixture.call(
    methods,
    "MemberRemove",
    toBinary(MemberRemoveRequestSchema, create(MemberRemoveRequestSchema, { ID })),
  );
const update = (ID: bigint, peerURLs: string[]): RecordingCall =>
  fixture.call(
    methods,
    "MemberUpdate",
    toBinary(MemberUpdateRequestSchema, create(MemberUpdateRequestSchema, { ID, peerURLs })),
  );
const promote = (ID: bigint): RecordingCall =>
  fixture.call(
    methods,
    "MemberPromote",
    toBinary(MemberPromoteRequestSchema, create(MemberPromoteRequestSchema, { ID })),
  );
const moveLeader = (targetID: bigint): RecordingCall =>
  fixture.call(
    methods,
    "MoveLeader",
    toBinary(MoveLeaderRequestSchema, create(MoveLeaderRequestSchema, { targetID })),
  );

test("a cluster of one gets a second member without asking raft; apply's answer is passed on", async () => {
  applied([member(SELF)]);
  const call = add([" http://b:2380", "http://a:2380"]);
  const { type, nodeId, context, recordId } = await proposed();
  equal(type, 0);
  deepEqual(parseMember(Buffer.from(context)), {
    ...member(nodeId),
    name: "",
    peerUrls: ["http://a:2380", "http://b:2380"],
  });
  fixture.fromWorker(RecordType.response, recordId, Buffer.from("answer"));
  deepEqual([call.message?.toString(), call.status?.code], ["answer", 0]);
});

test("a learner is added as one, and refused in the words of the table when apply says so", async () => {
  applied([member(SELF)]);
  const call = add(["http://a:2380"], true);
  const { type, context, recordId } = await proposed();
  equal(type, 3);
  ok(context.includes('"isLearner":true'));
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(ErrorId.tooManyLearners);
  fixture.fromWorker(RecordType.error, recordId, payload);
  refused(call, ErrorId.tooManyLearners);
});

test("bad peer URLs are refused before anything is asked", async () => {
  applied([member(SELF)]);
  for (const urls of [[], ["http://a"], ["ftp://a:1"], ["http://a:1/"], ["http://a:1", ":"]]) {
    const calls = [add(urls), update(SELF, urls)];
    await turn();
    for (const call of calls) refused(call, ErrorId.memberBadUrls);
  }
  deepEqual(fixture.raftRecords(), []);
});

test("a request that names more URLs than any member has costs no more than it weighs, and is refused", async () => {
  applied([member(SELF)]);
  const empty = (count: number): Buffer =>
    Buffer.concat(Array.from({ length: count }, () => Buffer.of(0x0a, 0)));
  const many = fixture.call(methods, "MemberAdd", empty(1000));
  await turn();
  refused(many, ErrorId.memberBadUrls);
  refused(fixture.call(methods, "MemberAdd", empty(100_000)), ErrorId.malformedRequest);
});

test("strict checks: an unhealthy cluster takes no member, and keeps those it needs", async () => {
  applied([member(1n), member(2n), member(4n)]);
  const added = add(["http://a:2380"]);
  await giveReport({ 2: LONG_AGO, 4: 0 });
  await turn();
  refused(added, ErrorId.unhealthy);
  const removed = remove(2n);
  await giveReport({ 2: LONG_AGO, 4: 0 });
  await turn();
  refused(removed, ErrorId.unhealthy);
  remove(4n);
  await giveReport({ 2: LONG_AGO, 4: 0 });
  const { type, nodeId, context } = await proposed();
  deepEqual([type, nodeId, context], [1, 4n, ""]);
});

test("without strict checks nothing is asked, but the last voter stays", async () => {
  fixture.stop();
  ({ fixture, methods, reconfigurer } = setUp({ strict: false }));
  applied([member(1n), member(2n)]);
  remove(2n);
  equal((await proposed()).nodeId, 2n);
  applied([member(1n), member(LEARNER, true)]);
  const last = remove(1n);
  await turn();
  refused(last, ErrorId.memberNotEnoughStarted);
});

test("an update proposes the URLs as they were given", async () => {
  applied([member(SELF)]);
  update(SELF, ["http://z:1", "http://a:1"]);
  const { type, nodeId, context } = await proposed();
  deepEqual([type, nodeId], [2, SELF]);
  equal(context, '{"id":1,"peerURLs":["http://z:1","http://a:1"]}');
});

test("the leader promotes a learner that has caught up, and no other", async () => {
  applied([member(SELF), member(2n), member(LEARNER, true)]);
  lead(SELF);
  const early = promote(LEARNER);
  await giveReport({}, { 1: 100, 2: 100, 3: 89 });
  await turn();
  refused(early, ErrorId.learnerNotReady);
  const unknown = promote(9n);
  await giveReport({}, { 1: 100, 2: 100, 3: 95 });
  await turn();
  refused(unknown, ErrorId.memberNotFound);
  promote(LEARNER);
  await giveReport({}, { 1: 100, 2: 100, 3: 95 });
  const { type, nodeId, context } = await proposed();
  deepEqual([type, nodeId, context], [0, LEARNER, '{"id":3,"peerURLs":null,"isPromote":true}']);
});

test("another member has the leader promote, and passes its members or its refusal on", async () => {
  const answers: Array<() => Promise<readonly Member[]>> = [
    () => Promise.reject(new Error("connection refused")),
    () => Promise.resolve([member(2n), member(LEARNER)]),
    () => Promise.reject(new PeerCallError(404, "membership: ID not found")),
    () => Promise.reject(new PeerCallError(412, "membership: can only promote a learner member")),
    () => Promise.reject(new PeerCallError(412, ERRORS[ErrorId.learnerNotReady].message)),
  ];
  const urls: string[] = [];
  fixture.stop();
  ({ fixture, methods, reconfigurer } = setUp({
    promoteAt: (...args: unknown[]) => {
      urls.push(String(args[0]));
      return answers.shift()?.() ?? Promise.reject(new Error("no more"));
    },
  }));
  applied([
    member(SELF),
    { ...member(2n), peerUrls: ["http://down:1", "http://up:1"] },
    member(LEARNER, true),
  ]);
  lead(2n);
  const call = promote(LEARNER);
  await turn();
  await turn();
  const { header, members } = fromBinary(MemberPromoteResponseSchema, call.message ?? Buffer.alloc(0));
  deepEqual([header?.memberId, header?.raftTerm, members.map(({ ID }) => ID)], [SELF, 3n, [2n, LEARNER]]);
  deepEqual(urls, ["http://down:1", "http://up:1"]);
  for (const errorId of [ErrorId.memberNotFound, ErrorId.memberNotLearner, ErrorId.learnerNotReady]) {
    const refusal = promote(LEARNER);
    await turn();
    await turn();
    refused(refusal, errorId);
  }
});

test("a peer's promotion is made here, and refused with the status that etcd's members know", async () => {
  fixture.router.onPeerRequest(PeerRequestKind.promote, promoteHandler(reconfigurer));
  const request = Buffer.concat([Buffer.of(PeerRequestKind.promote), Buffer.alloc(8)]);
  request.writeBigUInt64LE(LEARNER, 1);
  const response = (records: readonly { type: number; id: number; payload: Buffer }[]) => {
    deepEqual([records[0]?.type, records[0]?.id], [RecordType.peerResponse, 5]);
    const { payload } = records[0];
    return [payload.readUInt16LE(), payload[2], payload.subarray(4).toString()];
  };
  applied([member(SELF), member(LEARNER, true)]);
  lead(SELF);
  fixture.fromWorker(RecordType.peerRequest, 5, request);
  await giveReport({}, { 1: 100, 3: 10 });
  await turn();
  deepEqual(response(fixture.raftRecords()), [412, 2, `${ERRORS[ErrorId.learnerNotReady].message}\n`]);

  fixture.fromWorker(RecordType.peerRequest, 5, request);
  await giveReport({}, { 1: 100, 3: 100 });
  const { recordId } = await proposed();
  applied([member(SELF), member(LEARNER)]);
  fixture.fromWorker(RecordType.response, recordId, Buffer.alloc(0));
  await turn();
  const body = `[${formatMember(member(SELF))},${formatMember(member(LEARNER))}]\n`;
  deepEqual(response(fixture.raftRecords()), [200, 0, body]);

  lead(2n);
  fixture.fromWorker(RecordType.peerRequest, 5, request);
  await turn();
  deepEqual(response(fixture.raftRecords()), [500, 0, '{"message":"Internal Server Error"}']);
});

test("a peer asks for the hash at a revision", async () => {
  fixture.router.onPeerRequest(PeerRequestKind.hashKv, hashKvHandler(fixture.router));
  const ask = async (json: string): Promise<number> => {
    const request = Buffer.concat([Buffer.of(PeerRequestKind.hashKv), Buffer.from(json)]);
    fixture.fromWorker(RecordType.peerRequest, 6, request);
    await turn();
    const [read] = fixture.applyRecords();
    equal(read?.type, RecordType.read);
    return read?.id ?? 0;
  };
  const answered = async (): Promise<unknown[]> => {
    await turn();
    const [{ id, payload }] = fixture.raftRecords();
    return [id, payload.readUInt16LE(), payload[2], payload.subarray(4).toString()];
  };
  const hash = create(HashKVResponseSchema, {
    header: { clusterId: 7n, memberId: SELF, revision: 12n, raftTerm: 3n },
    hash: 0xffff_fffe,
    compactRevision: -1n,
    hashRevision: 9n,
  });
  const id = await ask('{"revision":9}');
  fixture.fromWorker(RecordType.response, id, toBinary(HashKVResponseSchema, hash));
  const json = '{"header":{"revision":12},"hash":4294967294,"compact_revision":-1,"hash_revision":9}';
  deepEqual(await answered(), [6, 200, 0, json]);
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(ErrorId.compacted);
  fixture.fromWorker(RecordType.error, await ask("{}"), payload);
  deepEqual(await answered(), [6, 400, 2, "mvcc: required revision has been compacted\n"]);
});

test("learners are promoted without being told, once they have started and caught up, by the leader alone", async () => {
  const promoter = new AutoPromoter({ router: fixture.router, reconfigurer, log: SILENT_LOGGER });
  promoter.stop();
  applied([member(SELF), { ...member(LEARNER, true), name: "" }]);
  lead(SELF);
  await promoter.check();
  deepEqual(fixture.raftRecords(), [], "it has not started");
  applied([member(SELF), member(LEARNER, true)]);
  lead(2n);
  await promoter.check();
  deepEqual(fixture.raftRecords(), [], "another leads");
  lead(SELF);
  const checked = promoter.check();
  await giveReport({}, { 1: 100, 3: 100 });
  const { nodeId, recordId } = await proposed();
  equal(nodeId, LEARNER);
  fixture.fromWorker(RecordType.response, recordId, Buffer.alloc(0));
  await checked;
});

test("leadership moves on the leader's word, to a voter, and within the time there is", async () => {
  applied([member(SELF), member(2n), member(LEARNER, true)]);
  lead(2n);
  refused(moveLeader(2n), ErrorId.notLeader);
  lead(SELF);
  for (const id of [9n, LEARNER]) refused(moveLeader(id), ErrorId.badLeaderTransferee);
  deepEqual(fixture.raftRecords(), []);
  const moved = moveLeader(2n);
  const [record] = fixture.raftRecords();
  deepEqual([record?.type, record?.payload.readBigUInt64LE()], [RecordType.transferLeader, 2n]);
  equal(moved.message, null);
  lead(2n);
  await turn();
  deepEqual([Buffer.concat([moved.message ?? Buffer.of(1)]).length, moved.status?.code], [0, 0]);
  lead(SELF);
  const late = moveLeader(2n);
  while (late.status === null) await turn();
  refused(late, ErrorId.leaderTransferTimeout);
});
