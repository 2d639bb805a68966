/**
 * What main and the other threads ask of the raft thread, record by record: proposals, reads, conf changes, answers to peers. On the
 * leader a proposal goes straight into the log's open batch; elsewhere those of one turn are gathered for the leader, and without
 * one they wait, as they do while a leader hands over. Everything that is refused is refused here.
 */

import { assert } from "../base/assert.ts";
import { viewOf } from "../base/bytes.ts";
import { ErrorId } from "../base/errors.ts";
import { FLAG_TRACED, RecordType } from "../ring/record-types.ts";
import type { RecordHandler } from "../ring/ring.ts";
import { TRACE_PREFIX_BYTES, contextAt } from "../ring/trace.ts";
import type { ApplyFeed } from "./apply-feed.ts";
import { singleEntry } from "./core/entry-slices.ts";
import type { MainFeed } from "./main-feed.ts";
import type { PeerNetwork } from "./peer-network.ts";
import { ProposalQueue, propose } from "./proposal-queue.ts";
import { raftReport } from "./raft-report.ts";
import { type Consensus, EntryType, StepResult } from "./raft.ts";
import type { RaftStages } from "./raft-stages.ts";
import type { RaftTracer } from "./raft-tracer.ts";
import type { ReadRounds } from "./read-rounds.ts";

/** Most bytes of reads that wait for leadership to be confirmed or for room; at twice that, reads are refused. */
export const WAITING_READ_BYTES_MAX = 8 * 1024 * 1024;
/** f64 term in front of what only its leader may propose. */
const TERM_BYTES = 8;

/** What the records are handed to. */
export interface RecordIntakeParts {
  readonly consensus: Consensus;
  readonly apply: ApplyFeed;
  readonly main: MainFeed;
  readonly reads: ReadRounds;
  readonly network: PeerNetwork;
  readonly tracer: RaftTracer | null;
  readonly stages: RaftStages | null;
  /** A snapshot takes the place of the state: nothing goes to apply. */
  readonly isInstalling: () => boolean;
  /** Takes what the other threads have sent. */
  readonly drainWorkers: () => void;
  /** Storage holds everything up to `index`. */
  readonly storageCommitted: (index: number) => void;
  /** Apply has judged the conf change at `index`. */
  readonly confChangeResult: (index: number, isValid: boolean) => void;
}

export class RecordIntake {
  readonly #parts: RecordIntakeParts;
  readonly #proposals = new ProposalQueue();

  constructor(parts: RecordIntakeParts) {
    this.#parts = parts;
  }

  /** Takes one record; for the rings' drain. */
  readonly handler: RecordHandler = (type, flags, requestId, bytes, start, end): void => {
    switch (type) {
      case RecordType.propose:
        this.#propose(flags, requestId, bytes, start, end);
        return;
      case RecordType.proposeAsLeader:
        this.#proposeAsLeader(requestId, bytes, start, end);
        return;
      case RecordType.read:
        this.#read(flags, requestId, bytes, start, end);
        return;
      case RecordType.cancel:
        this.#parts.reads.queue.cancel(requestId);
        if (this.#proposals.isWaiting) this.#proposals.cancel(requestId);
        return;
      case RecordType.committed:
        this.#parts.storageCommitted(requestId);
        return;
      default:
        this.#handleRare(type, requestId, bytes, start, end);
    }
  };

  #handleRare(type: number, requestId: number, bytes: Uint8Array, start: number, end: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset + start, end - start);
    switch (type) {
      case RecordType.proposeConfChange:
        // Whoever proposes one has seen the last one done; apply told raft of that first, but in another ring.
        this.#parts.drainWorkers();
        this.#proposeConfChange(requestId, new Uint8Array(bytes.subarray(start, end)));
        return;
      case RecordType.confChangeResult:
        this.#parts.confChangeResult(requestId, view.getUint32(0, true) === 1);
        return;
      case RecordType.membership:
        this.#parts.network.setMembership(new Uint8Array(bytes.subarray(start, end)));
        return;
      case RecordType.slowRequest:
        this.#parts.stages?.report(requestId, bytes, start);
        this.#parts.apply.passOn(type, FLAG_TRACED, requestId, bytes, start, end);
        return;
      case RecordType.transferLeader:
        this.#parts.consensus.transferLeader(view.getBigUint64(0, true));
        return;
      case RecordType.raftReport:
        this.#parts.main.post(
          RecordType.response,
          requestId,
          raftReport(this.#parts.consensus, this.#parts.network),
        );
        return;
      case RecordType.peerResponse: {
        const body = new Uint8Array(bytes.subarray(start + 4, end));
        this.#parts.network.respond(requestId, view.getUint16(0, true), view.getUint8(2), body);
        return;
      }
      default:
        assert(false, "unknown record in the raft inbox", type);
    }
  }

  #propose(flags: number, requestId: number, bytes: Uint8Array, start: number, end: number): void {
    const { consensus, tracer } = this.#parts;
    const isTraced = (flags & FLAG_TRACED) !== 0;
    const dataStart = isTraced ? start + TRACE_PREFIX_BYTES : start;
    if (!consensus.isLeader) {
      if (isTraced && consensus.leaderId !== 0n) tracer?.gathered(this.#proposals.gathered, bytes, start);
      this.#proposeElsewhere(EntryType.normal, requestId, bytes, dataStart, end);
      return;
    }
    if (isTraced) tracer?.taken(bytes, start);
    const index = consensus.propose(EntryType.normal, bytes, dataStart, end);
    if (index === 0) this.#dropped(EntryType.normal, requestId, bytes, dataStart, end);
    else if (isTraced) tracer?.proposed(index, consensus.term, contextAt(bytes, start));
  }

  /** This leader does not take the proposal: while it hands over, the proposal waits for who leads then. */
  #dropped(type: number, requestId: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.#parts.consensus.transferee === 0n) this.#parts.main.refuse(requestId, ErrorId.proposalDropped);
    else this.#wait(type, requestId, bytes, start, end);
  }

  #wait(type: number, requestId: number, bytes: Uint8Array, start: number, end: number): void {
    if (!this.#proposals.wait(type, requestId, bytes, start, end))
      this.#parts.main.refuse(requestId, ErrorId.requestTooManyRequests);
  }

  /** What follows from leading in one term is never forwarded, and never proposed in another term. */
  #proposeAsLeader(requestId: number, bytes: Uint8Array, start: number, end: number): void {
    const consensus = this.#parts.consensus;
    const term = viewOf(bytes).getFloat64(bytes.byteOffset + start, true);
    if (!consensus.isLeader || consensus.term !== term) {
      this.#parts.main.refuse(requestId, ErrorId.notLeader);
      return;
    }
    const index = consensus.propose(EntryType.normal, bytes, start + TERM_BYTES, end);
    if (index === 0) this.#parts.main.refuse(requestId, ErrorId.proposalDropped);
  }

  #proposeElsewhere(type: number, requestId: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.#parts.consensus.leaderId !== 0n) this.#proposals.gather(type, requestId, bytes, start, end);
    else this.#wait(type, requestId, bytes, start, end);
  }

  /** By a message and not by the fast path: the core looks at conf changes, and may refuse them. */
  #proposeConfChange(requestId: number, data: Uint8Array): void {
    const consensus = this.#parts.consensus;
    if (!consensus.isLeader) {
      this.#proposeElsewhere(EntryType.confChange, requestId, data, 0, data.length);
      return;
    }
    const [slice] = singleEntry(data, EntryType.confChange);
    if (propose(consensus, slice) === StepResult.proposalDropped)
      this.#dropped(EntryType.confChange, requestId, data, 0, data.length);
  }

  /** What this turn gathered leaves in one message. */
  forwardProposals(): void {
    if (!this.#proposals.hasGathered) return;
    const { consensus, main, tracer } = this.#parts;
    this.#proposals.forward(
      consensus,
      (requestId) => main.refuse(requestId, ErrorId.proposalDropped),
      tracer === null ? undefined : (from, count) => tracer.forwarded(from, count, consensus.leaderId),
    );
    tracer?.gatheredGone();
  }

  /** What waited for a leader, or for the end of a transfer, is proposed once there is one. */
  proposeWaiting(): void {
    const { leaderId, transferee } = this.#parts.consensus;
    if (!this.#proposals.isWaiting || leaderId === 0n || transferee !== 0n) return;
    for (const { type, requestId, data } of this.#proposals.takeWaiting()) {
      if (type === EntryType.normal) this.#propose(0, requestId, data, 0, data.length);
      else this.#proposeConfChange(requestId, data);
    }
    this.forwardProposals();
  }

  #read(flags: number, requestId: number, bytes: Uint8Array, start: number, end: number): void {
    if ((flags & FLAG_TRACED) !== 0) this.#parts.tracer?.reads.taken(bytes, start);
    const readIndex = this.#parts.consensus.immediateReadIndex();
    if (readIndex >= 0 && !this.#parts.isInstalling()) {
      if (this.#parts.apply.tryRead(readIndex, flags, requestId, bytes, start, end)) return;
    }
    if (this.#parts.reads.queue.bytes >= 2 * WAITING_READ_BYTES_MAX)
      this.#parts.main.refuse(requestId, ErrorId.requestTooManyRequests);
    else {
      const { reads, tracer } = this.#parts;
      if ((flags & FLAG_TRACED) !== 0) tracer?.reads.joined(bytes, start, reads.openContext());
      reads.push(flags, requestId, bytes, start, end);
    }
  }
}
