import { assert } from "../../base/assert.ts";
import { MessageType } from "../raft.ts";
import type { RaftMessage, ReadState } from "../raft.ts";
import type { Progress } from "../tracker/progress.ts";
import { ProgressTracker } from "../tracker/tracker.ts";
import { isVoteMessage, NONE, promisesDurability } from "./messages.ts";
import type { MutableMessage } from "./messages.ts";
import { RaftLog } from "./raft-log.ts";
import { hex, SILENT_LOGGER } from "./raft-logger.ts";
import type { RaftLogger } from "./raft-logger.ts";
import type { RaftOptions } from "./raft-options.ts";
import { ReadConfirmations } from "./read-confirmations.ts";
import type { ReadRequest } from "./read-confirmations.ts";
import { UncommittedBytes } from "./uncommitted-bytes.ts";

export type Role = "follower" | "preCandidate" | "candidate" | "leader";

/**
 * All that one member knows. The functions of this folder move it; nobody outside writes to it. Node id 0 means none.
 */
export class RaftState {
  readonly id: bigint;
  readonly options: RaftOptions;
  readonly logger: RaftLogger;
  readonly log: RaftLog;
  readonly tracker: ProgressTracker;

  /** Highest term heard of. Never goes back; durable before anything that depends on it leaves. */
  term: number;
  /** Whom this member voted for in {@link term}. As durable as that. */
  vote: bigint;
  leader = NONE;
  role: Role = "follower";
  /** In the configuration as a learner. */
  isLearner = false;
  /** The only voter of the configuration. */
  isSoleVoter = false;
  /** This member's own progress, null when it is not in the configuration. */
  self: Progress | null = null;

  /** Leader: who is to take over (Raft thesis, section 3.10); no proposals are taken meanwhile. */
  transferee = NONE;
  /** Leader: no conf change stands in the log behind this index. New ones wait until it is applied. */
  pendingConfIndex = 0;
  /** Leader: index of its term's first entry; Infinity on others. Reads count from its commitment on. */
  termStartIndex = Infinity;
  readonly uncommitted: UncommittedBytes;
  readonly reads = new ReadConfirmations();
  /** Leader: reads that wait for the first commitment of the term. */
  postponedReads: ReadRequest[] = [];

  /** Follower: the newest index acknowledged to this term's leader, and whether it waits to hear that again. */
  ackedIndex = 0;
  isAckDue = false;

  /** Ticks since the leader was heard of; on a leader, since it last checked its quorum. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  /** Drawn anew with every change of role: from electionTicks to twice that, less one. */
  randomizedElectionTicks = 0;

  /** Results for the next ready. */
  messages: RaftMessage[] = [];
  messagesAfterFlush: RaftMessage[] = [];
  readStates: ReadState[] = [];
  /** Followers may lack entries or the commit index: the next ready sends them. */
  appendsPending = false;
  /** Reads came that need a round of heartbeats: the next ready begins it. */
  readRoundPending = false;

  constructor(options: RaftOptions) {
    const { hardState, logger = SILENT_LOGGER } = options;
    this.id = options.nodeId;
    this.options = options;
    this.logger = logger;
    this.log = new RaftLog({
      store: options.store,
      baseIndex: options.baseIndex,
      baseTerm: options.baseTerm,
      terms: options.terms,
      applyingBytesMax: options.applyingBytesMax ?? options.messageBytesMax,
      logger,
    });
    this.tracker = new ProgressTracker({
      inflightCountMax: options.inflightCountMax,
      inflightBytesMax: options.inflightBytesMax ?? 0,
    });
    this.uncommitted = new UncommittedBytes(options.uncommittedBytesMax ?? 0);
    this.term = hardState.term;
    this.vote = hardState.vote;
  }

  /** Puts this member's id and term to a message and queues it: behind the flush, if it promises that something is durable. */
  send(message: MutableMessage): void {
    const { type } = message;
    if (message.from === NONE) message.from = this.id;
    if (isVoteMessage(type)) {
      // These carry the term that is campaigned for, or the one of the request.
      assert(message.term !== 0, "a vote message needs its term", type);
    } else {
      assert(message.term === 0, "term should not be set when sending", type, message.term);
      // What is forwarded to the leader counts as said there.
      if (type !== MessageType.prop && type !== MessageType.readIndex) message.term = this.term;
    }
    if (promisesDurability(type)) {
      this.messagesAfterFlush.push(message);
      return;
    }
    assert(message.to !== this.id, "message should not be self-addressed", type);
    this.messages.push(message);
  }

  /** True if this member may become leader: a voter whose state is whole. */
  get isPromotable(): boolean {
    return this.self !== null && !this.self.isLearner && !this.log.hasPendingSnapshot;
  }

  /** True if a leader has committed an entry of its term, so that its commit index is not behind anybody's (section 6.4). */
  get hasCommittedInTerm(): boolean {
    return this.log.committed >= this.termStartIndex;
  }

  /** `1 [logterm: 1, index: 11, vote: 0]`: how logs introduce a voter. */
  describeVoter(): string {
    const { lastTerm, lastIndex } = this.log;
    return `${hex(this.id)} [logterm: ${lastTerm}, index: ${lastIndex}, vote: ${hex(this.vote)}]`;
  }
}
