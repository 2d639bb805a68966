/** What main knows of the other threads' state: copies of the last status records. Written by the router only. */
export class MemberStatus {
  term = 0;
  /** 0n while no leader is known. */
  leaderId = 0n;
  isLeader = false;
  leaderChanges = 0;
  commitIndex = 0;
  lastIndex = 0;
  appliedIndex = 0;
  revision = 1;
  compactRevision = -1;
  /** Bytes of the database file. */
  dbBytes = 0;
  /** Bytes of it that hold data. */
  dbInUseBytes = 0;
  /** Consistent index that storage holds durably. */
  durableIndex = 0;
  /** Requests that got no answer in time; what apply refuses is an answer. */
  proposalsFailed = 0;
}
