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
 * Read next: `single-voter.ts` (the one-member implementation), `log-window.ts` (entries in memory), `raft-loop.ts` (who drives it).
 */

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

/** One raftpb.Message between members. The replicating core gives it its fields; one voter neither sends nor takes any. */
export interface RaftMessage {
  readonly type: number;
  readonly from: bigint;
  readonly to: bigint;
  readonly term: number;
}

/** Where new entries go the moment they get their index: the WAL's open batch. */
export interface EntrySink {
  /** Appends an entry whose data is `bytes[start, end)`, borrowed. `index` is at most the last index + 1; a lower one replaces what follows. */
  appendEntry(type: number, term: number, index: number, bytes: Uint8Array, start: number, end: number): void;
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

/** What the core wants done, filled anew by {@link Consensus.ready}; valid until the next call into the core. */
export interface Ready {
  /** True if term or vote changed: {@link hardState} must be durable before any message of this batch leaves. */
  hardStateChanged: boolean;
  hardState: HardState;
  /** Everything up to here is committed and may be applied. */
  commitIndex: number;
  /** Reads of every context up to this one are confirmed: they may be answered once {@link readIndex} is applied. 0 = none yet. */
  readContext: number;
  readIndex: number;
  /** True if term, leader or role changed. */
  leaderChanged: boolean;
  /** Sent at once by a leader; by others after the flush that covers this batch. */
  messages: readonly RaftMessage[];
}

/** The state machine. Single-threaded; all methods return at once. */
export interface Consensus {
  readonly nodeId: bigint;
  readonly term: number;
  /** 0n = no leader known. */
  readonly leaderId: bigint;
  readonly isLeader: boolean;
  readonly lastIndex: number;
  readonly commitIndex: number;
  /** Configuration at the last applied conf change. */
  readonly confState: ConfState;

  /** Begins: one voter becomes leader at once, others as followers. Before any other call. */
  start(): void;
  /** One interval of the raft clock passed. */
  tick(): void;
  /** Appends a proposal (data borrowed). Returns its index, or 0 if it cannot be proposed now (no leader, transfer in progress). */
  propose(type: number, bytes: Uint8Array, start: number, end: number): number;
  /** Asks to confirm leadership for all reads of `context`, a number that grows with every call. The answer comes in {@link Ready}. */
  readIndex(context: number): void;
  /** The read index if this member can vouch for it alone now (one voter whose own entry is committed), else -1. */
  immediateReadIndex(): number;
  /** A message of a peer. */
  step(message: RaftMessage): void;
  /** Storage holds, durably, everything up to `index`, the last of which has `term`. */
  entriesStored(index: number, term: number): void;
  /** The state machine's storage holds everything up to `index`, durably: the log before it is no longer needed to replay. */
  applied(index: number): void;
  /** Term of the entry at `index`, 0 if it is before the last {@link applied} one or beyond the log. */
  termAt(index: number): number;
  /** True if {@link ready} has something new. */
  hasReady(): boolean;
  /** What to do now. Call {@link advance} once it is under way. */
  ready(): Ready;
  advance(): void;
}
