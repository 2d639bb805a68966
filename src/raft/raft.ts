/**
 * The consensus core as the rest of the raft thread sees it. Pure: time comes as ticks, bytes come and go through arguments.
 *
 * It owns term, vote, leader, commit index and the rules that move them. It never does I/O, never applies an entry, and never
 * keeps an entry's bytes: those go straight from the ring (or from a peer's message) into the WAL's batch buffer through an
 * {@link EntrySink}, one copy, the moment they get their index. Storage writes are asynchronous, as in etcd-io/raft's
 * `AsyncStorageWrites`: the core hears of durable entries through {@link Consensus.entriesStored}.
 *
 * ```
 *   propose / step / tick ──▶ Consensus ──appendEntry──▶ EntrySink (WAL batch) ──flush──▶ entriesStored ──▶ Consensus
 *                                 │                                                                             │
 *                                 └──────────── ready(): hard state, commit index, read states, messages ◀──────┘
 * ```
 *
 * Read next: `core/raft-core.ts` (who implements it), `entry-log.ts` (entries in memory), `raft-loop.ts` (who drives it).
 */

import type { MessageTrace } from "./peer-traces.ts";

/** raftpb.EntryType. */
export const EntryType = {
  normal: 0,
  confChange: 1,
  confChangeV2: 2,
} as const;

/** raftpb.HardState: what a member must not forget over a restart. `vote` 0 = none. */
export interface HardState {
  term: number;
  vote: bigint;
  commit: number;
}

/** raftpb.ConfState: who votes. */
export interface ConfState {
  voters: readonly bigint[];
  learners: readonly bigint[];
  votersOutgoing: readonly bigint[];
  learnersNext: readonly bigint[];
  autoLeave: boolean;
}

/** raftpb.MessageType. Only 2 to 9 and 13 to 18 travel between members. */
export const MessageType = {
  hup: 0,
  beat: 1,
  prop: 2,
  app: 3,
  appResp: 4,
  vote: 5,
  voteResp: 6,
  snap: 7,
  heartbeat: 8,
  heartbeatResp: 9,
  unreachable: 10,
  snapStatus: 11,
  checkQuorum: 12,
  transferLeader: 13,
  timeoutNow: 14,
  readIndex: 15,
  readIndexResp: 16,
  preVote: 17,
  preVoteResp: 18,
  storageAppend: 19,
  storageAppendResp: 20,
  storageApply: 21,
  storageApplyResp: 22,
  forgetLeader: 23,
} as const;

/** raftpb.SnapshotMetadata: a state that covers the log up to `index`. */
export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

/** Consecutive entries of one batch: `batch[from, from + count)`. */
export interface EntrySlice {
  readonly batch: EntryBatch;
  readonly from: number;
  readonly count: number;
}

/**
 * One raftpb.Message between members. Whatever is not used by its type is 0, false, empty or null. Entries are borrowed: of a
 * message that comes in until {@link Consensus.step} returns, of one that goes out until the call that sends it returns.
 */
export interface RaftMessage {
  readonly type: number;
  readonly to: bigint;
  readonly from: bigint;
  readonly term: number;
  readonly logTerm: number;
  readonly index: number;
  readonly commit: number;
  readonly vote: bigint;
  readonly reject: boolean;
  readonly rejectHint: number;
  readonly entries: readonly EntrySlice[];
  readonly context: Uint8Array | null;
  readonly snapshot: SnapshotMeta | null;
  /** Trace contexts of sampled entries among {@link entries}, or of reads; absent if there are none. The core passes them on with a forwarded proposal. */
  readonly traces?: readonly MessageTrace[];
}

/** A read that a quorum has confirmed: it may be answered once `index` is applied. `context` is what {@link Consensus.readIndex} was given. */
export interface ReadState {
  readonly index: number;
  readonly context: Uint8Array;
}

/** Where new entries go the moment they get their index: the WAL's open batch. */
export interface EntrySink {
  /** Appends an entry whose data is `bytes[start, end)`, borrowed. `index` is at most the last index + 1; a lower one replaces what follows. */
  appendEntry(type: number, term: number, index: number, bytes: Uint8Array, start: number, end: number): void;
}

/** The log's entries, those not yet durable included: the core writes them here and has them sent from here. */
export interface EntryStore extends EntrySink {
  /** Lowest index that {@link slices} can give; older ones are compacted away. Last index + 1 when there is none. */
  readonly firstIndex: number;
  /**
   * Entries from `first` to at most `last`, as many as their raftpb.Entry encodings fit in `bytesMax`, but at least one.
   * `first` must not be below {@link firstIndex}. What they hold stays as it is until the next {@link Consensus.advance}, even if
   * entries are replaced or compacted meanwhile: messages that carry them wait for it.
   */
  slices(first: number, last: number, bytesMax: number): readonly EntrySlice[];
  /**
   * A snapshot takes the place of the whole log: everything is forgotten, and the next entry is `snapshot.index + 1`. Called when
   * the core accepts the snapshot, so that entries which follow in the same turn find their place behind it.
   */
  startAfter(snapshot: SnapshotMeta): void;
}

/**
 * Consecutive log entries in one piece of memory. Entry `i` (0 <= i < count) has index `firstIndex + i`; nothing is an object
 * an entry. The bytes stay valid while the batch is held.
 */
export interface EntryBatch {
  readonly firstIndex: number;
  readonly count: number;
  readonly bytes: Uint8Array;
  term(i: number): number;
  type(i: number): number;
  /** The entry's data is `bytes[dataStart(i), dataEnd(i))`. */
  dataStart(i: number): number;
  dataEnd(i: number): number;
}

/** What the core wants done, filled anew by {@link Consensus.ready}; valid until {@link Consensus.advance}. */
export interface Ready {
  /** True if term or vote changed: {@link hardState} must be durable before any of {@link messagesAfterFlush} leaves. */
  hardStateChanged: boolean;
  hardState: HardState;
  /** Everything up to here is committed and may be applied. */
  commitIndex: number;
  /** Confirmed reads, oldest first; a confirmed context vouches for all older ones of this member too. */
  readStates: readonly ReadState[];
  /** True if term, leader or role changed. */
  leaderChanged: boolean;
  /** A snapshot to store and to install in place of the log; entries behind it come later. */
  snapshot: SnapshotMeta | null;
  /** To send at once, in this order. */
  messages: readonly RaftMessage[];
  /**
   * What promises durability: to send once everything appended so far (entries, hard state, snapshot) is durable. A message to
   * this member itself goes back into {@link Consensus.step} at that moment.
   */
  messagesAfterFlush: readonly RaftMessage[];
}

/** How far a member of the group is, as the leader sees it. */
export interface MemberProgress {
  readonly id: bigint;
  readonly match: number;
  readonly next: number;
  readonly state: "probe" | "replicate" | "snapshot";
  readonly isLearner: boolean;
  readonly recentActive: boolean;
}

/** One change of raftpb.ConfChangeV2. Types as raftpb.ConfChangeType: 0 add voter, 1 remove, 2 update, 3 add learner. */
export interface ConfChangeSingle {
  readonly type: number;
  readonly nodeId: bigint;
}

/** raftpb.ConfChangeV2; a V1 change is one with transition 0 and a single change. Node id 0 changes nothing. */
export interface ConfChange {
  /** 0 auto, 1 joint implicit, 2 joint explicit. */
  readonly transition: number;
  readonly changes: readonly ConfChangeSingle[];
}

/** What became of a call into the core. */
export const StepResult = {
  ok: 0,
  /** The proposal was refused: no leader, a leader transfer in progress, the uncommitted limit, or not a member any more. */
  proposalDropped: 1,
  /** The response of a member that is not in the configuration. */
  unknownPeer: 2,
} as const;

/** The state machine. Single-threaded; all methods return at once. */
export interface Consensus {
  readonly nodeId: bigint;
  readonly term: number;
  /** 0n = no leader known. */
  readonly leaderId: bigint;
  readonly isLeader: boolean;
  /** Who is to take over from this leader, which takes no proposals meanwhile; 0n = nobody. */
  readonly transferee: bigint;
  /** True if this member is in the configuration as a learner. */
  readonly isLearner: boolean;
  readonly lastIndex: number;
  readonly commitIndex: number;
  /** Configuration at the last applied conf change. */
  readonly confState: ConfState;

  /** Begins: a sole voter campaigns at once, others as followers. Before any other call. */
  start(): void;
  /** One interval of the raft clock passed. */
  tick(): void;
  /** Campaigns now (hup). */
  campaign(): void;
  /**
   * The fast path of a leader: appends a proposal (data borrowed). Returns its index, or 0 if this member does not lead or cannot
   * take it. What was appended is sent to the others by the next {@link ready}, in one go.
   */
  propose(type: number, bytes: Uint8Array, start: number, end: number): number;
  /** Asks to confirm leadership for reads; `context` (kept) must be unique in the cluster. The answer comes in {@link Ready.readStates}, or never. */
  readIndex(context: Uint8Array): void;
  /** The read index if this member can vouch for it alone now (sole voter whose own entry is committed), else -1. */
  immediateReadIndex(): number;
  /** A message of a peer, a local one, or a proposal that a follower forwards. Returns a {@link StepResult}. */
  step(message: RaftMessage): number;
  /**
   * Storage holds, durably, everything up to `index`, the last of which has `term`. A leader counts itself in by this.
   * @param memberTerm {@link term} when that write began, to be given unless this member is alone for ever: entries may have been
   * replaced, and replaced back, since, and then storage is yet to undergo both. News from before a change of term are
   * therefore ignored, so a flush that made a change of term durable must be followed by this call even if it wrote no entry.
   */
  entriesStored(index: number, term: number, memberTerm?: number): void;
  /** The snapshot of {@link Ready.snapshot} is durable and installed as the state. */
  snapshotInstalled(index: number): void;
  /** Everything up to `index` was applied, conf changes included. */
  applied(index: number): void;
  /** Call for each committed conf change, before {@link applied} passes it. Returns the new configuration. */
  applyConfChange(change: ConfChange): ConfState;
  /** Messages to `id` were dropped. */
  reportUnreachable(id: bigint): void;
  /** A snapshot sent to `id` arrived or failed. */
  reportSnapshot(id: bigint, ok: boolean): void;
  /** Hands leadership to `id`: on the leader, or forwarded to it. */
  transferLeader(id: bigint): void;
  /** Entries up to `index` are gone from the {@link EntryStore}. */
  compacted(index: number): void;
  /** Term of the entry at `index`, 0 if it is compacted away (but the last such one) or beyond the log. */
  termAt(index: number): number;
  /** What a leader knows of every member of the configuration, itself included, by ascending id; empty on others. */
  progress(): readonly MemberProgress[];
  /** True if {@link ready} has something new. */
  hasReady(): boolean;
  /** What to do now. Call {@link advance} once it is under way. */
  ready(): Ready;
  advance(): void;
}
