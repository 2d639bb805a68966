import { majorityCommittedIndex, majorityVoteResult } from "./majority.ts";
import { NodeSet } from "./node-set.ts";
import type { AckedIndexes, VoteResult } from "./quorum.ts";

/**
 * The voters, of one majority or of two: while a joint change is under way (Raft thesis, section 4.3) a decision needs a majority
 * of the incoming voters and one of the outgoing. Outside such a change `outgoing` is empty. Immutable.
 */
export class JointConfig {
  readonly incoming: NodeSet;
  readonly outgoing: NodeSet;
  /** Voters of either half. */
  readonly all: NodeSet;

  constructor(incoming: NodeSet, outgoing: NodeSet = NodeSet.empty) {
    this.incoming = incoming;
    this.outgoing = outgoing;
    this.all = outgoing.size === 0 ? incoming : incoming.union(outgoing);
  }

  get isJoint(): boolean {
    return this.outgoing.size > 0;
  }

  /** The highest index that both halves have committed. */
  committedIndex(acked: AckedIndexes): number {
    const incoming = majorityCommittedIndex(this.incoming, acked);
    return this.isJoint ? Math.min(incoming, majorityCommittedIndex(this.outgoing, acked)) : incoming;
  }

  /** Won if both halves won, lost as soon as one is. */
  voteResult(votes: ReadonlyMap<bigint, boolean>): VoteResult {
    const incoming = majorityVoteResult(this.incoming, votes);
    const outgoing = majorityVoteResult(this.outgoing, votes);
    if (incoming === outgoing) return incoming;
    return incoming === "lost" || outgoing === "lost" ? "lost" : "pending";
  }

  /** `(1 2 3)`, or `(1 2 3)&&(2 3 4)`. */
  toString(): string {
    return this.isJoint
      ? `${this.incoming.toString()}&&${this.outgoing.toString()}`
      : this.incoming.toString();
  }
}
