import { MessageType } from "../raft.ts";
import type { RaftMessage } from "../raft.ts";
import { NONE, newMessage } from "./messages.ts";
import { copyData, singleEntry } from "./entry-slices.ts";
import { hex } from "./raft-logger.ts";
import type { RaftState } from "./raft-state.ts";
import { READS_WAITING_MAX } from "./read-confirmations.ts";
import type { ReadRequest } from "./read-confirmations.ts";
import { broadcastHeartbeat } from "./replication.ts";

/** Leader: somebody asks for a read index. */
export function takeReadRequest(raft: RaftState, message: RaftMessage): void {
  const [slice] = message.entries;
  if (slice === undefined) return;
  const request = { from: message.from, context: copyData(slice), index: raft.log.committed };
  if (raft.hasCommittedInTerm) confirmRead(raft, request);
  // Until then there may be commitments that it does not know of: those of others, or its own from before a restart.
  else if (raft.postponedReads.length < READS_WAITING_MAX) raft.postponedReads.push(request);
}

/** Leader: the term's first entry is committed, so reads that waited for it may go on. */
export function releasePostponedReads(raft: RaftState): void {
  if (raft.postponedReads.length === 0 || !raft.hasCommittedInTerm) return;
  const requests = raft.postponedReads;
  raft.postponedReads = [];
  for (const { from, context } of requests) {
    confirmRead(raft, { from, context, index: raft.log.committed });
  }
}

/** Leader: `from` answered a heartbeat that carried `context`. */
export function takeReadAcknowledgement(raft: RaftState, from: bigint, context: Uint8Array): void {
  raft.reads.acknowledge(from, context);
  answerConfirmedReads(raft);
}

/** Leader: more acknowledgements, or fewer voters, may have confirmed reads. */
export function answerConfirmedReads(raft: RaftState): void {
  const { voters } = raft.tracker.configuration;
  for (const request of raft.reads.takeConfirmed(voters)) answerRead(raft, request);
}

/** Follower: the leader's answer. */
export function takeReadAnswer(raft: RaftState, message: RaftMessage): void {
  const [slice] = message.entries;
  if (slice?.count !== 1 || message.entries.length !== 1) {
    const count = message.entries.reduce((sum, { count: entries }) => sum + entries, 0);
    raft.logger.error(
      `${hex(raft.id)} invalid format of MsgReadIndexResp from ${hex(message.from)}, entries count: ${count}`,
    );
    return;
  }
  raft.readStates.push({ index: message.index, context: copyData(slice) });
}

function confirmRead(raft: RaftState, request: ReadRequest): void {
  if (raft.isSoleVoter || raft.options.leaseBasedReads === true) answerRead(raft, request);
  else if (raft.reads.add(request, raft.id)) {
    if (raft.options.deferAppends === true) raft.readRoundPending = true;
    else sendReadRound(raft);
  }
}

/** Leader: a round of heartbeats that confirms all reads that wait. */
export function sendReadRound(raft: RaftState): void {
  raft.readRoundPending = false;
  if (raft.role === "leader") broadcastHeartbeat(raft, raft.reads.heartbeatContext);
}

function answerRead(raft: RaftState, { from, context, index }: ReadRequest): void {
  if (from === NONE || from === raft.id) {
    raft.readStates.push({ index, context });
    return;
  }
  const answer = newMessage(MessageType.readIndexResp, from);
  answer.index = index;
  answer.entries = singleEntry(context);
  raft.send(answer);
}
