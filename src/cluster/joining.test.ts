import { createHash } from "node:crypto";
import { test } from "node:test";
import { deepEqual, equal } from "node:assert/strict";
import { hasDuplicateUrl, otherPeerUrls, planCluster } from "./founding.ts";
import { formatId } from "./identity.ts";
import { describeCluster, hasTooManyLearners, matchMembers } from "./joining.ts";
import type { Member } from "./membership.ts";
import { findUrlDifference } from "./peer-urls.ts";

const sha1 = (bytes: Uint8Array): Uint8Array => createHash("sha1").update(bytes).digest();
const ADDRESSES: Readonly<Record<string, string>> = { a: "10.0.0.1", b: "10.0.0.2", six: "fe80::1" };

function resolve(host: string): Promise<string> {
  const address = ADDRESSES[host] ?? (/^[\d.]+$/.test(host) || host.includes(":") ? host : undefined);
  return address === undefined ? Promise.reject(new Error(`no ${host}`)) : Promise.resolve(address);
}

function existing(id: bigint, peerUrls: readonly string[], isLearner = false): Member {
  return { id, name: "", peerUrls, clientUrls: [], isLearner };
}

test("founders have the ids that etcd gives them, ascending", () => {
  const urls = new Map([
    ["m1", ["http://127.0.0.1:43380"]],
    ["m2", ["http://127.0.0.1:43390"]],
  ]);
  const plan = planCluster(urls, "tok-z", sha1);
  deepEqual(
    plan.members.map(({ id, name }) => [formatId(id), name]),
    [
      ["2bbe8b54d6a7a1d7", "m2"],
      ["b8ea37086f531138", "m1"],
    ],
  );
  equal(formatId(plan.clusterId), "b48276a6c1cdda46");
  deepEqual(otherPeerUrls(plan.members, "m1"), ["http://127.0.0.1:43390"]);
  equal(hasDuplicateUrl(urls), false);
  equal(hasDuplicateUrl(new Map([...urls, ["m3", ["http://127.0.0.1:43390"]]])), true);
});

test("URLs are equal as text or by address, in any order", async () => {
  equal(
    await findUrlDifference(["http://x:1", "http://a:2"], ["http://a:2", "http://x:1"], resolve),
    undefined,
  );
  equal(await findUrlDifference(["http://a:1"], ["http://10.0.0.1:1"], resolve), undefined);
  equal(await findUrlDifference(["http://six:1"], ["http://[fe80::1]:1"], resolve), undefined);
  equal(await findUrlDifference(["unix://a:1"], ["unix://a:1"], resolve), undefined);
});

test("the difference is told in etcd's words", async () => {
  equal(
    await findUrlDifference(["http://a:1"], ["http://b:1"], resolve),
    'resolved urls: "http://10.0.0.1:1" != "http://10.0.0.2:1"',
  );
  equal(
    await findUrlDifference(["http://a:1"], ["https://a:1"], resolve),
    'resolved urls: "http://10.0.0.1:1" != "https://10.0.0.1:1"',
  );
  equal(
    await findUrlDifference(["http://a:1"], ["http://localhost:1"], resolve),
    'resolved urls: "http://10.0.0.1:1" != "http://localhost:1"',
  );
  equal(await findUrlDifference(["http://a:1"], [], resolve), 'len(["http://a:1"]) != len([])');
  equal(
    await findUrlDifference(["http://a:1"], ["http://zzz:1"], resolve),
    'failed to resolve "http://zzz:1" (no zzz)',
  );
});

test("a member that joins finds the ids of all members by their URLs", async () => {
  const { members } = planCluster(
    new Map([
      ["m1", ["http://a:1"]],
      ["m2", ["http://b:1", "http://b:2"]],
    ]),
    "",
    sha1,
  );
  const found = [existing(7n, ["http://10.0.0.1:1"]), existing(5n, ["http://b:2", "http://b:1"])];
  const matched = await matchMembers(members, found, resolve);
  deepEqual(
    "idByName" in matched && matched.idByName,
    new Map([
      ["m1", 7n],
      ["m2", 5n],
    ]),
  );
  deepEqual(await matchMembers(members, found.slice(1), resolve), { problem: "member count is unequal" });
  const stranger = [found[0], existing(0xabcn, ["http://10.0.0.9:1"])];
  const { problem } = await matchMembers(members, stranger, resolve);
  equal(
    problem?.startsWith(
      "PeerURLs: no match found for existing member (abc, [http://10.0.0.9:1]), last resolver error (",
    ),
    true,
    problem,
  );
});

test("a cluster is described as Go prints it", () => {
  equal(
    describeCluster(0x1fn, [existing(7n, ["http://a:1"], true)]),
    "{ClusterID:1f Members:[&{ID:7 RaftAttributes:{PeerURLs:[http://a:1] IsLearner:true} " +
      "Attributes:{Name: ClientURLs:[]}}] RemovedMemberIDs:[]}",
  );
});

test("more learners than allowed", () => {
  const members = [existing(1n, []), existing(2n, [], true)];
  deepEqual([hasTooManyLearners(members, 1), hasTooManyLearners(members, 0)], [false, true]);
});
