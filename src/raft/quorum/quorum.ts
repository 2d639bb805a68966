/**
 * The arithmetic of quorums: which index a set of voters has committed, and who won a vote. Pure functions of their arguments.
 *
 * A configuration without voters commits everything and wins every vote, so that the empty half of a joint configuration leaves
 * the decision to the other half.
 *
 * Read next: `majority.ts` (one set of voters), `joint.ts` (two of them during a change, Raft thesis section 4.3).
 */

/** What voters have acknowledged. */
export interface AckedIndexes {
  /** Highest index that `voterId` is known to hold, -1 if it has not reported. */
  ackedIndex(voterId: bigint): number;
}

/** The state of an election. */
export type VoteResult = "pending" | "lost" | "won";

/** Commit index of a configuration without voters. */
export const UNBOUNDED_INDEX = Infinity;
