/** Bugs that a run can be asked to plant: each must be found, or the simulation is blind to its kind. */

export const CANARIES = [
  /** A member acknowledges entries before its disk has them. */
  "early-acknowledge",
  /** Term and vote do not survive a crash. */
  "forgotten-vote",
  /** A leader answers reads without asking whether it still leads. */
  "unconfirmed-read",
  /** Entries go to the state machine before they are committed. */
  "early-apply",
  /** A leader takes an entry of an older term for committed as soon as a quorum holds it (Raft, figure 8). */
  "older-term-commit",
] as const;

export type Canary = (typeof CANARIES)[number];
