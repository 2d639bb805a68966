import { JointConfig } from "../quorum/joint.ts";
import { NodeSet } from "../quorum/node-set.ts";
import type { ConfState } from "../raft.ts";

/**
 * Who belongs to the group, and in which role. Immutable. No learner is a voter of either half: a voter that a joint change turns
 * into a learner waits in `learnersNext` until the change is left.
 */
export class Configuration {
  static readonly empty = new Configuration({});

  readonly voters: JointConfig;
  readonly learners: NodeSet;
  /** Voters of the outgoing half which become learners when the joint configuration is left. */
  readonly learnersNext: NodeSet;
  /** The leader leaves this joint configuration by itself once it is applied. */
  readonly autoLeave: boolean;

  constructor(parts: {
    voters?: JointConfig;
    learners?: NodeSet;
    learnersNext?: NodeSet;
    autoLeave?: boolean;
  }) {
    this.voters = parts.voters ?? new JointConfig(NodeSet.empty);
    this.learners = parts.learners ?? NodeSet.empty;
    this.learnersNext = parts.learnersNext ?? NodeSet.empty;
    this.autoLeave = parts.autoLeave ?? false;
  }

  get isJoint(): boolean {
    return this.voters.isJoint;
  }

  confState(): ConfState {
    return {
      voters: this.voters.incoming.ids,
      learners: this.learners.ids,
      votersOutgoing: this.voters.outgoing.ids,
      learnersNext: this.learnersNext.ids,
      autoLeave: this.autoLeave,
    };
  }

  /** `voters=(1 2)&&(1 3) learners=(4) autoleave` */
  toString(): string {
    const words = [`voters=${this.voters.toString()}`];
    if (this.learners.size > 0) words.push(`learners=${this.learners.toString()}`);
    if (this.learnersNext.size > 0) words.push(`learners_next=${this.learnersNext.toString()}`);
    if (this.autoLeave) words.push("autoleave");
    return words.join(" ");
  }
}
