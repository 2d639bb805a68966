/** A member that joins a running cluster finds itself in it: the cluster knows its URLs since it was added, and gave it an id. */

import type { PlannedMember } from "./founding.ts";
import { formatId } from "./identity.ts";
import type { Member } from "./membership.ts";
import { type ResolveHost, findUrlDifference } from "./peer-urls.ts";

/** The ids by name, or why the flags and the cluster do not fit together, in etcd's words. */
export type Matched =
  | { readonly idByName: ReadonlyMap<string, bigint>; readonly problem?: undefined }
  | { readonly problem: string };

/**
 * Gives each member of the flags the id of the existing member with the same peer URLs. There must be one for each, both ways.
 */
export async function matchMembers(
  planned: readonly PlannedMember[],
  existing: readonly Member[],
  resolve: ResolveHost,
): Promise<Matched> {
  if (planned.length !== existing.length) return { problem: "member count is unequal" };
  const idByName = new Map<string, bigint>();
  for (const member of existing) {
    let difference: string | undefined;
    let name: string | undefined;
    for (const candidate of planned) {
      difference = await findUrlDifference(member.peerUrls, candidate.peerUrls, resolve);
      if (difference === undefined) name = candidate.name;
      if (name !== undefined) break;
    }
    if (name === undefined) {
      const urls = `[${member.peerUrls.join(" ")}]`;
      return {
        problem:
          `PeerURLs: no match found for existing member (${formatId(member.id)}, ${urls}), ` +
          `last resolver error (${difference})`,
      };
    }
    idByName.set(name, member.id);
  }
  return { idByName };
}

/** A cluster as Go prints it, for the text of an error. */
export function describeCluster(clusterId: bigint, members: readonly Member[]): string {
  const list = members.map(
    (member) =>
      `&{ID:${formatId(member.id)} RaftAttributes:{PeerURLs:[${member.peerUrls.join(" ")}] IsLearner:${member.isLearner}} ` +
      `Attributes:{Name:${member.name} ClientURLs:[${member.clientUrls.join(" ")}]}}`,
  );
  return `{ClusterID:${formatId(clusterId)} Members:[${list.join(" ")}] RemovedMemberIDs:[]}`;
}

/** True if a cluster has more learners than `--max-learners` allows. */
export function hasTooManyLearners(members: readonly Member[], learnersMax: number): boolean {
  return members.filter(({ isLearner }) => isLearner).length > learnersMax;
}
