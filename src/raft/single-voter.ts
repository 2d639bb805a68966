import { assert } from "../base/assert.ts";
import { TermTable } from "./term-table.ts";
import { EntryType } from "./raft.ts";
import type { ConfState, EntrySink, HardState } from "./raft.ts";
import type { SoleConsensus, SoleMessage, SoleReady } from "./sole-consensus.ts";

const NO_BYTES = new Uint8Array(0);
const NO_MESSAGES: readonly SoleMessage[] = [];

/** Where a member's log stood when it started. */
export interface SingleVoterStart {
  readonly nodeId: bigint;
  readonly hardState: HardState;
  /** Index and term of the entry before the first one in `terms` (the applied state), 0 and 0 for a new log. */
  readonly baseIndex: number;
  readonly baseTerm: number;
  /** Term of each stored entry behind `baseIndex`, in order. */
  readonly terms: Iterable<number>;
  readonly sink: EntrySink;
}

/**
 * Consensus of one voter: it is its own quorum, so an entry is committed when its own storage holds it. As etcd does, it takes
 * leadership at term + 1 with a vote for itself and appends an empty entry, and vouches for reads only once that is committed.
 */
export class SingleVoter implements SoleConsensus {
  readonly nodeId: bigint;
  readonly confState: ConfState;
  readonly #sink: EntrySink;
  readonly #terms: TermTable;
  readonly #ready: SoleReady;

  #term: number;
  #vote: bigint;
  #commit: number;
  #isLeader = false;
  /** Index of this term's empty entry: reads and commits count from here. */
  #termStartIndex = Number.POSITIVE_INFINITY;
  /** Newest context that asked for a read index, and the newest confirmed. */
  #readContextAsked = 0;
  #readContextConfirmed = 0;
  #hardStateChanged = false;
  #leaderChanged = false;
  #commitReported: number;
  #readContextReported = 0;

  constructor(start: SingleVoterStart) {
    this.nodeId = start.nodeId;
    this.confState = {
      voters: [start.nodeId],
      learners: [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    };
    this.#sink = start.sink;
    this.#terms = new TermTable(start.baseIndex, start.baseTerm);
    for (const term of start.terms) this.#terms.append(this.#terms.lastIndex + 1, term);
    this.#term = start.hardState.term;
    this.#vote = start.hardState.vote;
    // The commit index lags behind in storage, and applied state is committed by definition.
    this.#commit = Math.max(start.hardState.commit, start.baseIndex);
    assert(
      this.#commit <= this.#terms.lastIndex,
      "commit index beyond the log",
      this.#commit,
      this.#terms.lastIndex,
    );
    this.#commitReported = this.#commit;
    this.#ready = {
      hardStateChanged: false,
      hardState: { term: this.#term, vote: this.#vote, commit: this.#commit },
      commitIndex: this.#commit,
      readContext: 0,
      readIndex: 0,
      leaderChanged: false,
      messages: NO_MESSAGES,
    };
  }

  get term(): number {
    return this.#term;
  }

  get leaderId(): bigint {
    return this.#isLeader ? this.nodeId : 0n;
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }

  get lastIndex(): number {
    return this.#terms.lastIndex;
  }

  get commitIndex(): number {
    return this.#commit;
  }

  start(): void {
    assert(!this.#isLeader, "started twice");
    this.#term++;
    this.#vote = this.nodeId;
    this.#isLeader = true;
    this.#hardStateChanged = true;
    this.#leaderChanged = true;
    this.#termStartIndex = this.propose(EntryType.normal, NO_BYTES, 0, 0);
  }

  tick(): void {
    // One voter needs neither heartbeats nor elections.
  }

  propose(type: number, bytes: Uint8Array, start: number, end: number): number {
    if (!this.#isLeader) return 0;
    const index = this.#terms.lastIndex + 1;
    this.#terms.append(index, this.#term);
    this.#sink.appendEntry(type, this.#term, index, bytes, start, end);
    return index;
  }

  readIndex(context: number): void {
    assert(context > this.#readContextAsked, "read contexts grow", context, this.#readContextAsked);
    this.#readContextAsked = context;
    this.#confirmReads();
  }

  immediateReadIndex(): number {
    return this.#commit >= this.#termStartIndex ? this.#commit : -1;
  }

  step(message: SoleMessage): void {
    assert(false, "a member that is alone takes no messages", message.type, message.from);
  }

  entriesStored(index: number, term: number): void {
    assert(index <= this.#terms.lastIndex, "storage holds more than the log", index, this.#terms.lastIndex);
    // Only an entry of the own term commits what lies before it (Raft thesis 3.6.2).
    if (term !== this.#term || index <= this.#commit) return;
    this.#commit = index;
    this.#confirmReads();
  }

  applied(index: number): void {
    assert(index <= this.#commit, "applied beyond commit", index, this.#commit);
    this.#terms.release(index);
  }

  termAt(index: number): number {
    return this.#terms.termAt(index);
  }

  hasReady(): boolean {
    return (
      this.#commit !== this.#commitReported ||
      this.#readContextConfirmed !== this.#readContextReported ||
      this.#hardStateChanged ||
      this.#leaderChanged
    );
  }

  ready(): SoleReady {
    const ready = this.#ready;
    ready.hardStateChanged = this.#hardStateChanged;
    ready.hardState.term = this.#term;
    ready.hardState.vote = this.#vote;
    ready.hardState.commit = this.#commit;
    ready.commitIndex = this.#commit;
    ready.readContext = this.#readContextConfirmed;
    ready.readIndex = this.#commit;
    ready.leaderChanged = this.#leaderChanged;
    return ready;
  }

  advance(): void {
    this.#commitReported = this.#commit;
    this.#readContextReported = this.#readContextConfirmed;
    this.#hardStateChanged = false;
    this.#leaderChanged = false;
  }

  #confirmReads(): void {
    if (this.immediateReadIndex() >= 0) this.#readContextConfirmed = this.#readContextAsked;
  }
}
