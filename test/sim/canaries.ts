/**
 * Bugs that a run can be asked to plant: each must be found, or the simulation is blind to its kind. They are planted from outside, at
 * the seams that tests have anyway; the product knows nothing of them.
 */

import { RaftLog } from "../../src/raft/core/raft-log.ts";
import type { LogStorage } from "../../src/raft/log-storage.ts";
import type { Consensus } from "../../src/raft/raft.ts";
import type { EventHistory } from "../../src/watch/event-history.ts";
import { ResponseWriter } from "../../src/watch/response-writer.ts";
import { WatchRegistry } from "../../src/watch/watch-registry.ts";

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
  /** A watcher that has caught up misses the revision behind what it has read. */
  "lost-at-sync",
  /** A watcher that falls behind, or resumes, is sent the last revision again. */
  "delivered-twice",
  /** Progress is told one revision too early. */
  "lying-progress",
  /** A new primary counts leases' time by the clock of the old one. */
  "old-leaders-clock",
  /** A new primary gives leases their whole TTL whatever was checkpointed. */
  "ignored-checkpoint",
  /** Keep-alives are answered, and not made. */
  "forgotten-renewal",
] as const;

export type Canary = (typeof CANARIES)[number];

/** Spoils shared code for all members of a run; returns what undoes it. */
export function plantInCode(canary: Canary | null): () => void {
  const removals = [plantInLog(canary), plantInWatch(canary)];
  return () => removals.forEach((remove) => remove());
}

function plantInLog(canary: Canary | null): () => void {
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

function plantInWatch(canary: Canary | null): () => void {
  const [registry, writer] = [WatchRegistry.prototype, ResponseWriter.prototype];
  const [wholeRegistry, wholeWriter] = [registry, writer].map((each) =>
    Object.getOwnPropertyDescriptors(each),
  );
  const fallBehind = wholeRegistry.fallBehind.value as WatchRegistry["fallBehind"];
  const control = wholeWriter.control.value as ResponseWriter["control"];
  if (canary === "delivered-twice") {
    registry.fallBehind = function (watcher, revision): void {
      fallBehind.call(this, watcher, revision);
      if (revision > 1) this.watchers.next[watcher] = revision - 1;
    };
  } else if (canary === "lying-progress") {
    writer.control = function (stream, response): void {
      const isProgress = response.created !== true && response.canceled !== true;
      control.call(this, stream, isProgress ? { ...response, revision: response.revision + 1 } : response);
    };
  }
  return () => {
    Object.defineProperties(registry, wholeRegistry);
    Object.defineProperties(writer, wholeWriter);
  };
}

/** A member's history, as its watch thread reads it. */
export function plantInHistory(canary: Canary | null, history: EventHistory): EventHistory {
  if (canary !== "lost-at-sync") return history;
  return {
    read: (from, to, visit, result, question) => {
      const done = history.read(from, to, visit, result, question);
      result.through++;
      return done;
    },
    refresh: () => history.refresh(),
    close: () => history.close(),
  };
}

/** The member's log, spoilt if the canary asks for it. */
export function plantInStorage(canary: Canary | null, storage: LogStorage): LogStorage {
  if (canary !== "forgotten-vote") return storage;
  return new Proxy(storage, {
    get: (target, key) => {
      if (key === "appendHardState") {
        return (...[state, mustSync]: Parameters<LogStorage["appendHardState"]>) =>
          target.appendHardState({ ...state, vote: 0n }, mustSync);
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
