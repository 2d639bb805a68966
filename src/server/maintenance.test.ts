/** Status, HashKV, Alarm, MemberList and the health check: what they answer themselves, and what they ask of whom. */
import { deepEqual, equal } from "node:assert/strict";
import { afterEach, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";

import { ServiceFixture } from "../../test/support/service-fixture.ts";
import { SERVER_VERSION } from "../base/version.ts";
import { StatusResponseSchema } from "../proto/gen/rpc_pb.ts";
import { encodeAlarms } from "../apply/alarms.ts";
import { ReadKind, RecordType } from "../ring/record-types.ts";
import { SILENT_LOGGER } from "../telemetry/logger.ts";
import { clusterMethods } from "./cluster.ts";
import { healthMethods } from "./grpc-health.ts";
import { maintenanceMethods } from "./maintenance.ts";
import { Reconfigurer } from "./reconfigurer.ts";
import { unimplementedMethods } from "./unimplemented.ts";

const MEMBER_ID = 0xaf277c1dfad997d2n;
const EMPTY = Buffer.alloc(0);
const MALFORMED = Buffer.of(0x08);

function setUp() {
  const made = new ServiceFixture();
  const options = {
    clusterId: 7n,
    memberId: MEMBER_ID,
    quotaBackendBytes: 1234,
    requestTimeoutMs: 20,
    storageVersion: () => "3.6.0",
    snapshots: { createForClient: () => Promise.reject(new Error("no snapshots here")) },
    defragmenter: { defragment: () => Promise.resolve() },
    log: SILENT_LOGGER,
  };
  const methods = [
    ...maintenanceMethods(made.router, options),
    ...clusterMethods(
      made.router,
      options,
      new Reconfigurer({ router: made.router, strict: true, requestTimeoutMs: 7000, log: SILENT_LOGGER }),
    ),
    ...healthMethods(made.router),
  ];
  return { fixture: made, methods };
}

let { fixture, methods } = setUp();
afterEach(() => {
  fixture.stop();
  ({ fixture, methods } = setUp());
});

function becomeLeader(): void {
  const payload = Buffer.alloc(20);
  payload.writeDoubleLE(3, 0);
  payload.writeBigUInt64LE(MEMBER_ID, 8);
  payload.writeUInt32LE(1, 16);
  fixture.fromWorker(RecordType.leader, 0, payload);
}

test("Status tells what the other threads reported last", () => {
  becomeLeader();
  const numbers = (...values: number[]): Buffer =>
    Buffer.concat(
      values.map((value) => {
        const bytes = Buffer.alloc(8);
        bytes.writeDoubleLE(value);
        return bytes;
      }),
    );
  fixture.fromWorker(RecordType.raftStatus, 0, numbers(21, 22, 3));
  fixture.fromWorker(RecordType.applyStatus, 0, numbers(20, 15, 4));
  fixture.fromWorker(RecordType.committed, 18, numbers(14, 0, 40_960, 8_192));
  const call = fixture.call(methods, "Status", EMPTY);
  deepEqual(call.status, { code: 0, message: "" });
  const {
    header,
    $typeName: _,
    $unknown: __,
    downgradeInfo,
    ...status
  } = fromBinary(StatusResponseSchema, call.message ?? EMPTY);
  deepEqual(
    [header?.clusterId, header?.memberId, header?.revision, header?.raftTerm],
    [7n, MEMBER_ID, 15n, 3n],
  );
  deepEqual(status, {
    version: SERVER_VERSION,
    dbSize: 40_960n,
    dbSizeInUse: 8_192n,
    leader: MEMBER_ID,
    raftIndex: 21n,
    raftTerm: 3n,
    raftAppliedIndex: 20n,
    errors: [],
    isLearner: false,
    storageVersion: "3.6.0",
    dbSizeQuota: 1234n,
  });
  equal(downgradeInfo?.enabled, false);
});

test("without a leader Status says so, and the health check does not: no probe shall restart a member for it", () => {
  const status = fromBinary(StatusResponseSchema, fixture.call(methods, "Status", EMPTY).message ?? EMPTY);
  deepEqual(status.errors, ["etcdserver: no leader"]);
  deepEqual(fixture.call(methods, "Check", EMPTY).message, Buffer.of(0x08, 1));
  deepEqual(
    fixture.call(methods, "Check", Buffer.of(0x0a, 0)).message,
    Buffer.of(0x08, 1),
    "the empty name, spelled out",
  );
  deepEqual(fixture.call(methods, "Check", Buffer.of(0x0a, 1, 0x78)).status, {
    code: 5,
    message: "unknown service",
  });
});

test("a health watch is told the status at once and every change, of an unknown service that it is unknown", () => {
  const { router } = fixture;
  methods = healthMethods(router, { stopsOnDefrag: true });
  const [all, unknown, gone] = [EMPTY, Buffer.of(0x0a, 1, 0x78), EMPTY].map((request) =>
    fixture.call(methods, "Watch", request),
  );
  const messages = (): string[] => [all, unknown, gone].map(({ message }) => message?.toString("hex") ?? "");
  deepEqual(messages(), ["0801", "0803", "0801"]);
  methods.find(({ path }) => path.endsWith("/Watch"))?.onCancel?.(gone);
  router.status.noteDefragmenting(true);
  deepEqual(messages(), ["0802", "0803", "0801"]);
  deepEqual(fixture.call(methods, "Check", EMPTY).message, Buffer.of(0x08, 2));
  router.status.noteDefragmenting(false);
  deepEqual(messages(), ["0801", "0803", "0801"]);
  router.stop();
  deepEqual([all.status?.code, unknown.status?.code, gone.status], [14, 14, null]);
  // Without the feature gate a defragmentation is nothing to clients.
  const plain = new ServiceFixture();
  const always = plain.call(healthMethods(plain.router), "Watch", EMPTY);
  always.message = null;
  plain.router.status.noteDefragmenting(true);
  equal(always.message, null);
  plain.stop();
});

test("HashKV and MemberList are reads", () => {
  const cases = [
    ["HashKV", Buffer.of(0x08, 9), false, [ReadKind.hashKv, 0x08, 9]],
    ["MemberList", EMPTY, false, [ReadKind.memberList]],
    ["MemberList", Buffer.of(0x08, 1), true, [ReadKind.memberList]],
  ] as const;
  for (const [name, request, throughRaft, payload] of cases) {
    const call = fixture.call(methods, name, request);
    const [raft, apply] = [fixture.raftRecords(), fixture.applyRecords()];
    deepEqual([raft.length, apply.length], throughRaft ? [1, 0] : [0, 1], name);
    const [record] = [...raft, ...apply];
    deepEqual([record?.type, record?.payload], [RecordType.read, Buffer.from(payload)]);
    fixture.fromWorker(RecordType.response, record?.id ?? 0, Buffer.from("answer"));
    deepEqual([call.message?.toString(), call.status?.code], ["answer", 0]);
  }
});

test("every alarm action is proposed as it came, and Status and health tell of active ones", () => {
  for (const request of [EMPTY, Buffer.of(0x08, 1, 0x10, 9, 0x18, 1)]) {
    const call = fixture.call(methods, "Alarm", request);
    const [record] = fixture.raftRecords();
    equal(record?.type, RecordType.propose);
    const envelope = record?.payload ?? EMPTY;
    equal(envelope.includes(Buffer.of(0x52, request.length, ...request)), true, "field 10");
    fixture.fromWorker(RecordType.response, record?.id ?? 0, EMPTY);
    equal(call.status?.code, 0);
  }
  becomeLeader();
  const alarms = [
    { memberId: 2n ** 64n - 1n, type: 1 },
    { memberId: 0n, type: 2 },
  ];
  fixture.fromWorker(RecordType.alarms, 0, encodeAlarms(alarms));
  const status = fromBinary(StatusResponseSchema, fixture.call(methods, "Status", EMPTY).message ?? EMPTY);
  deepEqual(status.errors, ["memberID:18446744073709551615 alarm:NOSPACE ", "memberID:0 alarm:CORRUPT "]);
  deepEqual(fixture.router.status.alarms, alarms);
});

test("malformed requests are refused", () => {
  for (const name of ["Status", "Hash", "HashKV", "Defragment", "Snapshot", "MemberList", "Alarm", "Check"]) {
    const call = fixture.call(methods, name, name === "Check" ? Buffer.of(0x0a, 200) : MALFORMED);
    deepEqual(call.status, { code: 13, message: "grpc: error unmarshalling request: unexpected EOF" }, name);
    equal(call.message, null);
  }
  deepEqual([fixture.raftRecords(), fixture.applyRecords()], [[], []]);
});

test("a cancelled read is forgotten, and apply told", () => {
  const call = fixture.call(methods, "HashKV", EMPTY);
  methods.find((method) => method.path.endsWith("/HashKV"))?.onCancel?.(call);
  deepEqual(
    fixture.applyRecords().map((record) => record.type),
    [RecordType.read, RecordType.cancel],
  );
  equal(fixture.router.pendingRequests, 0);
});

test("what is not served yet is UNIMPLEMENTED in grpc-go's words", () => {
  const later = unimplementedMethods();
  const paths = new Set([...later, ...methods].map((method) => method.path));
  equal(paths.size, later.length + methods.length, "nothing is both served and not");
  for (const method of later) {
    const call = fixture.call([method], method.path.split("/")[2], EMPTY);
    const [, service, name] = method.path.split("/");
    deepEqual(call.status, { code: 12, message: `unknown method ${name} for service ${service}` });
  }
});
