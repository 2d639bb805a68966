/**
 * The membership as etcd before 3.6 keeps it, a tree of its v2 store, in JSON: `Snapshot.data` of the message in front of a
 * snapshot. etcd 3.6 takes the members from the file and reads this only to find that nothing else is in it.
 */
import { formatId } from "../cluster/identity.ts";
import type { Member } from "../cluster/membership.ts";

/** What goes into the tree. */
export interface V2StoreContents {
  readonly index: number;
  readonly members: readonly Member[];
  /** Hex ids. */
  readonly removed: readonly string[];
  /** Empty while undecided. */
  readonly clusterVersion: string;
}

/** A file's value, or the entries of a directory. */
type Tree = string | { readonly [name: string]: Tree };

interface V2Node {
  readonly Path: string;
  readonly CreatedIndex: number;
  readonly ModifiedIndex: number;
  readonly ExpireTime: string;
  readonly Value: string;
  readonly Children: Readonly<Record<string, V2Node>> | null;
}

/** Go's zero time: never. */
const NO_TIME = "0001-01-01T00:00:00Z";
const STORE_VERSION = 2;

/**
 * The JSON, as bytes. It has no `WatcherHub` and no `Stats`: etcd makes them anew where they are missing, and would divide by the
 * capacity of an empty queue where they are empty.
 */
export function v2StoreJson(contents: V2StoreContents): Uint8Array {
  const { index, removed, clusterVersion } = contents;
  const cluster: Record<string, Tree> = { members: membersTree(contents.members) };
  if (removed.length > 0) cluster.removed_members = Object.fromEntries(removed.map((id) => [id, ""]));
  if (clusterVersion !== "") cluster.version = clusterVersion;
  const root = toNode("/", { "0": cluster, "1": {} }, index);
  return Buffer.from(JSON.stringify({ Root: root, CurrentIndex: index, CurrentVersion: STORE_VERSION }));
}

function membersTree(members: readonly Member[]): Tree {
  return Object.fromEntries(
    members.map((member) => {
      const raft = { peerURLs: member.peerUrls, ...(member.isLearner ? { isLearner: true } : {}) };
      const entry: Record<string, Tree> = { raftAttributes: JSON.stringify(raft) };
      // Only a member that has published itself has them.
      if (member.name !== "") {
        const clientUrls = member.clientUrls.length > 0 ? { clientURLs: member.clientUrls } : {};
        entry.attributes = JSON.stringify({ name: member.name, ...clientUrls });
      }
      return [formatId(member.id), entry];
    }),
  );
}

function toNode(path: string, tree: Tree, index: number): V2Node {
  const isFile = typeof tree === "string";
  const children = isFile
    ? null
    : Object.fromEntries(
        Object.entries(tree).map(([name, child]) => [
          name,
          toNode(path === "/" ? `/${name}` : `${path}/${name}`, child, index),
        ]),
      );
  return {
    Path: path,
    CreatedIndex: path === "/" ? 0 : index,
    ModifiedIndex: path === "/" ? 0 : index,
    ExpireTime: NO_TIME,
    Value: isFile ? tree : "",
    Children: children,
  };
}
