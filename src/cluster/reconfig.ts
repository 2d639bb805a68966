/**
 * The checks before a membership change is proposed, as etcd makes them: whether the cluster would keep its quorum
 * (`--strict-reconfig-check`), and whether a learner has caught up. Pure; what is connected, and since when, are arguments.
 * What is checked when a change is applied: `membership.ts`.
 */

import { ErrorId } from "../base/errors.ts";
import { formatId } from "./identity.ts";
import type { Member } from "./membership.ts";

/** A connection counts as healthy when it has worked for so long. */
export const HEALTHY_MS_MIN = 5000;
/** A learner may vote when it holds this part of the leader's log. */
const READY_RATIO_MIN = 0.9;

/** What raft knows of the others; the part of its report that the checks need. Ids are lower-case hex. */
export interface GroupReport {
  readonly lastIndex: number;
  /** By member, this one left out: since when its connection works, Unix ms; 0 = it does not. */
  readonly activeSinceMs: Readonly<Record<string, number>>;
  /** By member, on the leader only: up to where it is known to hold the log. Empty elsewhere. */
  readonly match: Readonly<Record<string, number>>;
}

/** The situation that a change is judged in. */
export interface ReconfigFacts {
  readonly members: readonly Member[];
  readonly selfId: bigint;
  readonly report: GroupReport;
  /** Unix ms. */
  readonly nowMs: number;
}

/** Whether a member may be added: an ErrorId, 0 = it may. The new one counts as down. */
export function checkAdd(facts: ReconfigFacts, isLearner: boolean): number {
  const voters = votersOf(facts);
  if (!isLearner && !mayAddVoter(voters)) return ErrorId.memberNotEnoughStarted;
  // A cluster of one may always grow.
  if (voters.length === 1) return ErrorId.none;
  const connected = countConnected(facts, facts.nowMs - HEALTHY_MS_MIN);
  return connected >= quorum(voters.length + 1) ? ErrorId.none : ErrorId.unhealthy;
}

/** Whether member `id`, which may be unknown, may be removed. */
export function checkRemove(facts: ReconfigFacts, id: bigint): number {
  const voters = votersOf(facts);
  if (facts.members.some((member) => member.id === id && member.isLearner)) return ErrorId.none;
  const others = voters.filter((member) => member.id !== id);
  if (countStarted(others) < quorum(others.length)) return ErrorId.memberNotEnoughStarted;
  // One that is down is no part of the quorum that works now.
  if (id !== facts.selfId && activeSince(facts, id) === 0) return ErrorId.none;
  const connected = countConnected(facts, facts.nowMs - HEALTHY_MS_MIN);
  return connected - 1 >= quorum(voters.length - 1) ? ErrorId.none : ErrorId.unhealthy;
}

/** Whether one more voter, which has caught up, leaves a quorum of started members. */
export function checkPromote(facts: ReconfigFacts): number {
  const voters = votersOf(facts);
  const isEnough = countStarted(voters) + 1 >= quorum(voters.length + 1);
  return isEnough ? ErrorId.none : ErrorId.memberNotEnoughStarted;
}

/** On the leader: whether member `id` has caught up. A voter has; whoever is not a learner is refused when the change is applied. */
export function checkReady({ report, selfId }: ReconfigFacts, id: bigint): number {
  const match = report.match[formatId(id)];
  if (match === undefined) return ErrorId.memberNotFound;
  const leaderMatch = report.match[formatId(selfId)] ?? report.lastIndex;
  return match / leaderMatch < READY_RATIO_MIN ? ErrorId.learnerNotReady : ErrorId.none;
}

/** Whether this member has had a connection to a quorum of the voters since then (Unix ms). */
export function isConnectedToQuorum(facts: ReconfigFacts, sinceMs: number): boolean {
  return countConnected(facts, sinceMs) >= quorum(votersOf(facts).length);
}

/** Whether the connection to a member has worked since then (Unix ms). */
export function isConnectedSince(facts: ReconfigFacts, id: bigint, sinceMs: number): boolean {
  const since = activeSince(facts, id);
  return since !== 0 && since < sinceMs;
}

function votersOf({ members }: ReconfigFacts): Member[] {
  return members.filter((member) => !member.isLearner);
}

/** The started ones must make a quorum with the new member; but one that runs may always get a second, to restore its cluster. */
function mayAddVoter(voters: readonly Member[]): boolean {
  const started = countStarted(voters);
  if (started === 1 && voters.length === 1) return true;
  return started >= quorum(voters.length + 1);
}

/** Members that have told their name have started. */
function countStarted(members: readonly Member[]): number {
  return members.filter((member) => member.name !== "").length;
}

function quorum(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

function activeSince({ report }: ReconfigFacts, id: bigint): number {
  return report.activeSinceMs[formatId(id)] ?? 0;
}

function countConnected(facts: ReconfigFacts, sinceMs: number): number {
  return votersOf(facts).filter(({ id }) => id === facts.selfId || isConnectedSince(facts, id, sinceMs))
    .length;
}
