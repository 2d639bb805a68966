/**
 * The replicating Raft core: the design of etcd-io/raft, whose traces it reproduces line by line, behind the interface of
 * `../raft.ts`.
 *
 * It owns one member's term, vote, log marks, role, and the leader's view of the others. It never does I/O, keeps no clock (ticks
 * are calls), draws from the generator it is given, and never keeps an entry's bytes: those go into the {@link EntryStore} it is
 * given. What it wants done gathers until {@link RaftCore.ready}.
 *
 * ```
 *   step, tick, propose ──▶ step.ts ──by role──▶ step-follower | step-candidate | step-leader
 *                                                     │              │              │
 *                                               from-leader.ts   election.ts   replication.ts, proposals.ts, reading.ts
 *                                                     └──────────────┴──────┬───────┘
 *                                                        raft-state.ts, raft-log.ts (all that moves)
 * ```
 *
 * Storage writes are asynchronous: messages that promise durability come apart from the others (`messagesAfterFlush`), this
 * member's own votes and acknowledgements among them.
 *
 * Read next: `raft-state.ts`, `step.ts`, `raft-log.ts`; `../tracker/progress.ts` for the flow control of a follower.
 */

import { EntryType, MessageType, StepResult } from "../raft.ts";
import type { ConfChange, ConfState, Consensus, MemberProgress, RaftMessage, Ready } from "../raft.ts";
import { becomeFollower, hup } from "./election.ts";
import { applyConfChange, restoreConfiguration } from "./membership.ts";
import { isResponse, localMessage, NONE } from "./messages.ts";
import { singleEntry } from "./entry-slices.ts";
import { appendProposal, takeProposal } from "./proposals.ts";
import type { RaftLog } from "./raft-log.ts";
import { hex } from "./raft-logger.ts";
import { checkOptions } from "./raft-options.ts";
import type { RaftOptions } from "./raft-options.ts";
import { RaftState } from "./raft-state.ts";
import type { Role } from "./raft-state.ts";
import { sendReadRound } from "./reading.ts";
import { flushAppends } from "./replication.ts";
import { step } from "./step.ts";
import type { ProgressTracker } from "../tracker/tracker.ts";
import { takeApplied, takeSnapshotInstalled, takeStored } from "./storage-news.ts";
import { tick } from "./tick.ts";

/** A new member core, a follower until {@link RaftCore.start} or a tick says otherwise. Throws for contradictory options. */
export function createRaft(options: RaftOptions): RaftCore {
  checkOptions(options);
  return new RaftCore(options);
}

const ROLE_NAMES: Readonly<Record<Role, string>> = {
  follower: "StateFollower",
  preCandidate: "StatePreCandidate",
  candidate: "StateCandidate",
  leader: "StateLeader",
};

/** {@link Consensus}, and what tests and traces look at besides. */
export class RaftCore implements Consensus {
  readonly #raft: RaftState;
  readonly #ready: Ready;
  /** As of the last {@link advance}. */
  #reportedTerm: number;
  #reportedVote: bigint;
  #reportedCommit: number;
  #reportedLeader = NONE;
  #reportedRole: Role = "follower";
  /** As of the last {@link ready}. */
  #shownLeader = NONE;
  #shownRole: Role = "follower";
  #shownLastIndex = 0;

  constructor(options: RaftOptions) {
    const raft = new RaftState(options);
    this.#raft = raft;
    const { log } = raft;
    restoreConfiguration(raft, options.confState);
    const applied = options.appliedIndex ?? options.baseIndex;
    // The stored commit index lags behind, and applied state is committed by definition.
    log.commitTo(Math.max(options.hardState.commit, applied));
    log.appliedTo(applied);
    becomeFollower(raft, raft.term, NONE);
    this.#logStart();
    this.#reportedTerm = raft.term;
    this.#reportedVote = raft.vote;
    this.#reportedCommit = log.committed;
    this.#ready = {
      hardStateChanged: false,
      hardState: { term: raft.term, vote: raft.vote, commit: log.committed },
      commitIndex: log.committed,
      readStates: [],
      leaderChanged: false,
      snapshot: null,
      messages: [],
      messagesAfterFlush: [],
    };
  }

  get nodeId(): bigint {
    return this.#raft.id;
  }

  get term(): number {
    return this.#raft.term;
  }

  get leaderId(): bigint {
    return this.#raft.leader;
  }

  get isLeader(): boolean {
    return this.#raft.role === "leader";
  }

  get isLearner(): boolean {
    return this.#raft.isLearner;
  }

  get lastIndex(): number {
    return this.#raft.log.lastIndex;
  }

  get commitIndex(): number {
    return this.#raft.log.committed;
  }

  get confState(): ConfState {
    return this.#raft.tracker.confState;
  }

  /** Marks and terms of the log. To look at; its entries lie in the store. */
  get log(): RaftLog {
    return this.#raft.log;
  }

  /** Configuration and the progress of its members. To look at. */
  get tracker(): ProgressTracker {
    return this.#raft.tracker;
  }

  get vote(): bigint {
    return this.#raft.vote;
  }

  /** `StateFollower`, `StatePreCandidate`, `StateCandidate` or `StateLeader`. */
  get stateName(): string {
    return ROLE_NAMES[this.#raft.role];
  }

  /** Who is to take over leadership, 0n = nobody. */
  get transferee(): bigint {
    return this.#raft.transferee;
  }

  /** Leader: no conf change stands in the log behind this index. */
  get pendingConfIndex(): number {
    return this.#raft.pendingConfIndex;
  }

  /** Bytes of data in a leader's entries that are not applied, 0 without a limit for them. */
  get uncommittedBytes(): number {
    return this.#raft.uncommitted.bytes;
  }

  /** Ticks without a leader after which this member campaigns. To be set in tests only; drawn anew when its role changes. */
  get randomizedElectionTicks(): number {
    return this.#raft.randomizedElectionTicks;
  }

  set randomizedElectionTicks(ticks: number) {
    this.#raft.randomizedElectionTicks = ticks;
  }

  start(): void {
    const raft = this.#raft;
    if (!raft.isSoleVoter) return;
    hup(raft, "election");
    // Learners must get nothing of a term that a loss of power would have begin again.
    if (raft.tracker.members.length > 1) return;
    // Nobody else hears of it, and nothing is acknowledged before its vote is durable: it leads at once.
    const votes = raft.messagesAfterFlush;
    raft.messagesAfterFlush = [];
    for (const vote of votes) step(raft, vote);
  }

  tick(): void {
    tick(this.#raft);
  }

  campaign(): void {
    step(this.#raft, localMessage(MessageType.hup, NONE));
  }

  propose(type: number, bytes: Uint8Array, start: number, end: number): number {
    const raft = this.#raft;
    if (type === EntryType.normal) return appendProposal(raft, bytes, start, end);
    if (raft.role !== "leader") return 0;
    const index = raft.log.lastIndex + 1;
    const result = takeProposal(raft, singleEntry(bytes.subarray(start, end), type));
    return result === StepResult.ok ? index : 0;
  }

  readIndex(context: Uint8Array): void {
    const message = localMessage(MessageType.readIndex, NONE);
    message.entries = singleEntry(context);
    step(this.#raft, message);
  }

  immediateReadIndex(): number {
    const raft = this.#raft;
    return raft.isSoleVoter && raft.hasCommittedInTerm ? raft.log.committed : -1;
  }

  step(message: RaftMessage): number {
    const { tracker, id } = this.#raft;
    const { type, from } = message;
    // What a removed member told itself is judged by its role.
    if (isResponse(type) && from !== id && tracker.get(from) === undefined) return StepResult.unknownPeer;
    return step(this.#raft, message);
  }

  entriesStored(index: number, term: number, memberTerm = this.#raft.term): void {
    takeStored(this.#raft, { index, term }, memberTerm);
  }

  snapshotInstalled(index: number): void {
    takeSnapshotInstalled(this.#raft, index);
  }

  applied(index: number): void {
    takeApplied(this.#raft, index);
  }

  applyConfChange(change: ConfChange): ConfState {
    applyConfChange(this.#raft, change);
    return this.confState;
  }

  reportUnreachable(id: bigint): void {
    step(this.#raft, localMessage(MessageType.unreachable, id));
  }

  reportSnapshot(id: bigint, ok: boolean): void {
    const message = localMessage(MessageType.snapStatus, id);
    message.reject = !ok;
    step(this.#raft, message);
  }

  transferLeader(id: bigint): void {
    step(this.#raft, localMessage(MessageType.transferLeader, id));
  }

  compacted(index: number): void {
    this.#raft.log.compactTo(index);
  }

  termAt(index: number): number {
    return this.#raft.log.termOrZero(index);
  }

  progress(): readonly MemberProgress[] {
    if (!this.isLeader) return [];
    return this.#raft.tracker.members.map(({ id, match, next, state, isLearner, recentActive }) => ({
      id,
      match,
      next,
      state,
      isLearner,
      recentActive,
    }));
  }

  hasReady(): boolean {
    const raft = this.#raft;
    const ready = this.#ready;
    return (
      raft.log.committed !== this.#reportedCommit ||
      raft.appendsPending ||
      raft.readRoundPending ||
      raft.messages.length > 0 ||
      raft.messagesAfterFlush.length > 0 ||
      raft.readStates.length > 0 ||
      ready.messages.length > 0 ||
      ready.messagesAfterFlush.length > 0 ||
      ready.readStates.length > 0 ||
      this.#hardStateChanged() ||
      this.#leaderChanged() ||
      raft.log.nextSnapshot !== null
    );
  }

  ready(): Ready {
    const raft = this.#raft;
    const ready = this.#ready;
    if (raft.appendsPending) flushAppends(raft);
    if (raft.readRoundPending) sendReadRound(raft);
    ready.hardStateChanged = this.#hardStateChanged();
    ready.hardState.term = raft.term;
    ready.hardState.vote = raft.vote;
    ready.hardState.commit = raft.log.committed;
    ready.commitIndex = raft.log.committed;
    ready.leaderChanged = this.#leaderChanged();
    ready.snapshot = raft.log.nextSnapshot;
    // What comes from now on is for the next one.
    ready.readStates = shown(ready.readStates, raft.readStates);
    ready.messages = shown(ready.messages, raft.messages);
    ready.messagesAfterFlush = shown(ready.messagesAfterFlush, raft.messagesAfterFlush);
    if (raft.readStates.length > 0) raft.readStates = [];
    if (raft.messages.length > 0) raft.messages = [];
    if (raft.messagesAfterFlush.length > 0) raft.messagesAfterFlush = [];
    this.#shownLeader = raft.leader;
    this.#shownRole = raft.role;
    this.#shownLastIndex = raft.log.lastIndex;
    return ready;
  }

  advance(): void {
    const ready = this.#ready;
    this.#reportedTerm = ready.hardState.term;
    this.#reportedVote = ready.hardState.vote;
    this.#reportedCommit = ready.commitIndex;
    this.#reportedLeader = this.#shownLeader;
    this.#reportedRole = this.#shownRole;
    this.#raft.log.acceptUnstable(this.#shownLastIndex, ready.snapshot);
    if (ready.readStates.length > 0) ready.readStates = [];
    if (ready.messages.length > 0) ready.messages = [];
    if (ready.messagesAfterFlush.length > 0) ready.messagesAfterFlush = [];
  }

  #hardStateChanged(): boolean {
    return this.#raft.term !== this.#reportedTerm || this.#raft.vote !== this.#reportedVote;
  }

  #leaderChanged(): boolean {
    const { term, leader, role } = this.#raft;
    return term !== this.#reportedTerm || leader !== this.#reportedLeader || role !== this.#reportedRole;
  }

  #logStart(): void {
    const { id, term, log, tracker, logger } = this.#raft;
    const peers = tracker.configuration.voters.all.ids.map(hex).join(",");
    logger.info(
      `newRaft ${hex(id)} [peers: [${peers}], term: ${term}, commit: ${log.committed}, applied: ${log.applied}, lastindex: ${log.lastIndex}, lastterm: ${log.lastTerm}]`,
    );
  }
}

/** What a ready shows: what the one before showed without being advanced, and what came since. */
function shown<T>(before: readonly T[], now: readonly T[]): readonly T[] {
  if (now.length === 0) return before;
  return before.length === 0 ? now : [...before, ...now];
}
