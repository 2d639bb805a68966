import { MessageType } from "../raft.ts";
import { acknowledgeNews } from "./from-leader.ts";
import { localMessage, NONE } from "./messages.ts";
import type { RaftState } from "./raft-state.ts";
import { step } from "./step.ts";

/** One interval of the raft clock passed. */
export function tick(raft: RaftState): void {
  if (raft.role === "leader") tickLeader(raft);
  else tickElection(raft);
}

/** Campaigns when nothing was heard of a leader for too long. */
function tickElection(raft: RaftState): void {
  acknowledgeNews(raft);
  raft.electionElapsed++;
  if (!raft.isPromotable || raft.electionElapsed < raft.randomizedElectionTicks) return;
  raft.electionElapsed = 0;
  step(raft, localMessage(MessageType.hup, raft.id));
}

/** Checks the quorum once an election time-out, and sends heartbeats. */
function tickLeader(raft: RaftState): void {
  const { electionTicks, heartbeatTicks, checkQuorum } = raft.options;
  raft.heartbeatElapsed++;
  raft.electionElapsed++;
  if (raft.electionElapsed >= electionTicks) {
    raft.electionElapsed = 0;
    if (checkQuorum === true) step(raft, localMessage(MessageType.checkQuorum, raft.id));
    // Whom leadership was to go to had its chance: proposals are taken again.
    if (raft.role === "leader") raft.transferee = NONE;
  }
  if (raft.role !== "leader" || raft.heartbeatElapsed < heartbeatTicks) return;
  raft.heartbeatElapsed = 0;
  step(raft, localMessage(MessageType.beat, raft.id));
}
