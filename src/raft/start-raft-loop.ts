/** Puts a member's raft together: the log in memory over the one on disk, the core over that, the loop around both. */

import type { Prng } from "../base/prng.ts";
import { createRaft } from "./core/raft-core.ts";
import type { RaftLogger } from "./core/raft-logger.ts";
import { EntryLog } from "./entry-log.ts";
import type { LogStorage } from "./log-storage.ts";
import type { ConfState, EntryBatch, HardState } from "./raft.ts";
import { RaftLoop } from "./raft-loop.ts";
import type { LoopLog, RaftLoopOptions } from "./raft-loop-options.ts";

/** Most bytes of entries in one append, and most appends on their way to one follower: etcd's. */
const MESSAGE_BYTES_MAX = 1024 * 1024;
const INFLIGHT_APPENDS_MAX = 512;

/** What the log held at start. */
export interface LogContents {
  readonly storage: LogStorage;
  readonly hardState: HardState;
  /** Entries above the applied index, in order; entries right before it may come first, for followers that lag. */
  readonly entries: readonly EntryBatch[];
  readonly lastIndex: number;
  /** Term of the entry at the applied index; 0 for a new log. */
  readonly appliedTerm: number;
  /** Newest snapshot marker. */
  readonly snapshotIndex: number;
}

/** How the group elects its leader. */
export interface ElectionOptions {
  readonly electionTicks: number;
  readonly preVote: boolean;
  /** Spreads election time-outs; members must not draw the same numbers. */
  readonly prng: Prng;
}

export interface RaftLoopStart extends Omit<
  RaftLoopOptions,
  "consensus" | "entries" | "storage" | "snapshotIndex"
> {
  readonly nodeId: bigint;
  readonly contents: LogContents;
  /** Configuration at the applied index. Empty for a new log: its entries say who belongs to the group. */
  readonly confState: ConfState;
  readonly election: ElectionOptions;
}

/**
 * Checks that the log reaches as far as storage does, and begins: committed entries above `appliedIndex` go to apply first.
 * Throws if the log ends below `appliedIndex`: then acknowledged entries are lost.
 */
export function startRaftLoop(start: RaftLoopStart): RaftLoop {
  const { nodeId, contents, confState, election, appliedIndex } = start;
  const { storage, hardState, lastIndex, snapshotIndex } = contents;
  if (lastIndex < appliedIndex) {
    throw new Error(
      `raft: the write-ahead log ends at index ${lastIndex}, but storage has applied up to ${appliedIndex}: entries are lost`,
    );
  }
  const entries = new EntryLog({ ...contents, recovered: contents.entries, appliedIndex });
  const baseIndex = entries.firstIndex - 1;
  const consensus = createRaft({
    nodeId,
    electionTicks: election.electionTicks,
    heartbeatTicks: 1,
    prng: election.prng,
    store: entries,
    baseIndex,
    baseTerm: entries.terms.termAt(baseIndex),
    terms: termsBehind(entries, baseIndex),
    hardState,
    confState,
    appliedIndex,
    preVote: election.preVote,
    checkQuorum: true,
    messageBytesMax: MESSAGE_BYTES_MAX,
    inflightCountMax: INFLIGHT_APPENDS_MAX,
    deferAppends: true,
    deferNewsAcks: true,
    logger: coreLogger(start.log),
  });
  const loop = new RaftLoop({ ...start, consensus, entries, storage, snapshotIndex });
  loop.start();
  return loop;
}

function* termsBehind({ terms, lastIndex }: EntryLog, baseIndex: number): Iterable<number> {
  for (let index = baseIndex + 1; index <= lastIndex; index++) yield terms.termAt(index);
}

function coreLogger(log: LoopLog): RaftLogger {
  const fields = { logger: "raft" };
  return {
    debug: (text) => log("debug", text, fields),
    info: (text) => log("info", text, fields),
    warning: (text) => log("warn", text, fields),
    error: (text) => log("error", text, fields),
  };
}
