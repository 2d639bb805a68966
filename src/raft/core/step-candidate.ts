import { MessageType, StepResult } from "../raft.ts";
import type { RaftMessage } from "../raft.ts";
import { becomeFollower, becomeLeader, campaign, poll } from "./election.ts";
import { takeFromLeader } from "./from-leader.ts";
import { NONE } from "./messages.ts";
import { hex } from "./raft-logger.ts";
import type { RaftState } from "./raft-state.ts";
import { broadcastAppend } from "./replication.ts";

/** The reaction of a candidate, of either phase, to a message of its own term. Returns a {@link StepResult}. */
export function stepCandidate(raft: RaftState, message: RaftMessage): number {
  switch (message.type) {
    case MessageType.prop:
      raft.logger.info(`${hex(raft.id)} no leader at term ${raft.term}; dropping proposal`);
      return StepResult.proposalDropped;
    case MessageType.app:
    case MessageType.heartbeat:
    case MessageType.snap:
      // Somebody else won this term.
      becomeFollower(raft, message.term, message.from);
      takeFromLeader(raft, message);
      break;
    case MessageType.preVoteResp:
      if (raft.role === "preCandidate") countVote(raft, message);
      break;
    case MessageType.voteResp:
      if (raft.role === "candidate") countVote(raft, message);
      break;
    case MessageType.timeoutNow:
      raft.logger.debug(
        `${hex(raft.id)} [term ${raft.term} state ${roleName(raft)}] ignored MsgTimeoutNow from ${hex(message.from)}`,
      );
      break;
    default:
  }
  return StepResult.ok;
}

function countVote(raft: RaftState, message: RaftMessage): void {
  const { result } = poll(raft, message);
  if (result === "lost") {
    // A pre-vote was counted at the term to come; this one stays.
    becomeFollower(raft, raft.term, NONE);
  } else if (result === "won") {
    if (raft.role === "preCandidate") campaign(raft, "election");
    else {
      becomeLeader(raft);
      broadcastAppend(raft);
    }
  }
}

function roleName(raft: RaftState): string {
  return raft.role === "preCandidate" ? "StatePreCandidate" : "StateCandidate";
}
