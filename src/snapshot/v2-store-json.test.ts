import assert from "node:assert/strict";
import { test } from "node:test";

import { v2StoreJson } from "./v2-store-json.ts";

interface Node {
  readonly Path: string;
  readonly Value: string;
  readonly Children: Readonly<Record<string, Node>> | null;
}

const text = (contents: Parameters<typeof v2StoreJson>[0]): string =>
  Buffer.from(v2StoreJson(contents)).toString();

/** Paths of all files and empty directories, with the files' values. */
function leavesOf(node: Node): Array<[string, string | null]> {
  if (node.Children === null) return [[node.Path, node.Value]];
  const children = Object.values(node.Children);
  return children.length === 0 ? [[node.Path, null]] : children.flatMap(leavesOf);
}

test("members, removed ones and the version stand where etcd before 3.6 looks for them", () => {
  const json = text({
    index: 12,
    members: [
      { id: 0xa1n, name: "one", peerUrls: ["http://p1"], clientUrls: ["http://c1"], isLearner: false },
      { id: 0xb2n, name: "", peerUrls: ["http://p2"], clientUrls: [], isLearner: true },
    ],
    removed: ["c3"],
    clusterVersion: "3.6.0",
  });
  const parsed = JSON.parse(json) as { Root: Node; CurrentIndex: number; CurrentVersion: number };
  assert.deepEqual(Object.keys(parsed), ["Root", "CurrentIndex", "CurrentVersion"]);
  assert.equal(parsed.CurrentIndex, 12);
  assert.equal(parsed.CurrentVersion, 2);
  assert.deepEqual(leavesOf(parsed.Root), [
    ["/0/members/a1/raftAttributes", '{"peerURLs":["http://p1"]}'],
    ["/0/members/a1/attributes", '{"name":"one","clientURLs":["http://c1"]}'],
    ["/0/members/b2/raftAttributes", '{"peerURLs":["http://p2"],"isLearner":true}'],
    ["/0/removed_members/c3", ""],
    ["/0/version", "3.6.0"],
    ["/1", null],
  ]);
});

test("what is undecided or empty is left out", () => {
  const parsed = JSON.parse(text({ index: 1, members: [], removed: [], clusterVersion: "" })) as {
    Root: Node;
  };
  assert.deepEqual(leavesOf(parsed.Root), [
    ["/0/members", null],
    ["/1", null],
  ]);
});
