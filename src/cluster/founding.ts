/** Who founds a cluster: `--initial-cluster`, or what a discovery service said in its form. Every founder computes the same. */

import { type Sha1, clusterId, memberId } from "./identity.ts";

/** A member as the flags of a start describe it. */
export interface PlannedMember {
  readonly id: bigint;
  readonly name: string;
  /** Sorted. */
  readonly peerUrls: readonly string[];
}

/** Ascending by id. */
export interface PlannedCluster {
  readonly clusterId: bigint;
  readonly members: readonly PlannedMember[];
}

/**
 * Computes the ids of all members and of the cluster.
 * @param urlsByName peer URLs, sorted, by member name
 * @param token `--initial-cluster-token`, or the discovery token
 */
export function planCluster(
  urlsByName: ReadonlyMap<string, readonly string[]>,
  token: string,
  sha1: Sha1,
): PlannedCluster {
  const members = [...urlsByName].map(([name, peerUrls]) => ({
    id: memberId(peerUrls, token, "", sha1),
    name,
    peerUrls,
  }));
  members.sort((a, b) => (a.id < b.id ? -1 : 1));
  const ids = members.map(({ id }) => id);
  return { clusterId: clusterId(ids, sha1), members };
}

/** True if two members, or one member twice, have the same URL. */
export function hasDuplicateUrl(urlsByName: ReadonlyMap<string, readonly string[]>): boolean {
  const urls = [...urlsByName.values()].flat();
  return new Set(urls).size !== urls.length;
}

/** Peer URLs of all members but `name`, sorted: whom a start asks about the cluster. */
export function otherPeerUrls(members: readonly PlannedMember[], name: string): string[] {
  return members
    .filter((member) => member.name !== name)
    .flatMap(({ peerUrls }) => peerUrls)
    .sort();
}
