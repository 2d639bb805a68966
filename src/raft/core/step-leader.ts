import { MessageType, StepResult } from "../raft.ts";
import type { RaftMessage } from "../raft.ts";
import type { Progress } from "../tracker/progress.ts";
import { becomeFollower } from "./election.ts";
import { NONE } from "./messages.ts";
import { takeProposal } from "./proposals.ts";
import { hex } from "./raft-logger.ts";
import type { RaftState } from "./raft-state.ts";
import { releasePostponedReads, takeReadAcknowledgement, takeReadRequest } from "./reading.ts";
import {
  broadcastAppend,
  broadcastHeartbeat,
  maybeSendAppend,
  sendAppend,
  sendTimeoutNow,
  tryCommit,
} from "./replication.ts";

/** A leader's reaction to a message of its own term. Returns a {@link StepResult}. */
export function stepLeader(raft: RaftState, message: RaftMessage): number {
  switch (message.type) {
    case MessageType.beat:
      broadcastHeartbeat(raft, raft.reads.heartbeatContext);
      return StepResult.ok;
    case MessageType.checkQuorum:
      checkQuorum(raft);
      return StepResult.ok;
    case MessageType.prop:
      return takeProposal(raft, message.entries);
    case MessageType.readIndex:
      takeReadRequest(raft, message);
      return StepResult.ok;
    case MessageType.forgetLeader:
      return StepResult.ok;
    default:
      return stepOfMember(raft, message);
  }
}

/** Messages that concern one member of the configuration. */
function stepOfMember(raft: RaftState, message: RaftMessage): number {
  const progress = raft.tracker.get(message.from);
  if (progress === undefined) {
    raft.logger.debug(`${hex(raft.id)} no progress available for ${hex(message.from)}`);
    return StepResult.ok;
  }
  switch (message.type) {
    case MessageType.appResp:
      progress.recentActive = true;
      if (message.reject) takeRejection(raft, progress, message);
      else takeAcknowledgement(raft, progress, message.index);
      break;
    case MessageType.heartbeatResp:
      takeHeartbeatResponse(raft, progress, message.context);
      break;
    case MessageType.snapStatus:
      takeSnapshotStatus(raft, progress, message.reject);
      break;
    case MessageType.unreachable:
      takeUnreachable(raft, progress);
      break;
    case MessageType.transferLeader:
      transferLeadership(raft, progress);
      break;
    default:
  }
  return StepResult.ok;
}

/** Steps down unless a quorum was heard of since the last time (Raft thesis, section 6.2). */
function checkQuorum(raft: RaftState): void {
  const { tracker } = raft;
  if (!tracker.isQuorumActive()) {
    raft.logger.warning(`${hex(raft.id)} stepped down to follower since quorum is not active`);
    becomeFollower(raft, raft.term, NONE);
  }
  for (const member of tracker.members) if (member.id !== raft.id) member.recentActive = false;
}

/**
 * The follower's log differs in front of what was sent. Its hint says the last place where the logs may agree; where our log has
 * a lower term than the hint's there, whole terms are skipped on this side too.
 */
function takeRejection(raft: RaftState, progress: Progress, message: RaftMessage): void {
  const { logger, log } = raft;
  const self = hex(raft.id);
  const from = hex(message.from);
  logger.debug(
    `${self} received MsgAppResp(rejected, hint: (index ${message.rejectHint}, term ${message.logTerm})) from ${from} for index ${message.index}`,
  );
  let matchHint = message.rejectHint;
  if (message.logTerm > 0) matchHint = log.findConflictByTerm(matchHint, message.logTerm).index;
  if (!progress.maybeDecrement(message.index, matchHint)) return;
  logger.debug(`${self} decreased progress of ${from} to [${progress.toString()}]`);
  if (progress.state === "replicate") progress.becomeProbe();
  sendAppend(raft, progress);
}

/** A member, this one included, holds everything up to `index` durably. */
export function takeAcknowledgement(raft: RaftState, progress: Progress, index: number): void {
  const isNews = progress.maybeUpdate(index);
  // A probe's answer ends the probing even if it matched what was known to match before.
  if (!isNews && !(progress.match === index && progress.state === "probe")) return;
  resumeReplication(raft, progress, index);
  if (tryCommit(raft)) {
    releasePostponedReads(raft);
    broadcastAppend(raft);
  } else if (progress.id !== raft.id && progress.canBumpCommit(raft.log.committed)) {
    if (raft.options.deferAppends === true) raft.appendsPending = true;
    else sendAppend(raft, progress);
  }
  if (progress.id === raft.id) return;
  sendMore(raft, progress);
  if (progress.id === raft.transferee && progress.match === raft.log.lastIndex) {
    raft.logger.info(`${hex(raft.id)} sent MsgTimeoutNow to ${hex(progress.id)} after received MsgAppResp`);
    sendTimeoutNow(raft, progress.id);
  }
}

function resumeReplication(raft: RaftState, progress: Progress, index: number): void {
  if (progress.state === "probe") progress.becomeReplicate();
  else if (progress.state === "replicate") progress.inflights.freeUpTo(index);
  else if (progress.match + 1 >= raft.log.firstIndex) {
    // However it got there, the log can carry it on.
    raft.logger.debug(
      `${hex(raft.id)} recovered from needing snapshot, resumed sending replication messages to ${hex(progress.id)} [${progress.toString()}]`,
    );
    progress.becomeProbe();
    progress.becomeReplicate();
  }
}

/** The window may have opened: as much as fits goes out. */
function sendMore(raft: RaftState, progress: Progress): void {
  if (raft.options.deferAppends === true) raft.appendsPending ||= progress.next <= raft.log.lastIndex;
  else while (maybeSendAppend(raft, progress, false));
}

function takeHeartbeatResponse(raft: RaftState, progress: Progress, context: Uint8Array | null): void {
  progress.recentActive = true;
  progress.appendPaused = false;
  // What is in flight may be lost: an append, empty if the window is full, finds out. A probe goes out once a heartbeat.
  if (progress.match < raft.log.lastIndex || progress.state === "probe") sendAppend(raft, progress);
  if (context !== null && context.length > 0) takeReadAcknowledgement(raft, progress.id, context);
}

function takeSnapshotStatus(raft: RaftState, progress: Progress, failed: boolean): void {
  if (progress.state !== "snapshot") return;
  if (failed) progress.pendingSnapshot = 0;
  progress.becomeProbe();
  raft.logger.debug(
    `${hex(raft.id)} snapshot ${failed ? "failed" : "succeeded"}, resumed sending replication messages to ${hex(progress.id)} [${progress.toString()}]`,
  );
  // Sent: its acknowledgement is on the way. Failed: better wait a heartbeat before the next attempt.
  progress.appendPaused = true;
}

/** Messages got lost, so what was sent ahead probably was too. */
function takeUnreachable(raft: RaftState, progress: Progress): void {
  if (progress.state === "replicate") progress.becomeProbe();
  raft.logger.debug(
    `${hex(raft.id)} failed to send message to ${hex(progress.id)} because it is unreachable [${progress.toString()}]`,
  );
}

/** Brings the other member up to date, then has it campaign at once (Raft thesis, section 3.10). */
function transferLeadership(raft: RaftState, progress: Progress): void {
  const { logger } = raft;
  const self = hex(raft.id);
  const to = hex(progress.id);
  if (progress.isLearner) {
    logger.debug(`${self} is learner. Ignored transferring leadership`);
    return;
  }
  if (raft.transferee === progress.id) {
    logger.info(
      `${self} [term ${raft.term}] transfer leadership to ${to} is in progress, ignores request to same node ${to}`,
    );
    return;
  }
  if (raft.transferee !== NONE) {
    logger.info(
      `${self} [term ${raft.term}] abort previous transferring leadership to ${hex(raft.transferee)}`,
    );
    raft.transferee = NONE;
  }
  if (progress.id === raft.id) {
    logger.debug(`${self} is already leader. Ignored transferring leadership to self`);
    return;
  }
  logger.info(`${self} [term ${raft.term}] starts to transfer leadership to ${to}`);
  // It has one election time-out to succeed, from now on.
  raft.electionElapsed = 0;
  raft.transferee = progress.id;
  if (progress.match === raft.log.lastIndex) {
    sendTimeoutNow(raft, progress.id);
    logger.info(`${self} sends MsgTimeoutNow to ${to} immediately as ${to} already has up-to-date log`);
  } else sendAppend(raft, progress);
}
