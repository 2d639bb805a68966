import { MessageType } from "../raft.ts";
import type { RaftMessage, SnapshotMeta } from "../raft.ts";
import { becomeFollower } from "./election.ts";
import { describeConfState, restoreConfiguration } from "./membership.ts";
import { newMessage, NONE } from "./messages.ts";
import { hex } from "./raft-logger.ts";
import type { RaftState } from "./raft-state.ts";

/** What a member does with the messages of the leader of its term: entries, heartbeats, snapshots. */
export function takeFromLeader(raft: RaftState, message: RaftMessage): void {
  if (message.type === MessageType.app) takeAppend(raft, message);
  else if (message.type === MessageType.heartbeat) takeHeartbeat(raft, message);
  else takeSnapshot(raft, message);
}

function takeAppend(raft: RaftState, message: RaftMessage): void {
  const { log } = raft;
  // An old message, or one that was repeated: what is committed matches anyway.
  if (message.index < log.committed) {
    acknowledge(raft, message.from, log.committed);
    return;
  }
  const previous = { index: message.index, term: message.logTerm };
  const { committed } = log;
  const last = log.tryAppend(previous, message.entries, message.commit);
  if (last < 0) reject(raft, message);
  else if (isNewsAlone(raft, message, last) && log.committed > committed) raft.isAckDue = true;
  else acknowledge(raft, message.from, last);
}

/** True if the leader was, or is about to be, told already that the logs are equal up to `last`. */
function isNewsAlone(raft: RaftState, message: RaftMessage, last: number): boolean {
  return raft.options.deferNewsAcks === true && message.entries.length === 0 && last <= raft.ackedIndex;
}

/** A tick has passed: an acknowledgement that was put off leaves. */
export function acknowledgeNews(raft: RaftState): void {
  if (raft.isAckDue && raft.leader !== NONE) acknowledge(raft, raft.leader, raft.ackedIndex);
}

/** Promises that everything up to `index` is durable, so it leaves only then. */
function acknowledge(raft: RaftState, to: bigint, index: number): void {
  const response = newMessage(MessageType.appResp, to);
  response.index = index;
  raft.send(response);
  raft.ackedIndex = Math.max(raft.ackedIndex, index);
  raft.isAckDue = false;
}

/** Says where the logs may agree: the last entry here at or below the leader's index with a term that is not above its. */
function reject(raft: RaftState, message: RaftMessage): void {
  const { log } = raft;
  raft.logger.debug(
    `${hex(raft.id)} [logterm: ${log.termOrZero(message.index)}, index: ${message.index}] rejected MsgApp [logterm: ${message.logTerm}, index: ${message.index}] from ${hex(message.from)}`,
  );
  const hint = log.findConflictByTerm(Math.min(message.index, log.lastIndex), message.logTerm);
  const response = newMessage(MessageType.appResp, message.from);
  response.index = message.index;
  response.reject = true;
  response.rejectHint = hint.index;
  response.logTerm = hint.term;
  raft.send(response);
}

function takeHeartbeat(raft: RaftState, message: RaftMessage): void {
  raft.log.commitTo(message.commit);
  const response = newMessage(MessageType.heartbeatResp, message.from);
  response.context = message.context;
  raft.send(response);
}

const EMPTY_SNAPSHOT: SnapshotMeta = {
  index: 0,
  term: 0,
  confState: { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
};

function takeSnapshot(raft: RaftState, message: RaftMessage): void {
  const snapshot = message.snapshot ?? EMPTY_SNAPSHOT;
  const isRestored = restoreSnapshot(raft, snapshot);
  const { log } = raft;
  raft.logger.info(
    `${hex(raft.id)} [commit: ${log.committed}] ${isRestored ? "restored" : "ignored"} snapshot [index: ${snapshot.index}, term: ${snapshot.term}]`,
  );
  acknowledge(raft, message.from, isRestored ? log.lastIndex : log.committed);
}

/** Puts the snapshot in place of log and configuration. False if that is not needed, or not possible. */
function restoreSnapshot(raft: RaftState, snapshot: SnapshotMeta): boolean {
  const { log, logger } = raft;
  const { index, term, confState } = snapshot;
  const self = hex(raft.id);
  if (index <= log.committed) return false;
  if (raft.role !== "follower") {
    logger.warning(`${self} attempted to restore snapshot as leader; should never happen`);
    becomeFollower(raft, raft.term + 1, NONE);
    return false;
  }
  const { voters, learners, votersOutgoing } = confState;
  if (![voters, learners, votersOutgoing].some((ids) => ids.includes(raft.id))) {
    logger.warning(
      `${self} attempted to restore snapshot but it is not in the ConfState ${describeConfState(confState)}; should never happen`,
    );
    return false;
  }
  if (log.matches({ index, term })) {
    logger.info(`${describeLog(raft)} fast-forwarded commit to snapshot [index: ${index}, term: ${term}]`);
    log.commitTo(index);
    return false;
  }
  log.restore(snapshot);
  restoreConfiguration(raft, confState);
  logger.info(`${describeLog(raft)} restored snapshot [index: ${index}, term: ${term}]`);
  return true;
}

function describeLog(raft: RaftState): string {
  const { committed, lastIndex, lastTerm } = raft.log;
  return `${hex(raft.id)} [commit: ${committed}, lastindex: ${lastIndex}, lastterm: ${lastTerm}]`;
}
