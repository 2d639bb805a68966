/** The contract that the one-voter core and the loop around it were built to; goes when the loop drives the replicating core of `raft.ts`. */

import type { ConfState, HardState } from "./raft.ts";

/** One raftpb.Message between members. The replicating core gives it its fields; one voter neither sends nor takes any. */
export interface SoleMessage {
  readonly type: number;
  readonly from: bigint;
  readonly to: bigint;
  readonly term: number;
}

/** What the core wants done, filled anew by {@link SoleConsensus.ready}; valid until the next call into the core. */
export interface SoleReady {
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
  messages: readonly SoleMessage[];
}

/** The state machine. Single-threaded; all methods return at once. */
export interface SoleConsensus {
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
  step(message: SoleMessage): void;
  /** Storage holds, durably, everything up to `index`, the last of which has `term`. */
  entriesStored(index: number, term: number): void;
  /** The state machine's storage holds everything up to `index`, durably: the log before it is no longer needed to replay. */
  applied(index: number): void;
  /** Term of the entry at `index`, 0 if it is before the last {@link applied} one or beyond the log. */
  termAt(index: number): number;
  /** True if {@link ready} has something new. */
  hasReady(): boolean;
  /** What to do now. Call {@link advance} once it is under way. */
  ready(): SoleReady;
  advance(): void;
}
