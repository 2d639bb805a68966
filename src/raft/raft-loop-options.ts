/** What the loop of the raft thread is made of. The worker wires shared memory, files and sockets to it, the simulator its own. */

import type { RaftMeters } from "../base/thread-meters.ts";
import type { RingReader, RingWriter } from "../ring/ring.ts";
import type { EntryLog } from "./entry-log.ts";
import type { LogStorage } from "./log-storage.ts";
import type { PeerEvents, PeerNetwork } from "./peer-network.ts";
import type { Consensus } from "./raft.ts";
import type { RaftStages } from "./raft-stages.ts";
import type { RaftTracer } from "./raft-tracer.ts";
import type { SnapshotService } from "./snapshot-service.ts";

/** Where the loop sleeps; `Doorbell` is one. */
export interface LoopDoorbell {
  prepareSleep(): number;
  awake(): void;
  sleepAsync(sequence: number): Promise<unknown> | undefined;
}

export type LoopLog = (
  level: "debug" | "info" | "warn" | "error",
  message: string,
  fields: Record<string, unknown>,
) => void;

export interface RaftLoopOptions {
  /** Made with {@link entries} as its store. Not started yet. */
  readonly consensus: Consensus;
  /** The log in memory, over {@link storage}. */
  readonly entries: EntryLog;
  readonly storage: LogStorage;
  /** Makes the network; it may call its argument from the next turn on. */
  readonly createNetwork: (events: PeerEvents) => PeerNetwork;
  readonly snapshots: SnapshotService;
  /** What the state machine's storage holds already. */
  readonly appliedIndex: number;
  /** Newest snapshot marker in the log. */
  readonly snapshotIndex: number;
  /** --snapshot-count: a marker each time storage has advanced by so many entries. */
  readonly snapshotCount: number;
  /** --snapshot-catchup-entries: entries kept for followers behind the newest marker. */
  readonly catchUpEntries: number;
  /** Where this life's read contexts begin to count: above all of earlier lives, below 2^48. */
  readonly firstReadNumber: number;
  /** Milliseconds between two calls of `tick`. */
  readonly tickMs: number;
  /** Records of main; not taken while too much is under way. */
  readonly fromMain: RingReader;
  /** Records of storage and apply; always taken. */
  readonly fromWorkers: readonly RingReader[];
  readonly toApply: RingWriter;
  readonly toMain: RingWriter;
  readonly doorbell: LoopDoorbell;
  /** Calls back after some milliseconds; a newer call may replace one that has not happened. */
  readonly callAfter: (milliseconds: number, callback: () => void) => void;
  /** Lets the event loop run once (setImmediate), so that a busy inbox cannot starve the disk's answers. */
  readonly yieldToEvents: () => Promise<void>;
  /** This member is no member any more: it should stop after a second, in which the others learn what it knows. */
  readonly onRemoved: () => void;
  readonly log: LoopLog;
  /** Where it counts, and after which time reads that wait count as slow; without, it does not count. */
  readonly metrics?: { readonly meters: RaftMeters; readonly slowReadMs: number };
  /** Follows sampled requests; without, there are none. */
  readonly tracer?: RaftTracer | null;
  /** Notes its stages, for requests that turn out to be slow; without, it does not. */
  readonly stages?: RaftStages | null;
}
