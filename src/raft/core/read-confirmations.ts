import type { JointConfig } from "../quorum/joint.ts";
import type { AckedIndexes } from "../quorum/quorum.ts";

/**
 * Most reads that wait for a leader's confirmation; what comes beyond is dropped, and asked again by whoever waits for it. A
 * read here stands for all that one member gathered in a turn, so more than a few mean a leader without a quorum.
 */
export const READS_WAITING_MAX = 4096;

/** Bytes of a heartbeat's context: the position of the newest read that it confirms. */
const CONTEXT_BYTES = 8;

/** A request to confirm leadership. */
export interface ReadRequest {
  /** The member that asked, 0n or this one's id for a local read. */
  readonly from: bigint;
  readonly context: Uint8Array;
  /** Commit index when it was asked. */
  readonly index: number;
}

/**
 * Reads that wait until a quorum has confirmed that this member still leads (Raft thesis, section 6.4). Reads are numbered in
 * order; a heartbeat carries the number of the newest one, and whoever answers it confirms that and all older ones. Numbers
 * count from the begin of the term, and answers of other terms never get here.
 */
export class ReadConfirmations implements AckedIndexes {
  #waiting: ReadRequest[] = [];
  /** Reads confirmed in this term: number of the one in front of `#waiting`. */
  #confirmed = 0;
  readonly #acks = new Map<bigint, number>();

  /** The context of a heartbeat that confirms all reads that wait, null if none does. */
  get heartbeatContext(): Uint8Array | null {
    if (this.#waiting.length === 0) return null;
    const context = new Uint8Array(CONTEXT_BYTES);
    new DataView(context.buffer).setBigUint64(0, BigInt(this.#confirmed + this.#waiting.length));
    return context;
  }

  /** Adds a read, which `self` confirms at once. False if too many wait. */
  add(request: ReadRequest, self: bigint): boolean {
    if (this.#waiting.length >= READS_WAITING_MAX) return false;
    this.#waiting.push(request);
    this.#acks.set(self, this.#confirmed + this.#waiting.length);
    return true;
  }

  /** `from` answered a heartbeat with `context`. */
  acknowledge(from: bigint, context: Uint8Array): void {
    if (context.length !== CONTEXT_BYTES) return;
    const view = new DataView(context.buffer, context.byteOffset, CONTEXT_BYTES);
    const position = Number(view.getBigUint64(0));
    // Nobody can have heard of a read that was not asked.
    if (position > this.#confirmed + this.#waiting.length) return;
    this.#acks.set(from, Math.max(position, this.ackedIndex(from)));
  }

  ackedIndex(voterId: bigint): number {
    return this.#acks.get(voterId) ?? -1;
  }

  /** Takes out the reads that a quorum of `voters` has confirmed, oldest first. */
  takeConfirmed(voters: JointConfig): readonly ReadRequest[] {
    const confirmed = Math.min(voters.committedIndex(this), this.#confirmed + this.#waiting.length);
    if (confirmed <= this.#confirmed) return [];
    const taken = this.#waiting.splice(0, confirmed - this.#confirmed);
    this.#confirmed = confirmed;
    return taken;
  }

  clear(): void {
    this.#waiting = [];
    this.#confirmed = 0;
    this.#acks.clear();
  }
}
