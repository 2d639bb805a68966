import { assert } from "../../base/assert.ts";
import type { Prng } from "../../base/prng.ts";
import type { ConfState, EntryStore, HardState, SnapshotMeta } from "../raft.ts";
import type { RaftLogger } from "./raft-logger.ts";

/** Where a member stands when it starts, and the rules it plays by. Byte limits count encoded raftpb.Entry unless said otherwise. */
export interface RaftOptions {
  readonly nodeId: bigint;
  /** A follower campaigns after one to two times this many ticks without a leader. */
  readonly electionTicks: number;
  /** A leader sends heartbeats every so many ticks. Less than {@link electionTicks}. */
  readonly heartbeatTicks: number;
  /** Spreads election time-outs. */
  readonly prng: Prng;

  /** Entries behind `baseIndex` that the log holds. */
  readonly store: EntryStore;
  /** Index and term of the entry in front of the first one, 0 and 0 for a new log. */
  readonly baseIndex: number;
  readonly baseTerm: number;
  /** Term of each durable entry behind `baseIndex`, in order. */
  readonly terms: Iterable<number>;
  readonly hardState: HardState;
  /** Configuration at {@link appliedIndex}. */
  readonly confState: ConfState;
  /** What the state machine holds already: not below `baseIndex`, which is also the default. */
  readonly appliedIndex?: number;

  /** Ask whether an election could be won before disturbing anyone (Raft thesis, section 9.6). */
  readonly preVote?: boolean;
  /** A leader that hears from no quorum steps down, and nobody votes while a leader is heard of (Raft thesis, section 6.2). */
  readonly checkQuorum?: boolean;
  /** Lease-based reads trust clocks: they need `checkQuorum`. Default: a round of heartbeats confirms them. */
  readonly leaseBasedReads?: boolean;
  /** Most bytes of entries in one append. */
  readonly messageBytesMax: number;
  /** Most appends under way to one follower, and most bytes of data in them (0 = not limited). */
  readonly inflightCountMax: number;
  readonly inflightBytesMax?: number;
  /** Most bytes of data in a leader's uncommitted entries before it refuses proposals; 0 = not limited. */
  readonly uncommittedBytesMax?: number;
  /** Most bytes of committed entries under way to the state machine; default `messageBytesMax`. */
  readonly applyingBytesMax?: number;
  /** Followers refuse proposals instead of forwarding them. */
  readonly disableProposalForwarding?: boolean;
  /** Conf changes are appended unchecked. */
  readonly disableConfChangeValidation?: boolean;
  /** A leader that a conf change removes or demotes steps down. */
  readonly stepDownOnRemoval?: boolean;
  /**
   * Appends and the heartbeats that confirm reads wait for the next `ready`, so that what one turn brings (proposals,
   * acknowledgements, commits, reads) leaves in one message a follower. Off: each is sent where etcd-io/raft sends it.
   */
  readonly deferAppends?: boolean;
  /**
   * An append that brings a follower nothing but a newer commit index is acknowledged at the next tick, or by what is acknowledged
   * before: the leader knows already how far that log is. Off: at once, as etcd-io/raft does.
   */
  readonly deferNewsAcks?: boolean;
  /**
   * What the snapshot for a follower will cover, null if there is none now. By default what is applied: whoever sends the
   * snapshot says what it really covers.
   */
  readonly snapshot?: () => SnapshotMeta | null;
  readonly logger?: RaftLogger;
}

/** Throws for options that contradict each other. */
export function checkOptions(options: RaftOptions): void {
  const { electionTicks, heartbeatTicks, inflightBytesMax = 0, messageBytesMax } = options;
  assert(options.nodeId !== 0n, "cannot use none as id");
  assert(heartbeatTicks > 0, "heartbeat tick must be greater than 0", heartbeatTicks);
  assert(
    electionTicks > heartbeatTicks,
    "election tick must be greater than heartbeat tick",
    electionTicks,
    heartbeatTicks,
  );
  assert(
    options.inflightCountMax > 0,
    "max inflight messages must be greater than 0",
    options.inflightCountMax,
  );
  assert(
    inflightBytesMax === 0 || inflightBytesMax >= messageBytesMax,
    "max inflight bytes must be >= max message size",
    inflightBytesMax,
    messageBytesMax,
  );
  assert(
    options.leaseBasedReads !== true || options.checkQuorum === true,
    "CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased",
  );
}
