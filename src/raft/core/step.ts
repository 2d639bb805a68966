import { MessageType, StepResult } from "../raft.ts";
import type { RaftMessage } from "../raft.ts";
import { becomeFollower, hup, isTransferContext } from "./election.ts";
import { messageTypeName, newMessage, NONE, voteResponseType } from "./messages.ts";
import { hex } from "./raft-logger.ts";
import type { RaftState } from "./raft-state.ts";
import { stepCandidate } from "./step-candidate.ts";
import { stepFollower } from "./step-follower.ts";
import { stepLeader } from "./step-leader.ts";

/** Takes a message: brings terms in line, answers votes, and leaves the rest to the role. Returns a {@link StepResult}. */
export function step(raft: RaftState, message: RaftMessage): number {
  // Messages without a term are local or forwarded.
  if (message.term > raft.term) {
    if (isWithinLease(raft, message)) return StepResult.ok;
    adoptTerm(raft, message);
  } else if (message.term !== 0 && message.term < raft.term) {
    answerOldTerm(raft, message);
    return StepResult.ok;
  }
  switch (message.type) {
    case MessageType.hup:
      hup(raft, raft.options.preVote === true ? "preElection" : "election");
      return StepResult.ok;
    case MessageType.vote:
    case MessageType.preVote:
      answerVote(raft, message);
      return StepResult.ok;
    default:
      return stepByRole(raft, message);
  }
}

function stepByRole(raft: RaftState, message: RaftMessage): number {
  if (raft.role === "leader") return stepLeader(raft, message);
  return raft.role === "follower" ? stepFollower(raft, message) : stepCandidate(raft, message);
}

/** While a leader is heard of nobody else gets a vote, or one member that hears nothing could unseat it again and again. */
function isWithinLease(raft: RaftState, message: RaftMessage): boolean {
  const { type } = message;
  if (type !== MessageType.vote && type !== MessageType.preVote) return false;
  const { checkQuorum, electionTicks } = raft.options;
  const remaining = electionTicks - raft.electionElapsed;
  if (checkQuorum !== true || raft.leader === NONE || remaining <= 0) return false;
  if (isTransferContext(message.context)) return false;
  raft.logger.info(
    `${raft.describeVoter()} ignored ${describeRequest(raft, message)}: lease is not expired (remaining ticks: ${remaining})`,
  );
  return true;
}

/** A higher term ends the present one, except where pre-votes speak of a term that nobody has begun. */
function adoptTerm(raft: RaftState, message: RaftMessage): void {
  const { type, from, term } = message;
  if (type === MessageType.preVote || (type === MessageType.preVoteResp && !message.reject)) return;
  raft.logger.info(
    `${hex(raft.id)} [term: ${raft.term}] received a ${messageTypeName(type)} message with higher term from ${hex(from)} [term: ${term}]`,
  );
  const isFromLeader =
    type === MessageType.app || type === MessageType.heartbeat || type === MessageType.snap;
  becomeFollower(raft, term, isFromLeader ? from : NONE);
}

function answerOldTerm(raft: RaftState, message: RaftMessage): void {
  const { type, from, term } = message;
  const { checkQuorum, preVote } = raft.options;
  const { logger } = raft;
  const isFromLeader = type === MessageType.app || type === MessageType.heartbeat;
  if (isFromLeader && (checkQuorum === true || preVote === true)) {
    // A member that went ahead alone gets no votes here, and would never hear of its rival's term otherwise: this answer makes
    // the leader of the old term step down, and the next election includes both.
    raft.send(newMessage(MessageType.appResp, from));
  } else if (type === MessageType.preVote) {
    logger.info(`${raft.describeVoter()} rejected ${describeRequest(raft, message)}`);
    respondToVote(raft, message, true);
  } else {
    logger.info(
      `${hex(raft.id)} [term: ${raft.term}] ignored a ${messageTypeName(type)} message with lower term from ${hex(from)} [term: ${term}]`,
    );
  }
}

/** One vote a term, for who has a log at least as complete; pre-votes bind nobody (Raft thesis, sections 3.4 and 9.6). */
function answerVote(raft: RaftState, message: RaftMessage): void {
  const { type, from } = message;
  const canVote =
    raft.vote === from ||
    (raft.vote === NONE && raft.leader === NONE) ||
    (type === MessageType.preVote && message.term > raft.term);
  const isGranted = canVote && raft.log.isUpToDate({ term: message.logTerm, index: message.index });
  raft.logger.info(
    `${raft.describeVoter()} ${isGranted ? "cast" : "rejected"} ${describeRequest(raft, message, isGranted)}`,
  );
  respondToVote(raft, message, !isGranted);
  if (!isGranted || type !== MessageType.vote) return;
  raft.electionElapsed = 0;
  raft.vote = from;
}

function respondToVote(raft: RaftState, request: RaftMessage, reject: boolean): void {
  const response = newMessage(voteResponseType(request.type), request.from);
  // A granted pre-vote answers for the term asked about; who is refused must learn of ours.
  response.term = reject ? raft.term : request.term;
  response.reject = reject;
  raft.send(response);
}

/** `MsgVote from 2 [logterm: 1, index: 11] at term 1` */
function describeRequest(raft: RaftState, message: RaftMessage, isGranted = false): string {
  const { type, from, logTerm, index } = message;
  return `${messageTypeName(type)} ${isGranted ? "for" : "from"} ${hex(from)} [logterm: ${logTerm}, index: ${index}] at term ${raft.term}`;
}
