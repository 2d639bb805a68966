import { test } from "node:test";
import { deepEqual, equal, throws } from "node:assert/strict";
import { ErrorId } from "../base/errors.ts";
import { ConfChangeType } from "../proto/conf-change.ts";
import {
  formatMember,
  formatPromotion,
  type Member,
  Membership,
  membersOfReport,
  parseMember,
  parseMemberChange,
  parseMembershipReport,
} from "./membership.ts";

const member = (id: bigint): Member => ({
  id,
  name: "",
  peerUrls: ["http://127.0.0.1:2380"],
  clientUrls: [],
  isLearner: false,
});
const nowhere = { put: () => undefined, delete: () => undefined };
const { addNode, addLearnerNode, removeNode, updateNode } = ConfChangeType;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** As its conf change says it. */
const change = (type: number, id: bigint, urls: readonly string[] = [`http://m${id}:2380`]) =>
  parseMemberChange(
    type,
    id,
    bytes(formatMember({ ...member(id), peerUrls: urls, isLearner: type === addLearnerNode })),
  );
const promotion = (id: bigint) => parseMemberChange(addNode, id, bytes(formatPromotion(id)));
const removal = (id: bigint) => parseMemberChange(removeNode, id, new Uint8Array(0));

/** Voters 1 and 2, learner 3; 4 was removed. */
function setUp() {
  const written = new Map<string, string>();
  const text = (value: Uint8Array): string => new TextDecoder().decode(value);
  const sink = {
    put: (bucket: string, key: Uint8Array, value: Uint8Array) =>
      void written.set(`${bucket}/${text(key)}`, text(value)),
    delete: (bucket: string, key: Uint8Array) => void written.delete(`${bucket}/${text(key)}`),
  };
  const membership = new Membership();
  for (const each of [
    change(addNode, 1n),
    change(addNode, 2n),
    change(addLearnerNode, 3n),
    change(addNode, 4n),
    removal(4n),
  ]) {
    equal(membership.validate(each, 1), ErrorId.none);
    membership.apply(each, sink);
  }
  return { membership, sink, written };
}

test("member JSON keeps a 64-bit id exact and etcd's key order", () => {
  const full: Member = {
    ...member(0xfedcba9876543210n),
    name: 'a"b',
    clientUrls: ["http://c:1"],
    isLearner: true,
  };
  equal(
    formatMember(full),
    '{"id":18364758544493064720,"peerURLs":["http://127.0.0.1:2380"],"isLearner":true,"name":"a\\"b","clientURLs":["http://c:1"]}',
  );
  deepEqual(parseMember(new TextEncoder().encode(formatMember(full))), full);
});

test("a conf change's context without URLs parses", () => {
  deepEqual(parseMember(new TextEncoder().encode('{"id":7,"peerURLs":null,"isPromote":true}')).peerUrls, []);
});

test("members come in ascending id order", () => {
  const membership = new Membership();
  for (const id of [9n, 2n, 0xffff_ffff_ffff_ffffn]) membership.apply(change(addNode, id), nowhere);
  deepEqual([...membership.members.keys()], [2n, 9n, 0xffff_ffff_ffff_ffffn]);
});

test("what was written restores to the same membership", () => {
  const written: Array<{ key: Uint8Array; value: Uint8Array }> = [];
  const sink = {
    put: (_b: string, key: Uint8Array, value: Uint8Array) => void written.push({ key, value }),
    delete: () => undefined,
  };
  const before = new Membership();
  before.apply(change(addNode, 3n), sink);
  before.setAttributes(3n, "three", ["http://c:3"], sink);
  const after = new Membership();
  after.restore(written.slice(-1), [], "3.6.0");
  deepEqual([...after.members.values()], [...before.members.values()]);
});

test("attributes of a member that is not there are ignored", () => {
  const membership = new Membership();
  equal(membership.setAttributes(5n, "x", [], nowhere), false);
  equal(membership.members.size, 0);
});

test("the last voter stays, whoever else is there; learners go", () => {
  const { membership } = setUp();
  equal(membership.validate(removal(1n), 1), ErrorId.none);
  equal(membership.validate(removal(2n), 1), ErrorId.none);
  membership.apply(removal(2n), nowhere);
  equal(membership.validate(removal(1n), 1), ErrorId.memberNotEnoughStarted);
  equal(membership.validate(removal(3n), 1), ErrorId.none);
  membership.apply(promotion(3n), nowhere);
  equal(membership.validate(removal(1n), 1), ErrorId.none);
});

test("a change is judged in etcd's order", () => {
  const { membership } = setUp();
  const cases: Array<[what: string, change: Parameters<Membership["validate"]>[0], errorId: number]> = [
    ["a removed id comes back", change(addNode, 4n), ErrorId.memberNotFound],
    ["a removed id is removed", removal(4n), ErrorId.memberNotFound],
    ["an id that is there", change(addNode, 1n, ["http://other:1"]), ErrorId.memberExist],
    ["a learner whose id is there", change(addLearnerNode, 1n), ErrorId.memberExist],
    ["a URL in use", change(addNode, 9n, ["http://other:1", "http://m2:2380"]), ErrorId.peerUrlExist],
    ["a learner with a URL in use", change(addLearnerNode, 9n, ["http://m2:2380"]), ErrorId.peerUrlExist],
    ["one learner too many", change(addLearnerNode, 9n), ErrorId.tooManyLearners],
    ["a voter beside the learner", change(addNode, 9n), ErrorId.none],
    ["the URL of the removed one", change(addNode, 9n, ["http://m4:2380"]), ErrorId.none],
    ["promote nobody", promotion(9n), ErrorId.memberNotFound],
    ["promote a voter", promotion(2n), ErrorId.memberNotLearner],
    ["promote the learner", promotion(3n), ErrorId.none],
    ["remove nobody", removal(9n), ErrorId.memberNotFound],
    ["update nobody", change(updateNode, 9n), ErrorId.memberNotFound],
    ["another's URL", change(updateNode, 1n, ["http://m3:2380"]), ErrorId.peerUrlExist],
    ["its own URL", change(updateNode, 1n), ErrorId.none],
  ];
  for (const [what, each, errorId] of cases) equal(membership.validate(each, 1), errorId, what);
  equal(membership.validate(change(addLearnerNode, 9n), 2), ErrorId.none, "more learners allowed");
});

test("what changes is written in etcd's schema, with the configuration that raft has", () => {
  const { membership, sink, written } = setUp();
  membership.setAttributes(3n, "three", ["http://c:3"], sink);
  equal(written.get("meta/confState"), '{"voters":[1,2],"learners":[3],"auto_leave":false}');
  membership.apply(promotion(3n), sink);
  membership.apply(change(updateNode, 2n, ["http://new:2380"]), sink);
  membership.apply(removal(1n), sink);
  deepEqual(Object.fromEntries(written), {
    "meta/confState": '{"voters":[2,3],"auto_leave":false}',
    "members/2": '{"id":2,"peerURLs":["http://new:2380"]}',
    "members/3": '{"id":3,"peerURLs":["http://m3:2380"],"name":"three","clientURLs":["http://c:3"]}',
    "members_removed/1": "removed",
    "members_removed/4": "removed",
  });
});

test("an update leaves name, client URLs and role alone", () => {
  const { membership } = setUp();
  membership.setAttributes(3n, "three", ["http://c:3"], nowhere);
  membership.apply(change(updateNode, 3n, ["http://new:2380"]), nowhere);
  deepEqual(membership.members.get(3n), {
    id: 3n,
    name: "three",
    peerUrls: ["http://new:2380"],
    clientUrls: ["http://c:3"],
    isLearner: true,
  });
});

test("a context of another member than the change is refused", () => {
  throws(() => parseMemberChange(addNode, 5n, bytes('{"id":6,"peerURLs":[]}')), /describes 6/);
});

test("a report goes there and back with 64-bit ids", () => {
  const membership = new Membership();
  membership.apply(change(addNode, 0xffff_ffff_ffff_fff1n), nowhere);
  membership.setClusterVersion("3.6.0", nowhere);
  const report = parseMembershipReport(bytes(JSON.stringify(membership.report(12))));
  deepEqual(membersOfReport(report), [...membership.members.values()]);
  deepEqual([report.index, report.clusterVersion, report.removed], [12, "3.6.0", []]);
});
