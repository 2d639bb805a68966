import type { EntryLog } from "./entry-log.ts";
import type { LogStorage, StoredBatch } from "./log-storage.ts";
import { type Consensus, MessageType, type RaftMessage } from "./raft.ts";
import type { RaftTracer } from "./raft-tracer.ts";

/** What is known once the flush in flight has ended. */
interface Flight {
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The member's term when the flush began. */
  readonly memberTerm: number;
  /** Messages that the flush covers. */
  readonly messages: RaftMessage[];
}

const NOTHING: readonly RaftMessage[] = [];

/**
 * One flush in flight, and what waits for it or for the next: messages that promise durability, and the core's knowledge of what
 * is durable. Order: a flush begins only when the loop has dealt with the end of the one before.
 */
export class FlushCycle {
  readonly #consensus: Consensus;
  readonly #storage: LogStorage;
  readonly #entries: EntryLog;
  readonly #tracer: RaftTracer | null;
  #flight: Flight | null = null;
  /** Messages that the next flush will cover. */
  #afterFlush: RaftMessage[] = [];
  /** The member's term when the last flush began that has ended; a flush that made a new one durable must be told, see `entriesStored`. */
  #storedMemberTerm = -1;

  constructor(
    consensus: Consensus,
    storage: LogStorage,
    entries: EntryLog,
    tracer: RaftTracer | null | undefined = null,
  ) {
    this.#tracer = tracer ?? null;
    this.#consensus = consensus;
    this.#storage = storage;
    this.#entries = entries;
  }

  /** Keeps requests for votes, the others are returned; all of them if there is nothing to wait for. */
  holdRequests(messages: readonly RaftMessage[]): readonly RaftMessage[] {
    if (!messages.some(isVoteRequest)) return messages;
    if (this.hold(messages.filter(isVoteRequest)).length > 0) return messages;
    return messages.filter((message) => !isVoteRequest(message));
  }

  /** Keeps messages until the flush that covers them has ended; returns them if there is nothing to wait for. */
  hold(messages: readonly RaftMessage[]): readonly RaftMessage[] {
    if (messages.length === 0) return messages;
    if (this.#storage.needsFlush) this.#afterFlush.push(...messages);
    else if (this.#flight !== null) this.#flight.messages.push(...messages);
    else return messages;
    return NOTHING;
  }

  /**
   * Begins a flush if one is wanted and none under way; null otherwise. {@link end} is to be called with what it resolves with.
   * @param mayBlock as storage's
   */
  begin(mayBlock: boolean): Promise<StoredBatch> | null {
    // Storage is free a moment before the loop hears of the end of its flush: what that flush covers must be told first.
    if (this.#flight !== null || this.#storage.isFlushing || !this.#storage.needsFlush) return null;
    const { lastIndex, terms } = this.#entries;
    this.#flight = {
      lastIndex,
      lastTerm: terms.lastTerm,
      memberTerm: this.#consensus.term,
      messages: this.#afterFlush,
    };
    this.#afterFlush = [];
    if (this.#tracer?.isActive) this.#tracer.flushBegins(lastIndex);
    return this.#entries.flush(mayBlock);
  }

  /** The flush has ended well: tells the core. Returns the messages that it covers. */
  end(batch: StoredBatch): readonly RaftMessage[] {
    const { lastIndex, lastTerm, memberTerm, messages } = this.#flight as Flight;
    this.#flight = null;
    this.#entries.flushed(batch);
    if (this.#tracer?.isActive) this.#tracer.flushEnded(lastIndex);
    if (batch.count > 0 || memberTerm !== this.#storedMemberTerm)
      this.#consensus.entriesStored(lastIndex, lastTerm, memberTerm);
    this.#storedMemberTerm = memberTerm;
    return messages;
  }
}

/**
 * A request for a vote says how long the candidate's log is, and which term is its own: it leaves when both are durable. Sent at
 * once, as the core would allow, its answers could reach the candidate's next life after a loss of power, in the same term and with
 * a shorter log than the one they were given to.
 */
function isVoteRequest({ type }: RaftMessage): boolean {
  return type === MessageType.vote;
}
