/** What the raft thread tells main when asked (record `raftReport`): for the checks before a membership change, and for Status. */

/** JSON of the answer. Ids are lower-case hex. */
export interface RaftReport {
  readonly leader: string;
  readonly isLeader: boolean;
  readonly lastIndex: number;
  readonly confState: {
    readonly voters: readonly string[];
    readonly learners: readonly string[];
  };
  /** By member, this one left out: since when its peer connection works without interruption, Unix ms; 0 = it does not. */
  readonly activeSinceMs: Readonly<Record<string, number>>;
  /** By member, on the leader only: the index up to which it is known to hold the log. */
  readonly match: Readonly<Record<string, number>>;
}
