/**
 * Bugs that a run can be asked to plant: each must be found, or the simulation is blind to its kind. They are planted from outside, at
 * the seams that tests have anyway; the product knows nothing of them.
 */

import { RaftLog } from "../../src/raft/core/raft-log.ts";
import type { LogStorage } from "../../src/raft/log-storage.ts";
import type { Consensus } from "../../src/raft/raft.ts";

export const CANARIES = [
  /** A member acknowledges entries before its disk has them. */
  "early-acknowledge",
  /** The vote does not survive a crash. */
  "forgotten-vote",
  /** A leader answers reads without asking whether it still leads. */
  "unconfirmed-read",
  /** Entries go to the state machine before they are committed. */
  "early-apply",
  /** Members vote for candidates whose logs lack what theirs hold. */
  "blind-vote",
  /** Members append without looking whether the entry in front is the leader's (Raft thesis, section 3.5). */
  "unchecked-append",
] as const;

export type Canary = (typeof CANARIES)[number];

/** Spoils the core's log for all members of a run; returns what undoes it. */
export function plantInCore(canary: Canary | null): () => void {
  const log = RaftLog.prototype;
  const whole = Object.getOwnPropertyDescriptors(log);
  if (canary === "blind-vote") log.isUpToDate = () => true;
  if (canary === "unchecked-append") {
    log.matches = function ({ index }): boolean {
      return index <= this.lastIndex;
    };
  }
  return () => {
    Object.defineProperties(log, whole);
  };
}

/** The member's log, spoilt if the canary asks for it. */
export function plantInStorage(canary: Canary | null, storage: LogStorage): LogStorage {
  if (canary !== "forgotten-vote") return storage;
  return new Proxy(storage, {
    get: (target, key) => {
      if (key === "appendHardState") {
        return (state: Parameters<LogStorage["appendHardState"]>[0]) =>
          target.appendHardState({ ...state, vote: 0n });
      }
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Spoils one member's core as its loop sees it. */
export function plantInConsensus(canary: Canary | null, consensus: Consensus): void {
  if (canary === "unconfirmed-read") {
    consensus.immediateReadIndex = () => (consensus.isLeader ? consensus.commitIndex : -1);
  } else if (canary === "early-apply") {
    Object.defineProperty(consensus, "commitIndex", { get: () => consensus.lastIndex });
  }
}
