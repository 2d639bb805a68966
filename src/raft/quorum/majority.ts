import { assert } from "../../base/assert.ts";
import type { NodeSet } from "./node-set.ts";
import { UNBOUNDED_INDEX, type AckedIndexes, type VoteResult } from "./quorum.ts";

/** Voters of one majority. More of them would make every heartbeat round expensive; etcd advises seven at most. */
export const VOTERS_MAX = 1024;

/** Reused by {@link majorityCommittedIndex}, which runs for every acknowledgement and never calls itself. */
const sortedIndexes = new Float64Array(VOTERS_MAX);

/** How many of `size` voters decide. */
export function quorumSize(size: number): number {
  return Math.floor(size / 2) + 1;
}

/** The highest index that a majority of `voters` holds, 0 if too few have reported. */
export function majorityCommittedIndex(voters: NodeSet, acked: AckedIndexes): number {
  const ids = voters.ids;
  if (ids.length === 0) return UNBOUNDED_INDEX;
  assert(ids.length <= VOTERS_MAX, "too many voters", ids.length, VOTERS_MAX);
  for (let i = 0; i < ids.length; i++) {
    insertAscending(i, Math.max(acked.ackedIndex(ids[i]), 0));
  }
  return sortedIndexes[ids.length - quorumSize(ids.length)];
}

/** Puts `index` in its place among the first `count` of {@link sortedIndexes}. */
function insertAscending(count: number, index: number): void {
  let at = count;
  for (; at > 0 && sortedIndexes[at - 1] > index; at--) sortedIndexes[at] = sortedIndexes[at - 1];
  sortedIndexes[at] = index;
}

/** Result of an election among `voters`; votes of others do not count. */
export function majorityVoteResult(voters: NodeSet, votes: ReadonlyMap<bigint, boolean>): VoteResult {
  if (voters.size === 0) return "won";
  let granted = 0;
  let missing = 0;
  for (const id of voters.ids) {
    const vote = votes.get(id);
    if (vote === undefined) missing++;
    else if (vote) granted++;
  }
  const needed = quorumSize(voters.size);
  if (granted >= needed) return "won";
  return granted + missing >= needed ? "pending" : "lost";
}
