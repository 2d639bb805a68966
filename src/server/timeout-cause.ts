/** Why a request got no answer in time, in etcd's three texts. */

import { ErrorId } from "../base/errors.ts";
import { isConnectedSince, isConnectedToQuorum, type GroupReport } from "../cluster/reconfig.ts";
import type { MemberStatus } from "./member-status.ts";

/** A request that began shortly before the newest leader was elected may have been lost with the one before. */
const LEADER_LOSS_ELECTIONS = 2;

export interface TimeoutFacts {
  readonly status: MemberStatus;
  readonly electionTimeoutMs: number;
  /** Null when raft was not asked. */
  readonly report: GroupReport | null;
  /** The same moment by both clocks: performance.now() and Unix ms. */
  readonly nowMs: number;
  readonly nowUnixMs: number;
}

/** ErrorId for a request that began at `startedMs` of performance.now(). */
export function timeoutCause(facts: TimeoutFacts, startedMs: number): number {
  const { status, report } = facts;
  const lostMs = status.leaderElectedMs - LEADER_LOSS_ELECTIONS * facts.electionTimeoutMs;
  if (startedMs > lostMs && startedMs < status.leaderElectedMs) return ErrorId.timeoutDueToLeaderFail;
  if (status.leaderId === 0n || report === null) return ErrorId.timeout;
  const sinceMs = facts.nowUnixMs - (facts.nowMs - startedMs);
  const group = { members: status.members, selfId: status.memberId, report, nowMs: facts.nowUnixMs };
  const connected = status.isLeader
    ? isConnectedToQuorum(group, sinceMs)
    : isConnectedSince(group, status.leaderId, sinceMs);
  return connected ? ErrorId.timeout : ErrorId.timeoutDueToConnectionLost;
}
