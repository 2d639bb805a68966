import { Prng } from "../../../base/prng.ts";
import {
  EntryType,
  MessageType,
  type ConfState,
  type HardState,
  type RaftMessage,
  type ReadState,
  type SnapshotMeta,
} from "../../raft.ts";
import { decodeConfChange } from "../conf-change-entry.ts";
import { MemoryBatch, MemoryEntryStore, type MemoryEntry } from "../memory-entry-store.ts";
import { newMessage } from "../messages.ts";
import { createRaft, type RaftCore } from "../raft-core.ts";
import type { RaftOptions } from "../raft-options.ts";

export const ELECTION_TICKS = 10;

/** What a member wakes up with. */
export interface StartState {
  /** Entries of the log, by their terms: their data is `term.index`. */
  readonly terms?: readonly number[];
  readonly hardState?: HardState;
  /** The log begins behind this one. */
  readonly base?: SnapshotMeta;
  readonly rules?: Partial<RaftOptions>;
}

export function voters(...ids: bigint[]): ConfState {
  return { voters: ids, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
}

/** A message with everything else empty. */
export function message(type: number, parts: Partial<RaftMessage>): RaftMessage {
  return { ...newMessage(type, 0n), ...parts };
}

/** The entries of a message. */
export function slicesOf(entries: readonly MemoryEntry[]): RaftMessage["entries"] {
  return entries.length === 0 ? [] : [{ batch: new MemoryBatch(entries), from: 0, count: entries.length }];
}

export function textOf(data: Uint8Array): string {
  return new TextDecoder().decode(data);
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** An entry whose data is `term.index`, or `text`. */
export function entry(term: number, index: number, text = `${term}.${index}`): MemoryEntry {
  return { type: EntryType.normal, term, index, data: bytesOf(text) };
}

/** A core, its store, and a disk that is always fast: what a member writes is durable when {@link flush} returns. */
export class TestMember {
  readonly core: RaftCore;
  readonly store: MemoryEntryStore;
  /** Data of the applied normal entries that have some, in order. */
  readonly applied: string[] = [];
  readonly readStates: ReadState[] = [];
  /** The last snapshot that was installed. */
  installed: SnapshotMeta | null = null;
  #appliedIndex: number;

  constructor(id: bigint, confState: ConfState, { terms = [], hardState, base, rules }: StartState = {}) {
    const baseIndex = base?.index ?? 0;
    const entries = terms.map((term, i) => entry(term, baseIndex + 1 + i));
    this.store = new MemoryEntryStore(baseIndex, entries);
    this.#appliedIndex = baseIndex;
    this.core = createRaft({
      nodeId: id,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: 1,
      prng: new Prng(Number(id)),
      store: this.store,
      baseIndex,
      baseTerm: base?.term ?? 0,
      terms,
      hardState: hardState ?? { term: terms.at(-1) ?? base?.term ?? 0, vote: 0n, commit: baseIndex },
      confState: base?.confState ?? confState,
      messageBytesMax: 1024 * 1024,
      inflightCountMax: 256,
      // As the raft loop runs it; the traces cover the other way.
      deferAppends: true,
      ...rules,
    });
  }

  get id(): bigint {
    return this.core.nodeId;
  }

  /** The log, from the first entry that is not compacted. */
  get entries(): readonly MemoryEntry[] {
    const { firstIndex, lastIndex } = this.store;
    return lastIndex < firstIndex ? [] : this.store.entries(firstIndex, lastIndex);
  }

  get terms(): readonly number[] {
    return this.entries.map(({ term }) => term);
  }

  step(type: number, parts: Partial<RaftMessage>): number {
    return this.core.step(message(type, { to: this.id, ...parts }));
  }

  ticks(count: number): void {
    for (let i = 0; i < count; i++) this.core.tick();
  }

  /** Proposes as a client would. Returns a {@link StepResult}. */
  propose(text: string): number {
    return this.step(MessageType.prop, { from: this.id, entries: slicesOf([entry(0, 0, text)]) });
  }

  /** Becomes leader by the votes of `others`, and has sent what a new leader sends. Returns that. */
  lead(...others: bigint[]): RaftMessage[] {
    this.core.campaign();
    this.flush();
    const { term } = this.core;
    for (const from of others) this.step(MessageType.voteResp, { from, term });
    return this.flush();
  }

  /** Writes and applies all there is, and returns what is to be sent to others. */
  flush(): RaftMessage[] {
    const sent: RaftMessage[] = [];
    while (this.core.hasReady()) {
      const ready = this.core.ready();
      const { snapshot, commitIndex } = ready;
      const own = ready.messagesAfterFlush.filter(({ to }) => to === this.id);
      sent.push(...[...ready.messages, ...ready.messagesAfterFlush].filter(({ to }) => to !== this.id));
      this.readStates.push(...ready.readStates);
      this.core.advance();
      for (const response of own) this.core.step(response);
      const { lastIndex, term } = this.core;
      if (lastIndex >= this.store.firstIndex)
        this.core.entriesStored(lastIndex, this.core.termAt(lastIndex), term);
      if (snapshot !== null) this.#install(snapshot);
      this.#applyTo(commitIndex);
    }
    return sent;
  }

  #install(snapshot: SnapshotMeta): void {
    this.installed = snapshot;
    this.#appliedIndex = snapshot.index;
    this.core.snapshotInstalled(snapshot.index);
  }

  #applyTo(commitIndex: number): void {
    for (; this.#appliedIndex < commitIndex;) {
      const next = this.#appliedIndex + 1;
      const [{ type, data }] = this.store.entries(next, next);
      const change = type === EntryType.normal ? null : decodeConfChange(type, data);
      if (change !== null) this.core.applyConfChange(change);
      else if (data.length > 0) this.applied.push(textOf(data));
      this.#appliedIndex = next;
      this.core.applied(next);
    }
  }
}
