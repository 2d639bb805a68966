import { MessageType, StepResult } from "./raft.ts";
import type { Consensus, EntrySlice } from "./raft.ts";
import { localMessage } from "./core/messages.ts";
import type { MessageTrace } from "./peer-traces.ts";
import { MergedBatch } from "./merged-batch.ts";

/**
 * Most proposals, and bytes of them, that wait for a leader. An election takes seconds at worst, and whoever waits longer than
 * seven is told that the request timed out; beyond these, proposals are refused at once.
 */
export const WAITING_PROPOSALS_MAX = 10_000;
export const WAITING_PROPOSAL_BYTES_MAX = 16 * 1024 * 1024;
/** What a forwarded message may hold, as etcd's MaxSizePerMsg. */
const FORWARD_BYTES_MAX = 1024 * 1024;
/** A gathering buffer that grew beyond this is not kept. */
const GATHER_BYTES_KEPT_MAX = 4 * 1024 * 1024;

/** A proposal that waits for a leader, or until this one has handed over. */
export interface WaitingProposal {
  readonly type: number;
  readonly requestId: number;
  readonly data: Uint8Array;
}

/** Proposals of a member that does not lead: those of one turn are gathered for the leader; while there is none, or it hands over, they wait. */
export class ProposalQueue {
  #waiting: WaitingProposal[] = [];
  #waitingBytes = 0;
  #gathered = new MergedBatch(0);
  #gatheredIds: number[] = [];

  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  get hasGathered(): boolean {
    return this.#gathered.count > 0;
  }

  /** How many proposals were gathered in this turn. */
  get gathered(): number {
    return this.#gathered.count;
  }

  /** Keeps a copy until there is a leader. False if too many wait already. */
  wait(type: number, requestId: number, bytes: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    if (this.#waiting.length >= WAITING_PROPOSALS_MAX) return false;
    if (this.#waitingBytes + length > WAITING_PROPOSAL_BYTES_MAX) return false;
    this.#waiting.push({ type, requestId, data: new Uint8Array(bytes.subarray(start, end)) });
    this.#waitingBytes += length;
    return true;
  }

  /** Nobody waits for this one any more: if it has not left yet, it is not proposed. */
  cancel(requestId: number): void {
    const at = this.#waiting.findIndex((proposal) => proposal.requestId === requestId);
    if (at < 0) return;
    this.#waitingBytes -= this.#waiting[at].data.length;
    this.#waiting.splice(at, 1);
  }

  /** Hands out what waited, oldest first: there is a leader. */
  takeWaiting(): WaitingProposal[] {
    this.#waitingBytes = 0;
    return this.#waiting.splice(0);
  }

  /** Adds a proposal to those that go to the leader at the end of this turn; data is copied. */
  gather(type: number, requestId: number, bytes: Uint8Array, start: number, end: number): void {
    this.#gathered.add(type, 0, bytes, start, end);
    this.#gatheredIds.push(requestId);
  }

  /**
   * Forwards what was gathered, in messages of bounded size. `refuse` is told of each proposal that was dropped on the way; `traces`
   * says which of the next `count` from `from` on are sampled.
   */
  forward(
    consensus: Consensus,
    refuse: (requestId: number) => void,
    traces?: (from: number, count: number) => readonly MessageTrace[],
  ): void {
    const batch = this.#gathered;
    for (let from = 0; from < batch.count;) {
      const count = countUpTo(batch, from, FORWARD_BYTES_MAX);
      if (propose(consensus, { batch, from, count }, traces?.(from, count)) === StepResult.proposalDropped)
        this.#gatheredIds.slice(from, from + count).forEach(refuse);
      from += count;
    }
    this.#gatheredIds = [];
    if (batch.bytes.length > GATHER_BYTES_KEPT_MAX) this.#gathered = new MergedBatch(0);
    else batch.clear();
  }
}

/** Proposes entries by a message, as forwarded and conf change proposals are. The core borrows them. Returns a StepResult. */
export function propose(
  consensus: Consensus,
  slice: EntrySlice,
  traces: readonly MessageTrace[] = [],
): number {
  const message = localMessage(MessageType.prop, consensus.nodeId);
  message.entries = [slice];
  return consensus.step(traces.length === 0 ? message : { ...message, traces });
}

/** How many entries from `from` on have at most `bytesMax`; at least one. */
function countUpTo(batch: MergedBatch, from: number, bytesMax: number): number {
  const start = batch.dataStart(from);
  let count = 1;
  while (from + count < batch.count && batch.dataEnd(from + count) - start <= bytesMax) count++;
  return count;
}
