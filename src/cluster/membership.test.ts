import { test } from "node:test";
import { deepEqual, equal } from "node:assert/strict";
import { Membership, formatMember, parseMember, type Member } from "./membership.ts";

const member = (id: bigint): Member => ({
  id,
  name: "",
  peerUrls: ["http://127.0.0.1:2380"],
  clientUrls: [],
  isLearner: false,
});
const nowhere = { put: () => undefined, delete: () => undefined };

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
  for (const id of [9n, 2n, 0xffff_ffff_ffff_ffffn]) membership.add(member(id), nowhere);
  deepEqual([...membership.members.keys()], [2n, 9n, 0xffff_ffff_ffff_ffffn]);
});

test("what was written restores to the same membership", () => {
  const written: Array<{ key: Uint8Array; value: Uint8Array }> = [];
  const sink = {
    put: (_b: string, key: Uint8Array, value: Uint8Array) => void written.push({ key, value }),
    delete: () => undefined,
  };
  const before = new Membership();
  before.add(member(3n), sink);
  before.setAttributes(3n, "three", ["http://c:3"], sink);
  const after = new Membership();
  after.restore(written.slice(-1), [], "3.6.0");
  deepEqual([...after.members.values()], [...before.members.values()]);
});

test("attributes of a member that is not there are ignored", () => {
  const membership = new Membership();
  membership.setAttributes(5n, "x", [], nowhere);
  equal(membership.members.size, 0);
});
