/**
 * What must hold at every moment, whatever fails: seen from outside, in what members send each other and hand to their state machines.
 * A broken one throws {@link InvariantError}, which ends the run.
 */

import { crc32c } from "../../src/base/crc32c.ts";
import { MessageType, type RaftMessage } from "../../src/raft/raft.ts";
import { nameOf } from "./simulated-network.ts";

export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** An entry as the first member applied it. */
interface AppliedEntry {
  readonly term: number;
  readonly checksum: number;
  readonly by: string;
}

/** What of a member's log can be compared with another's. */
export interface VisibleLog {
  readonly name: string;
  readonly firstIndex: number;
  readonly lastIndex: number;
  termAt(index: number): number;
}

/** Entries compared behind the last common one. */
const LOG_MATCHING_DEPTH = 500;

export class Invariants {
  readonly #leaders = new Map<number, bigint>();
  readonly #votes = new Map<string, bigint>();
  readonly #applied: AppliedEntry[] = [];

  /** Terms that have had a leader. */
  get elections(): number {
    return this.#leaders.size;
  }

  /** Highest index that a state machine has got. */
  get appliedIndex(): number {
    return this.#applied.length - 1;
  }

  /** Election safety: at most one leader a term. */
  leads(id: bigint, term: number): void {
    const leader = this.#leaders.get(term);
    if (leader === undefined) this.#leaders.set(term, id);
    else if (leader !== id)
      throw new InvariantError(`two leaders in term ${term}: ${nameOf(leader)} and ${nameOf(id)}`);
  }

  /** What a member sends must fit what it and others have sent. */
  sends(message: RaftMessage): void {
    const { type, from, term } = message;
    if (type === MessageType.app || type === MessageType.heartbeat || type === MessageType.snap)
      this.leads(from, term);
    else if (type === MessageType.voteResp && !message.reject) this.#votesFor(from, message.to, term);
    else if (type === MessageType.vote) this.#votesFor(from, from, term);
  }

  /** A member gives one vote a term. */
  #votesFor(voter: bigint, candidate: bigint, term: number): void {
    const key = `${voter} ${term}`;
    const vote = this.#votes.get(key);
    if (vote === undefined) this.#votes.set(key, candidate);
    else if (vote !== candidate) {
      const both = `${nameOf(vote)} and ${nameOf(candidate)}`;
      throw new InvariantError(`${nameOf(voter)} votes in term ${term} for ${both}`);
    }
  }

  /** State machine safety: all members apply the same entry at an index. Also what was applied before a crash stays. */
  applies(
    member: string,
    index: number,
    term: number,
    type: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const checksum = crc32c(type, bytes, start, end);
    const entry = this.#applied[index];
    if (entry === undefined) {
      if (index > this.#applied.length && this.#applied.length > 0) {
        throw new InvariantError(`${member} applies entry ${index} behind entry ${this.#applied.length - 1}`);
      }
      this.#applied[index] = { term, checksum, by: member };
    } else if (entry.term !== term || entry.checksum !== checksum) {
      const [a, b] = [
        `${entry.by} term ${entry.term} ${hex(entry.checksum)}`,
        `${member} term ${term} ${hex(checksum)}`,
      ];
      throw new InvariantError(`entry ${index} differs between state machines: ${a}, ${b}`);
    }
  }

  /** Leader completeness: the log of a new leader holds all that was applied anywhere. */
  leaderHolds(log: VisibleLog): void {
    const last = this.appliedIndex;
    if (last > log.lastIndex) {
      const by = this.#applied[last].by;
      throw new InvariantError(
        `${log.name} leads with entries up to ${log.lastIndex}, but ${by} has applied ${last}`,
      );
    }
    const from = Math.max(log.firstIndex, last - LOG_MATCHING_DEPTH, 1);
    for (let index = from; index <= last; index++) {
      const term = log.termAt(index);
      if (term !== 0 && term !== this.#applied[index].term) {
        const what = `entry ${index} with term ${term}, applied with ${this.#applied[index].term}`;
        throw new InvariantError(`${log.name} leads with ${what} by ${this.#applied[index].by}`);
      }
    }
  }

  /** Log matching: where two logs have an entry of the same index and term, all before it have equal terms. */
  logsMatch(a: VisibleLog, b: VisibleLog): void {
    const first = Math.max(a.firstIndex, b.firstIndex);
    let index = Math.min(a.lastIndex, b.lastIndex);
    while (index >= first && a.termAt(index) !== b.termAt(index)) index--;
    const from = Math.max(first, index - LOG_MATCHING_DEPTH);
    for (; index >= from; index--) {
      const [termA, termB] = [a.termAt(index), b.termAt(index)];
      if (termA === termB || termA === 0 || termB === 0) continue;
      throw new InvariantError(
        `logs differ at ${index} below a common entry: ${a.name} term ${termA}, ${b.name} term ${termB}`,
      );
    }
  }
}

function hex(value: number): string {
  return (value >>> 0).toString(16);
}
