/** Membership entries as the apply machine gets them: what is stored, what raft and main are told, and in which order. */
import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ErrorId } from "../base/errors.ts";
import { formatMember, Membership, parseMembershipReport } from "../cluster/membership.ts";
import { ConfChangeType, encodeConfChange } from "../proto/conf-change.ts";
import {
  ClusterMemberAttrSetRequestSchema,
  ClusterVersionSetRequestSchema,
} from "../proto/gen/membership_pb.ts";
import { RequestSchema } from "../proto/gen/etcdserver_pb.ts";
import { MemberAddResponseSchema, MemberRemoveResponseSchema } from "../proto/gen/rpc_pb.ts";
import { RaftField } from "../proto/raft-request.ts";
import { MemoryRing } from "../ring/memory-ring.ts";
import { RecordType } from "../ring/record-types.ts";
import type { EntryPosition } from "./apply-interfaces.ts";
import { MemoryResponseSink } from "./memory-sinks.ts";
import { MembershipFeed } from "./membership-feed.ts";
import { MembershipHook } from "./membership-hook.ts";
import { ProposerIds } from "./proposer-ids.ts";

const SELF = 0xaf27_7c1d_fad9_97d2n;
const PREFIX = (SELF & 0xffffn) << 48n;
const TERM = 3;

function setUp() {
  const written = new Map<string, string>();
  const text = (value: Uint8Array): string => new TextDecoder().decode(value);
  const [toRaft, toMain] = [new MemoryRing(1 << 20), new MemoryRing(1 << 20)];
  const membership = new Membership();
  const responses = new MemoryResponseSink();
  const log: string[] = [];
  const hook = new MembershipHook({
    membership,
    identity: { clusterId: 7n, memberId: SELF },
    learnersMax: 1,
    buckets: {
      put: (bucket, key, value) => void written.set(`${bucket}/${text(key)}`, text(value)),
      delete: (bucket, key) => void written.delete(`${bucket}/${text(key)}`),
    },
    responses,
    ids: new ProposerIds({ memberId: SELF, bootId: 100, bootIndex: 0, bootTerm: 0 }),
    feed: new MembershipFeed(toRaft, toMain),
    log: (_level, message) => void log.push(message),
  });
  let index = 0;
  const at = (replayed = false): EntryPosition => ({ index: ++index, term: TERM, replayed });
  return { hook, membership, responses, written, log, toRaft, toMain, at };
}

/** What lies in a ring: result `index valid`, or the ids of a membership. */
function told(ring: MemoryRing): string[] {
  ring.publish();
  const lines: string[] = [];
  ring.drain((type, _flags, id, bytes, start, end) => {
    const payload = Buffer.from(bytes.slice(start, end));
    if (type === RecordType.confChangeResult) lines.push(`result ${id} ${payload.readUInt32LE()}`);
    else if (type === RecordType.membership) {
      const ids = parseMembershipReport(payload).members.map((member) => member.id);
      lines.push(`members ${ids.join(" ")}`);
    } else lines.push(`type ${type}`);
  }, 100);
  return lines;
}

const addition = (id: bigint, requestId = 0n): Uint8Array => {
  const member = { id, name: "", peerUrls: [`http://m${id}:1`], clientUrls: [], isLearner: false };
  const context = new TextEncoder().encode(formatMember(member));
  return encodeConfChange({ id: requestId, type: ConfChangeType.addNode, nodeId: id, context });
};
const removal = (id: bigint, requestId = 0n): Uint8Array =>
  encodeConfChange({
    id: requestId,
    type: ConfChangeType.removeNode,
    nodeId: id,
    context: new Uint8Array(0),
  });

test("a change is told to raft and main, in front of its result and of the answer to its proposer", () => {
  const { hook, at, responses, toRaft, toMain, written } = setUp();
  const first = addition(SELF);
  hook.applyConfChange(1, first, 0, first.length, at());
  const second = addition(5n, PREFIX | 101n);
  hook.applyConfChange(1, second, 0, second.length, at());
  const self = SELF.toString(16);
  deepEqual(told(toRaft), [`members ${self}`, "result 1 1", `members 5 ${self}`, "result 2 1"]);
  deepEqual(told(toMain), [`members ${self}`, `members 5 ${self}`]);
  const { header, member, members } = fromBinary(MemberAddResponseSchema, responses.take(101).bytes);
  deepEqual(
    [header?.clusterId, header?.memberId, header?.revision, header?.raftTerm],
    [7n, SELF, 0n, BigInt(TERM)],
  );
  deepEqual([member?.ID, members.map(({ ID }) => ID)], [5n, [5n, SELF]]);
  equal(responses.answers.size, 0, "the founding entry is nobody's request");
  equal(written.get("meta/confState"), `{"voters":[5,${SELF}],"auto_leave":false}`);
});

test("an invalid change has its result and its error, and changes nothing", () => {
  const { hook, at, responses, toRaft, written } = setUp();
  const entry = removal(9n, PREFIX | 100n);
  hook.applyConfChange(1, entry, 0, entry.length, at());
  deepEqual(told(toRaft), ["result 1 0"]);
  equal(responses.take(100).errorId, ErrorId.memberNotFound);
  equal(written.size, 0);
});

test("changes of other members and of earlier lives are applied and answered to nobody", () => {
  const { hook, at, responses, membership } = setUp();
  for (const [id, requestId] of [
    [5n, (1n << 48n) | 101n],
    [6n, PREFIX | 99n],
  ] as const) {
    const entry = addition(id, requestId);
    hook.applyConfChange(1, entry, 0, entry.length, at());
  }
  deepEqual([...membership.members.keys()], [5n, 6n]);
  equal(responses.answers.size, 0);
});

test("what storage holds already is not applied again; raft is told to go on", () => {
  const { hook, at, membership, toRaft } = setUp();
  const entry = addition(5n);
  hook.applyConfChange(1, entry, 0, entry.length, at(true));
  equal(membership.members.size, 0);
  deepEqual(told(toRaft), ["result 1 0"]);
});

test("a removal is answered with the members that are left, the own one included", () => {
  const { hook, at, responses, membership } = setUp();
  const entries = [addition(SELF), addition(5n), removal(SELF, PREFIX | 102n)];
  for (const entry of entries) hook.applyConfChange(1, entry, 0, entry.length, at());
  const { members } = fromBinary(MemberRemoveResponseSchema, responses.take(102).bytes);
  deepEqual(
    members.map(({ ID }) => ID),
    [5n],
  );
  equal(membership.removed.has(SELF), true);
});

test("a joint change, which no member of etcd writes, ends the thread", () => {
  const { hook, at } = setUp();
  throws(() => hook.applyConfChange(2, new Uint8Array(0), 0, 0, at()), /entry 1/);
});

test("attributes and version come as requests, and from 3.5 as v2 requests", () => {
  const { hook, at, responses, membership, log } = setUp();
  const entry = addition(5n);
  hook.applyConfChange(1, entry, 0, entry.length, at());
  const set = (memberID: bigint, name: string): Uint8Array =>
    toBinary(
      ClusterMemberAttrSetRequestSchema,
      create(ClusterMemberAttrSetRequestSchema, {
        memberID,
        memberAttributes: { name, clientUrls: ["http://c:1", "http://d:1"] },
      }),
    );
  const request = (field: number, bytes: Uint8Array): boolean =>
    hook.applyRequest(field, bytes, 0, bytes.length, 100, at());
  equal(request(RaftField.clusterMemberAttrSet, set(5n, "five")), true);
  equal(responses.take(100).bytes.length, 0);
  deepEqual(membership.members.get(5n)?.clientUrls, ["http://c:1", "http://d:1"]);
  request(RaftField.clusterMemberAttrSet, set(6n, "six"));
  responses.take(100);
  equal(log.at(-1), "skipped attributes update of unknown member");
  equal(request(1, new Uint8Array(0)), false);

  const v2 = (Path: string, Val: string): void => {
    const bytes = toBinary(RequestSchema, create(RequestSchema, { Method: "PUT", Path, Val }));
    hook.applyV2Request(bytes, 0, bytes.length, at());
  };
  v2("/0/members/5/attributes", '{"name":"v2","clientURLs":["http://e:1"]}');
  deepEqual(
    [membership.members.get(5n)?.name, membership.members.get(5n)?.clientUrls],
    ["v2", ["http://e:1"]],
  );
  v2("/0/version", "3.5.0");
  equal(membership.clusterVersion, "3.5.0");
  throws(() => v2("/1/key", "x"), /v2 request/);
});

test("a cluster version beyond this server's ends the thread, as in etcd; a lower one is taken", () => {
  const { hook, at, membership } = setUp();
  const set = (ver: string): boolean => {
    const bytes = toBinary(ClusterVersionSetRequestSchema, create(ClusterVersionSetRequestSchema, { ver }));
    return hook.applyRequest(RaftField.clusterVersionSet, bytes, 0, bytes.length, -1, at());
  };
  for (const version of ["3.6.0", "3.5.0"]) {
    set(version);
    equal(membership.clusterVersion, version);
  }
  throws(() => set("3.99.0"), /lower than determined cluster version 3.99.0/);
});
