import { MessageType, StepResult } from "../raft.ts";
import type { RaftMessage } from "../raft.ts";
import { hup } from "./election.ts";
import { takeFromLeader } from "./from-leader.ts";
import { NONE } from "./messages.ts";
import { copySlices } from "./entry-slices.ts";
import { hex } from "./raft-logger.ts";
import type { RaftState } from "./raft-state.ts";
import { takeReadAnswer } from "./reading.ts";

/** A follower's reaction to a message of its own term. Returns a {@link StepResult}. */
export function stepFollower(raft: RaftState, message: RaftMessage): number {
  switch (message.type) {
    case MessageType.prop:
      return forwardProposal(raft, message);
    case MessageType.app:
    case MessageType.heartbeat:
    case MessageType.snap:
      raft.electionElapsed = 0;
      raft.leader = message.from;
      takeFromLeader(raft, message);
      break;
    case MessageType.transferLeader:
      forwardOrDrop(raft, message, "leader transfer msg");
      break;
    case MessageType.forgetLeader:
      forgetLeader(raft);
      break;
    case MessageType.timeoutNow:
      raft.logger.info(
        `${hex(raft.id)} [term ${raft.term}] received MsgTimeoutNow from ${hex(message.from)} and starts an election to get leadership.`,
      );
      // The leader itself asks for it, so there is nobody to disturb and no pre-vote needed.
      hup(raft, "transfer");
      break;
    case MessageType.readIndex:
      forwardOrDrop(raft, message, "index reading msg");
      break;
    case MessageType.readIndexResp:
      takeReadAnswer(raft, message);
      break;
    default:
  }
  return StepResult.ok;
}

function forwardProposal(raft: RaftState, message: RaftMessage): number {
  const { logger } = raft;
  const self = hex(raft.id);
  if (raft.leader === NONE) {
    logger.info(`${self} no leader at term ${raft.term}; dropping proposal`);
    return StepResult.proposalDropped;
  }
  if (raft.options.disableProposalForwarding === true) {
    logger.info(
      `${self} not forwarding to leader ${hex(raft.leader)} at term ${raft.term}; dropping proposal`,
    );
    return StepResult.proposalDropped;
  }
  forward(raft, message);
  return StepResult.ok;
}

function forwardOrDrop(raft: RaftState, message: RaftMessage, what: string): void {
  if (raft.leader === NONE)
    raft.logger.info(`${hex(raft.id)} no leader at term ${raft.term}; dropping ${what}`);
  else forward(raft, message);
}

/** Passes a message on to the leader, with a copy of its entries: they are borrowed. */
function forward(raft: RaftState, message: RaftMessage): void {
  raft.send({ ...message, to: raft.leader, term: 0, entries: copySlices(message.entries) });
}

/** Acts as if nothing had been heard of the leader, so that this member votes for others before its time-out. */
function forgetLeader(raft: RaftState): void {
  if (raft.options.leaseBasedReads === true) {
    raft.logger.error("ignoring MsgForgetLeader due to ReadOnlyLeaseBased");
    return;
  }
  if (raft.leader === NONE) return;
  raft.logger.info(`${hex(raft.id)} forgetting leader ${hex(raft.leader)} at term ${raft.term}`);
  raft.leader = NONE;
}
