import { assert } from "../../../src/base/assert.ts";
import { decodeConfChange } from "../../../src/raft/core/conf-change-entry.ts";
import type { MemoryEntry, MemoryEntryStore } from "../../../src/raft/core/memory-entry-store.ts";
import { encodedBytesOf } from "../../../src/raft/core/entry-size.ts";
import { isResponse } from "../../../src/raft/core/messages.ts";
import type { RaftCore } from "../../../src/raft/core/raft-core.ts";
import {
  EntryType,
  MessageType,
  StepResult,
  type HardState,
  type SnapshotMeta,
} from "../../../src/raft/raft.ts";
import { describeProgress } from "../../../src/raft/tracker/tracker.ts";
import type { SoftState, TraceReady } from "./describe.ts";
import type { StableStorage } from "./stable-storage.ts";
import {
  APPEND_THREAD,
  APPLY_THREAD,
  copyEntries,
  copyMessage,
  toRaftMessage,
  traceMessage,
  type TraceMessage,
} from "./trace-message.ts";

/** What a member refuses: it is put out, in etcd-io/raft's words. */
export class MemberError extends Error {
  override readonly name = "MemberError";
}

/** What a member is made of. */
export interface MemberParts {
  readonly core: RaftCore;
  readonly store: MemoryEntryStore;
  readonly storage: StableStorage;
  /** Every state that the member has applied, oldest first: the last one is what a snapshot shows. */
  readonly history: SnapshotMeta[];
  readonly electionTicks: number;
  /** Storage works by messages to an append and an apply thread, else at once. */
  readonly isAsync: boolean;
}

/**
 * One member: a core, and what the raft loop does for it, one visible step at a time. With storage at once a Ready is stored, applied
 * and acknowledged in one go; with storage by messages its threads answer whenever a trace lets them.
 */
export class TraceMember {
  readonly id: bigint;
  readonly core: RaftCore;
  readonly storage: StableStorage;
  readonly electionTicks: number;
  readonly isAsync: boolean;
  /** Work of the storage threads that is not done yet. */
  readonly appendWork: TraceMessage[] = [];
  readonly applyWork: TraceMessage[] = [];
  readonly #store: MemoryEntryStore;
  readonly #history: SnapshotMeta[];
  #softState: SoftState;
  #hardState: HardState;
  /** What {@link advance} is to step. */
  #stepsOnAdvance: TraceMessage[] = [];

  constructor(parts: MemberParts) {
    this.id = parts.core.nodeId;
    this.core = parts.core;
    this.storage = parts.storage;
    this.electionTicks = parts.electionTicks;
    this.isAsync = parts.isAsync;
    this.#store = parts.store;
    this.#history = parts.history;
    this.#softState = this.#currentSoftState();
    this.#hardState = this.#currentHardState();
  }

  /** @throws {MemberError} */
  propose(data: Uint8Array, type: number = EntryType.normal): void {
    const entries = [{ index: 0, term: 0, type, data }];
    const message = toRaftMessage(traceMessage({ type: MessageType.prop, from: this.id, entries }));
    if (this.core.step(message) !== StepResult.ok) throw new MemberError("raft proposal dropped");
  }

  forgetLeader(): void {
    this.core.step(toRaftMessage(traceMessage({ type: MessageType.forgetLeader })));
  }

  /** Takes in a message from the network or from its own threads. Returns an error's text or null. */
  step(message: TraceMessage): string | null {
    if (message.from === APPEND_THREAD) return this.#stepStored(message);
    if (message.from === APPLY_THREAD) return this.#stepApplied(message);
    // What comes by the network from a member that is none any more is refused, even if it is the member itself.
    if (isResponse(message.type) && this.core.tracker.get(message.from) === undefined)
      return STEP_ERRORS[StepResult.unknownPeer];
    return STEP_ERRORS[this.core.step(toRaftMessage(message))];
  }

  /** A snapshot of what is applied now, as a message. */
  snapshotMessage(to: bigint): TraceMessage {
    const snapshot = this.#history[this.#history.length - 1];
    return traceMessage({ type: MessageType.snap, term: this.core.term, from: this.id, to, snapshot });
  }

  hasReady(): boolean {
    const { log } = this.core;
    return (
      this.core.hasReady() ||
      log.unstableInProgress <= log.lastIndex ||
      log.hasCommittedEntries(!this.isAsync) ||
      this.#changedSoftState() !== null ||
      this.#changedHardState() !== null
    );
  }

  /** What is to be done now. It counts as being under way from here on. */
  ready(): TraceReady {
    const { log } = this.core;
    const { snapshot, readStates, messages, messagesAfterFlush } = this.core.ready();
    const entries = copyEntries(log.unstableEntries());
    const committed = log.committedEntries(!this.isAsync);
    const before = this.#hardState;
    const { term, vote } = this.#currentHardState();
    const ready = {
      softState: this.#changedSoftState(),
      hardState: this.#changedHardState(),
      readStates: [...readStates],
      entries,
      snapshot,
      committedEntries: copyEntries(committed),
      messages: messages.map(copyMessage),
      mustSync: entries.length > 0 || term !== before.term || vote !== before.vote,
    };
    const afterFlush = messagesAfterFlush.map(copyMessage);
    this.#hardState = this.#currentHardState();
    this.#softState = this.#currentSoftState();
    const handed = this.isAsync
      ? this.#withThreadWork(ready, afterFlush)
      : this.#withStepsOnAdvance(ready, afterFlush);
    this.core.advance();
    const last = ready.committedEntries.at(-1);
    if (last !== undefined) log.acceptApplying(last.index, encodedBytesOf(committed), !this.isAsync);
    return handed;
  }

  /** Does what a Ready asks of storage and of the state machine. @throws {MemberError} */
  store({ hardState, entries, snapshot, committedEntries }: TraceReady): void {
    assert(!this.isAsync, "the threads do this");
    this.#write(hardState, entries, snapshot);
    this.apply(committedEntries);
  }

  /** What the append thread does. @throws {MemberError} */
  storeMessage({ term, vote, commit, entries, snapshot }: TraceMessage): void {
    this.#write({ term, vote, commit }, entries, snapshot);
  }

  /** Applies entries: what each leaves is a state that a snapshot can show. */
  apply(entries: readonly MemoryEntry[]): void {
    for (const { type, data, index, term } of entries) {
      const change = type === EntryType.normal ? null : decodeConfChange(type, data);
      const confState = change === null ? this.#latestState().confState : this.core.applyConfChange(change);
      this.#history.push({ index, term, confState });
    }
  }

  /** What a Ready asked for is done. Not with storage by messages. */
  advance(): void {
    const steps = this.#stepsOnAdvance;
    this.#stepsOnAdvance = [];
    for (const message of steps) {
      if (message.from === this.id) this.core.step(toRaftMessage(message));
      else this.step(message);
    }
  }

  /** Drops durable entries up to `index`. @throws {MemberError} */
  compact(index: number): void {
    const error = this.storage.compact(index);
    if (error !== null) throw new MemberError(error);
    this.#store.compact(index);
    this.core.compacted(index);
  }

  /** One line: role, and whether it is a voter, by its own view. */
  describeState(): string {
    const { tracker, stateName, term, leaderId } = this.core;
    const voter = tracker.configuration.voters.all.has(this.id) ? "(Voter)" : "(Non-Voter)";
    return `${this.id}: ${stateName} ${voter} Term:${term} Lead:${leaderId}`;
  }

  /** A leader's view of all members, empty on others. */
  describeProgress(): string {
    const { isLeader, tracker } = this.core;
    return isLeader ? describeProgress(tracker.progress) : "";
  }

  #write(hardState: HardState | null, entries: readonly MemoryEntry[], snapshot: SnapshotMeta | null): void {
    // Nothing restarts here, so nobody reads the hard state back.
    void hardState;
    if (snapshot !== null && entries.length > 0)
      throw new MemberError("can't apply snapshot and entries at the same time");
    const error = snapshot === null ? null : this.storage.applySnapshot(snapshot);
    if (error !== null) throw new MemberError(error);
    this.storage.append(entries);
  }

  #latestState(): SnapshotMeta {
    return this.#history[this.#history.length - 1];
  }

  /** Messages for the storage threads go with the others; what waits for durability hangs on the append thread's. */
  #withThreadWork(ready: TraceReady, afterFlush: readonly TraceMessage[]): TraceReady {
    const messages = [...ready.messages];
    const stored = this.#storedMessage(ready);
    const { entries, snapshot, hardState, committedEntries } = ready;
    if (entries.length > 0 || hardState !== null || snapshot !== null || afterFlush.length > 0) {
      const responses = stored === null ? afterFlush : [...afterFlush, stored];
      const message = traceMessage({
        ...hardState,
        type: MessageType.storageAppend,
        to: APPEND_THREAD,
        from: this.id,
        entries,
        snapshot,
        responses,
      });
      this.appendWork.push(message);
      messages.push(message);
    }
    if (committedEntries.length > 0) {
      const message = traceMessage({
        type: MessageType.storageApply,
        to: APPLY_THREAD,
        from: this.id,
        entries: committedEntries,
        responses: [this.#appliedMessage(committedEntries)],
      });
      this.applyWork.push(message);
      messages.push(message);
    }
    return { ...ready, messages };
  }

  /** Messages to others leave after the write, which is done before anything else happens; those to itself wait for {@link advance}. */
  #withStepsOnAdvance(ready: TraceReady, afterFlush: readonly TraceMessage[]): TraceReady {
    assert(this.#stepsOnAdvance.length === 0, "two accepted Ready structs without call to Advance");
    const stored = this.#storedMessage(ready);
    this.#stepsOnAdvance = afterFlush.filter(({ to }) => to === this.id);
    if (stored !== null) this.#stepsOnAdvance.push(stored);
    if (ready.committedEntries.length > 0)
      this.#stepsOnAdvance.push(this.#appliedMessage(ready.committedEntries));
    return { ...ready, messages: [...ready.messages, ...afterFlush.filter(({ to }) => to !== this.id)] };
  }

  /** The append thread's news that everything up to the log's end is durable; null if there is nothing to tell. */
  #storedMessage({ snapshot }: TraceReady): TraceMessage | null {
    const { log, term } = this.core;
    const isUnstable = log.unstableOffset <= log.lastIndex;
    if (!isUnstable && snapshot === null) return null;
    const index = isUnstable ? log.lastIndex : 0;
    const logTerm = isUnstable ? log.lastTerm : 0;
    const type = MessageType.storageAppendResp;
    return traceMessage({ type, to: this.id, from: APPEND_THREAD, term, index, logTerm, snapshot });
  }

  #appliedMessage(entries: readonly MemoryEntry[]): TraceMessage {
    return traceMessage({ type: MessageType.storageApplyResp, to: this.id, from: APPLY_THREAD, entries });
  }

  #stepStored({ index, logTerm, term, snapshot }: TraceMessage): null {
    if (index !== 0) this.core.entriesStored(index, logTerm, term);
    if (snapshot !== null) this.core.snapshotInstalled(snapshot.index);
    return null;
  }

  #stepApplied({ entries }: TraceMessage): null {
    const last = entries.at(-1);
    if (last !== undefined) this.core.applied(last.index);
    return null;
  }

  #changedSoftState(): SoftState | null {
    const now = this.#currentSoftState();
    const before = this.#softState;
    return now.leaderId === before.leaderId && now.stateName === before.stateName ? null : now;
  }

  #changedHardState(): HardState | null {
    const now = this.#currentHardState();
    const { term, vote, commit } = this.#hardState;
    return now.term === term && now.vote === vote && now.commit === commit ? null : now;
  }

  #currentSoftState(): SoftState {
    const { leaderId, stateName } = this.core;
    return { leaderId, stateName };
  }

  #currentHardState(): HardState {
    const { term, vote, commitIndex } = this.core;
    return { term, vote, commit: commitIndex };
  }
}

/** By {@link StepResult}. */
const STEP_ERRORS: readonly (string | null)[] = [
  null,
  "raft proposal dropped",
  "raft: cannot step as peer not found",
];
