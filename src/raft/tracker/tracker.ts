/**
 * What a member tracks of its group: the configuration, the votes of an election, and, on a leader, how far each member is.
 *
 * It decides nothing about messages; the core moves each {@link Progress}. The configuration changes only as a whole, by
 * {@link ProgressTracker.setConfiguration}, with what `../confchange/changer.ts` worked out.
 *
 * Read next: `progress.ts` (one member), `inflights.ts` (its window), `configuration.ts`.
 */
import { compareIds } from "../quorum/node-set.ts";
import type { AckedIndexes, VoteResult } from "../quorum/quorum.ts";
import type { ConfState } from "../raft.ts";
import { Configuration } from "./configuration.ts";
import type { Progress } from "./progress.ts";

/** The progress of every member of a configuration. */
export type ProgressMap = ReadonlyMap<bigint, Progress>;

/** Limits of the window of each follower. */
export interface InflightLimits {
  readonly inflightCountMax: number;
  /** 0 = not limited. */
  readonly inflightBytesMax: number;
}

/** The count of an election. Learners' votes are not in it. */
export interface VoteTally {
  readonly granted: number;
  readonly rejected: number;
  readonly result: VoteResult;
}

export class ProgressTracker implements AckedIndexes {
  readonly limits: InflightLimits;
  #configuration = Configuration.empty;
  #progress: ProgressMap = new Map();
  #members: readonly Progress[] = [];
  readonly #votes = new Map<bigint, boolean>();

  constructor(limits: InflightLimits) {
    this.limits = limits;
  }

  get configuration(): Configuration {
    return this.#configuration;
  }

  get progress(): ProgressMap {
    return this.#progress;
  }

  /** Every member by ascending id, this one included. */
  get members(): readonly Progress[] {
    return this.#members;
  }

  get confState(): ConfState {
    return this.#configuration.confState();
  }

  /** True if one voter decides alone. */
  get isSingleton(): boolean {
    const { incoming, isJoint } = this.#configuration.voters;
    return incoming.size === 1 && !isJoint;
  }

  get(id: bigint): Progress | undefined {
    return this.#progress.get(id);
  }

  /** `progress` must hold exactly the members of `configuration`. Takes both over. */
  setConfiguration(configuration: Configuration, progress: ProgressMap): void {
    this.#configuration = configuration;
    this.#progress = progress;
    this.#members = [...progress.values()].sort((a, b) => compareIds(a.id, b.id));
  }

  /** Replaces every member's progress, as at the begin of a term. */
  resetProgress(make: (old: Progress) => Progress): void {
    const fresh = this.#members.map((old) => [old.id, make(old)] as const);
    this.setConfiguration(this.#configuration, new Map(fresh));
  }

  ackedIndex(voterId: bigint): number {
    return this.#progress.get(voterId)?.match ?? -1;
  }

  /** The highest index that a quorum holds. */
  committedIndex(): number {
    return this.#configuration.voters.committedIndex(this);
  }

  /** True if a quorum of voters was heard of since {@link Progress.recentActive} was cleared. */
  isQuorumActive(): boolean {
    const active = new Map<bigint, boolean>();
    for (const member of this.#members) {
      if (!member.isLearner) active.set(member.id, member.recentActive);
    }
    return this.#configuration.voters.voteResult(active) === "won";
  }

  resetVotes(): void {
    this.#votes.clear();
  }

  /** The first vote of a member counts. */
  recordVote(id: bigint, granted: boolean): void {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
  }

  tallyVotes(): VoteTally {
    let granted = 0;
    let rejected = 0;
    for (const member of this.#members) {
      const vote = member.isLearner ? undefined : this.#votes.get(member.id);
      if (vote === true) granted++;
      else if (vote === false) rejected++;
    }
    return { granted, rejected, result: this.#configuration.voters.voteResult(this.#votes) };
  }
}

/** One line a member, by ascending id. */
export function describeProgress(progress: ProgressMap): string {
  const members = [...progress.values()].sort((a, b) => compareIds(a.id, b.id));
  return members.map((member) => `${member.id}: ${member.toString()}\n`).join("");
}
