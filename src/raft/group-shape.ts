import type { ConfState } from "./raft.ts";

/** What the configuration says of this member's company, as of the last conf change. */
export class GroupShape {
  readonly #nodeId: bigint;
  /** No other member in the configuration. An empty configuration is that of a member that waits to be told. */
  isAlone = false;
  /** There is one voter; and that one is this member. */
  hasSoleVoter = false;
  isSoleVoter = false;

  constructor(nodeId: bigint, confState: ConfState) {
    this.#nodeId = nodeId;
    this.note(confState);
  }

  note({ voters, learners, votersOutgoing }: ConfState): void {
    const isSelf = (id: bigint): boolean => id === this.#nodeId;
    this.hasSoleVoter = voters.length === 1 && votersOutgoing.length === 0;
    this.isSoleVoter = this.hasSoleVoter && voters.every(isSelf);
    this.isAlone = [...voters, ...learners, ...votersOutgoing].every(isSelf);
  }
}
