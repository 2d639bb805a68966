import { NOT_ANSWERED } from "./apply-context.ts";
import type { EntryPosition } from "./apply-interfaces.ts";

export interface ProposerIdsOptions {
  readonly memberId: bigint;
  /** Low 48 bits of the first request id of this life of the process. */
  readonly bootId: number;
  /**
   * Where the log ended when it began. Whatever ids say, nobody waits for the entries that were there: ids come from the clock,
   * which may go back. What replaces the log's uncommitted end later has a higher term, and may be of this life.
   */
  readonly bootIndex: number;
  readonly bootTerm: number;
}

/** Tells the entries that somebody in this process waits for from those of other members and of earlier lives. */
export class ProposerIds {
  /** Low 16 bits of the member id: the prefix of the ids of its requests. */
  readonly #prefix: number;
  readonly #options: ProposerIdsOptions;

  constructor(options: ProposerIdsOptions) {
    this.#options = options;
    this.#prefix = Number(options.memberId & 0xffffn);
  }

  /** The low 48 bits of etcd's request id, given as two unsigned halves, of the entry at `at`, or {@link NOT_ANSWERED}. */
  answered(idLow: number, idHigh: number, at: EntryPosition): number {
    if (idHigh >>> 16 !== this.#prefix) return NOT_ANSWERED;
    if (at.index <= this.#options.bootIndex && at.term <= this.#options.bootTerm) return NOT_ANSWERED;
    const id = (idHigh & 0xffff) * 0x1_0000_0000 + idLow;
    return id >= this.#options.bootId ? id : NOT_ANSWERED;
  }
}
