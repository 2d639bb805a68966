import { assert } from "../../base/assert.ts";
import { EntryType, MessageType } from "../raft.ts";
import { Inflights } from "../tracker/inflights.ts";
import { Progress } from "../tracker/progress.ts";
import type { VoteTally } from "../tracker/tracker.ts";
import { messageTypeName, newMessage, NONE, voteResponseType } from "./messages.ts";
import { hex } from "./raft-logger.ts";
import type { RaftState } from "./raft-state.ts";

/**
 * - `preElection`: asks whether an election could be won; nobody's term changes.
 * - `election`: a real one.
 * - `transfer`: a real one that the leader itself asked for, so its lease does not stand in the way.
 */
export type CampaignType = "preElection" | "election" | "transfer";

/** `Message.context` of the vote requests of a transfer, known to all etcd members. */
const TRANSFER_CONTEXT = new TextEncoder().encode("CampaignTransfer");

const NO_BYTES = new Uint8Array(0);

/** True if a vote request is part of a leadership transfer. */
export function isTransferContext(context: Uint8Array | null): boolean {
  if (context?.length !== TRANSFER_CONTEXT.length) return false;
  return context.every((byte, i) => byte === TRANSFER_CONTEXT[i]);
}

export function becomeFollower(raft: RaftState, term: number, leader: bigint): void {
  reset(raft, term);
  raft.leader = leader;
  raft.role = "follower";
  raft.logger.info(`${hex(raft.id)} became follower at term ${raft.term}`);
}

/** Begins a term of its own, with its own vote. */
function becomeCandidate(raft: RaftState): void {
  assert(raft.role !== "leader", "invalid transition [leader -> candidate]");
  reset(raft, raft.term + 1);
  raft.vote = raft.id;
  raft.role = "candidate";
  raft.logger.info(`${hex(raft.id)} became candidate at term ${raft.term}`);
}

/** Changes neither term nor vote, and keeps the clock running: the attempt may come to nothing. */
function becomePreCandidate(raft: RaftState): void {
  assert(raft.role !== "leader", "invalid transition [leader -> pre-candidate]");
  raft.tracker.resetVotes();
  raft.leader = NONE;
  raft.role = "preCandidate";
  raft.logger.info(`${hex(raft.id)} became pre-candidate at term ${raft.term}`);
}

/** Takes over and appends the empty entry whose commitment commits everything in front of it. */
export function becomeLeader(raft: RaftState): void {
  const { self, log } = raft;
  assert(raft.role !== "follower", "invalid transition [follower -> leader]");
  assert(self !== null, "only members of the configuration lead", raft.id);
  reset(raft, raft.term);
  raft.leader = raft.id;
  raft.role = "leader";
  ownProgress(raft).becomeReplicate();
  ownProgress(raft).recentActive = true;
  // Conf changes of former terms may stand in the log, and finding out would mean reading it.
  raft.pendingConfIndex = log.lastIndex;
  raft.termStartIndex = appendEmpty(raft);
  raft.logger.info(`${hex(raft.id)} became leader at term ${raft.term}`);
}

/** Queues this member's own acknowledgement of everything appended so far, for when it is durable. */
export function acknowledgeOwnAppend(raft: RaftState): void {
  const message = newMessage(MessageType.appResp, raft.id);
  message.index = raft.log.lastIndex;
  raft.send(message);
}

function appendEmpty(raft: RaftState): number {
  const index = raft.log.append(EntryType.normal, raft.term, NO_BYTES, 0, 0);
  raft.uncommitted.add(index, 0);
  acknowledgeOwnAppend(raft);
  return index;
}

function ownProgress(raft: RaftState): Progress {
  assert(raft.self !== null, "not a member of the configuration", raft.id);
  return raft.self;
}

/** What every change of role begins with. */
function reset(raft: RaftState, term: number): void {
  if (raft.term !== term) {
    assert(term > raft.term, "terms never go back", term, raft.term);
    raft.term = term;
    raft.vote = NONE;
  }
  raft.leader = NONE;
  raft.electionElapsed = 0;
  raft.heartbeatElapsed = 0;
  drawElectionTicks(raft);
  raft.transferee = NONE;
  raft.tracker.resetVotes();
  resetProgress(raft);
  raft.pendingConfIndex = 0;
  raft.termStartIndex = Infinity;
  raft.uncommitted.clear();
  raft.reads.clear();
  raft.postponedReads = [];
  raft.appendsPending = false;
  raft.readRoundPending = false;
  raft.ackedIndex = 0;
  raft.isAckDue = false;
}

function drawElectionTicks(raft: RaftState): void {
  const { electionTicks, prng } = raft.options;
  raft.randomizedElectionTicks = electionTicks + prng.below(electionTicks);
}

function resetProgress(raft: RaftState): void {
  const { tracker, log } = raft;
  const { inflightCountMax, inflightBytesMax } = tracker.limits;
  tracker.resetProgress(({ id, isLearner }) => {
    const inflights = new Inflights(inflightCountMax, inflightBytesMax);
    const progress = new Progress({ id, next: log.lastIndex + 1, inflights, isLearner });
    if (id === raft.id) progress.match = log.lastIndex;
    return progress;
  });
  raft.self = tracker.get(raft.id) ?? null;
}

/** Campaigns if it may: the election time-out passed, the leader said so, or someone asked for it. */
export function hup(raft: RaftState, type: CampaignType): void {
  const { logger } = raft;
  const self = hex(raft.id);
  if (raft.role === "leader") {
    logger.debug(`${self} ignoring MsgHup because already leader`);
    return;
  }
  if (!raft.isPromotable) {
    logger.warning(`${self} is unpromotable and can not campaign`);
    return;
  }
  // With a change unapplied it could count votes by a configuration that is two steps away from that of others.
  if (raft.log.hasUnappliedConfChange()) {
    logger.warning(
      `${self} cannot campaign at term ${raft.term} since there are still pending configuration changes to apply`,
    );
    return;
  }
  logger.info(`${self} is starting a new election at term ${raft.term}`);
  campaign(raft, type);
}

export function campaign(raft: RaftState, type: CampaignType): void {
  const isPreVote = type === "preElection";
  if (isPreVote) becomePreCandidate(raft);
  else becomeCandidate(raft);
  const requestType = isPreVote ? MessageType.preVote : MessageType.vote;
  const term = isPreVote ? raft.term + 1 : raft.term;
  for (const id of raft.tracker.configuration.voters.all.ids) {
    if (id === raft.id) {
      // Its own vote counts once it is durable.
      const vote = newMessage(voteResponseType(requestType), id);
      vote.term = term;
      raft.send(vote);
    } else requestVote(raft, { to: id, requestType, term, isTransfer: type === "transfer" });
  }
}

interface VoteRequest {
  readonly to: bigint;
  readonly requestType: number;
  readonly term: number;
  readonly isTransfer: boolean;
}

function requestVote(raft: RaftState, { to, requestType, term, isTransfer }: VoteRequest): void {
  const { lastTerm, lastIndex } = raft.log;
  raft.logger.info(
    `${hex(raft.id)} [logterm: ${lastTerm}, index: ${lastIndex}] sent ${messageTypeName(requestType)} request to ${hex(to)} at term ${raft.term}`,
  );
  const request = newMessage(requestType, to);
  request.term = term;
  request.index = lastIndex;
  request.logTerm = lastTerm;
  if (isTransfer) request.context = TRANSFER_CONTEXT;
  raft.send(request);
}

/** Counts a vote. */
export function poll(
  raft: RaftState,
  vote: { readonly from: bigint; readonly type: number; readonly reject: boolean },
): VoteTally {
  const { tracker, logger } = raft;
  const name = messageTypeName(vote.type);
  const received = vote.reject ? `${name} rejection` : name;
  logger.info(`${hex(raft.id)} received ${received} from ${hex(vote.from)} at term ${raft.term}`);
  tracker.recordVote(vote.from, !vote.reject);
  const tally = tracker.tallyVotes();
  logger.info(
    `${hex(raft.id)} has received ${tally.granted} ${name} votes and ${tally.rejected} vote rejections`,
  );
  return tally;
}
