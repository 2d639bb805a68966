/**
 * The log as the core sees it: terms, marks and limits. The entries' bytes lie in the {@link EntryStore}; nothing here is an
 * object an entry.
 *
 * ```
 *   compacted | firstIndex ........ applied .. applying .. committed ............. lastIndex
 *             |       stored            unstableOffset   unstableInProgress     |
 *             |  (durable, as far as we were told)  |  being written  |  new    |
 * ```
 *
 * Marks of durability and of application move independently; both stay at or below lastIndex, and applied <= applying <= committed.
 * A snapshot that was accepted and is not yet installed takes the place of everything at and below its index.
 */

import { assert } from "../../base/assert.ts";
import { EntryType } from "../raft.ts";
import type { EntrySlice, EntryStore, SnapshotMeta } from "../raft.ts";
import { TermTable } from "../term-table.ts";
import type { RaftLogger } from "./raft-logger.ts";

const NO_ENTRIES: readonly EntrySlice[] = [];

/** What {@link RaftLog.term} gives for an index outside the log. */
export const UNKNOWN_TERM = -1;

/** Entries looked at in one go when searching for conf changes: any size does, the slices are not copied. */
const SCAN_BYTES = 1024 * 1024;

/** Names one entry: no two entries of one index and term differ (Raft thesis, section 3.5). */
export interface EntryId {
  readonly term: number;
  readonly index: number;
}

export interface RaftLogOptions {
  readonly store: EntryStore;
  /** The entry in front of the first one, 0 and 0 for a new log. */
  readonly baseIndex: number;
  readonly baseTerm: number;
  /** Term of each durable entry behind `baseIndex`, in order. */
  readonly terms: Iterable<number>;
  /** Most bytes of entries that {@link RaftLog.acceptApplying} lets be under way to the state machine. */
  readonly applyingBytesMax: number;
  readonly logger: RaftLogger;
}

export class RaftLog {
  readonly #store: EntryStore;
  readonly #logger: RaftLogger;
  readonly #applyingBytesMax: number;
  #terms: TermTable;
  /** Entries up to here are gone; its own term is still known. */
  #compacted: number;
  #committed: number;
  #applying: number;
  #applied: number;
  #unstableOffset: number;
  #unstableInProgress: number;
  #snapshot: SnapshotMeta | null = null;
  #snapshotInProgress = false;
  /** What {@link acceptApplying} was told and is not applied yet, oldest first, and its bytes in all. */
  #handed: { readonly index: number; readonly bytes: number }[] = [];
  #applyingBytes = 0;
  #applyingPaused = false;

  constructor(options: RaftLogOptions) {
    const { baseIndex } = options;
    this.#store = options.store;
    this.#logger = options.logger;
    this.#applyingBytesMax = options.applyingBytesMax;
    this.#terms = new TermTable(baseIndex, options.baseTerm);
    for (const term of options.terms) this.#terms.append(this.#terms.lastIndex + 1, term);
    this.#compacted = baseIndex;
    this.#committed = this.#applying = this.#applied = baseIndex;
    this.#unstableOffset = this.#unstableInProgress = this.#terms.lastIndex + 1;
  }

  /** Lowest index whose entry can be had. */
  get firstIndex(): number {
    return Math.max(this.#compacted + 1, this.#store.firstIndex);
  }

  get lastIndex(): number {
    return this.#terms.lastIndex;
  }

  get lastTerm(): number {
    return this.#terms.lastTerm;
  }

  /** Highest index known to be committed. */
  get committed(): number {
    return this.#committed;
  }

  /** Entries up to here were handed to the state machine, as far as {@link acceptApplying} told. */
  get applying(): number {
    return this.#applying;
  }

  /** Entries up to here are applied. */
  get applied(): number {
    return this.#applied;
  }

  /** First entry that is not known to be durable. */
  get unstableOffset(): number {
    return this.#unstableOffset;
  }

  /** First entry that {@link acceptUnstable} has not seen: from here on nobody writes yet. */
  get unstableInProgress(): number {
    return this.#unstableInProgress;
  }

  /** A snapshot that waits to be handed out for storing. */
  get nextSnapshot(): SnapshotMeta | null {
    return this.#snapshotInProgress ? null : this.#snapshot;
  }

  /** True from the acceptance of a snapshot until it is installed. */
  get hasPendingSnapshot(): boolean {
    return this.#snapshot !== null;
  }

  /** Term of the entry at `index`; {@link UNKNOWN_TERM} if it is compacted away (but the last such one) or beyond the end. */
  term(index: number): number {
    if (index < this.#compacted || index > this.#terms.lastIndex) return UNKNOWN_TERM;
    return this.#terms.termAt(index);
  }

  /** {@link term}, with 0 for unknown, as messages and logs have it. */
  termOrZero(index: number): number {
    return Math.max(this.term(index), 0);
  }

  matches(id: EntryId): boolean {
    return this.term(id.index) === id.term;
  }

  /** Raft thesis, section 3.6.1: whose log is at least as complete as this one may become leader. */
  isUpToDate(their: EntryId): boolean {
    const { lastTerm } = this;
    return their.term > lastTerm || (their.term === lastTerm && their.index >= this.lastIndex);
  }

  /** Appends one entry of the leader; data is borrowed. Returns its index. */
  append(type: number, term: number, bytes: Uint8Array, start: number, end: number): number {
    const index = this.#terms.lastIndex + 1;
    this.#terms.append(index, term);
    this.#store.appendEntry(type, term, index, bytes, start, end);
    return index;
  }

  /**
   * Appends a leader's entries behind `previous` and takes over its commit index. Returns the index of the last of them, or -1
   * if `previous` is not in the log. Entries that are there already stay; the first one that differs replaces all behind it.
   */
  tryAppend(previous: EntryId, slices: readonly EntrySlice[], commit: number): number {
    if (!this.matches(previous)) return -1;
    let index = previous.index + 1;
    let isNew = false;
    for (const { batch, from, count } of slices) {
      for (let i = from; i < from + count; i++, index++) {
        const term = batch.term(i);
        if (!isNew && this.term(index) === term) continue;
        if (!isNew) this.#makeRoom(index, term);
        isNew = true;
        this.#terms.append(index, term);
        this.#store.appendEntry(
          batch.type(i),
          term,
          index,
          batch.bytes,
          batch.dataStart(i),
          batch.dataEnd(i),
        );
      }
    }
    const last = index - 1;
    this.commitTo(Math.min(commit, last));
    return last;
  }

  /** The first of new entries goes to `index`: what stands there is not durable any more. */
  #makeRoom(index: number, term: number): void {
    assert(index > this.#committed, "entry conflicts with a committed entry", index, this.#committed);
    if (index === this.lastIndex + 1) return;
    const existing = this.termOrZero(index);
    this.#logger.info(
      `found conflict at index ${index} [existing term: ${existing}, conflicting term: ${term}]`,
    );
    if (index <= this.#unstableOffset) {
      this.#logger.info(`replace the unstable entries from index ${index}`);
      this.#unstableOffset = this.#unstableInProgress = index;
    } else {
      this.#logger.info(`truncate the unstable entries before index ${index}`);
      this.#unstableInProgress = Math.min(this.#unstableInProgress, index);
    }
  }

  /**
   * The last entry at or below `index` whose term is at most `term`: where a log that has `term` at `index` can match this one
   * at best. Skips whole terms at a time when logs disagree (Raft paper, end of section 5.3). Term 0: it is not known.
   */
  findConflictByTerm(index: number, term: number): EntryId {
    for (; index > 0; index--) {
      const ours = this.term(index);
      if (ours === UNKNOWN_TERM) return { index, term: 0 };
      if (ours <= term) return { index, term: ours };
    }
    return { index: 0, term: 0 };
  }

  commitTo(index: number): void {
    if (index <= this.#committed) return;
    assert(
      index <= this.lastIndex,
      "commit index out of range: was the raft log corrupted, truncated, or lost?",
      index,
      this.lastIndex,
    );
    this.#committed = index;
  }

  /** Commits up to `index` if the entry there is of `term`: only those commit what is before them (Raft thesis, section 3.6.2). */
  tryCommit(index: number, term: number): boolean {
    if (index <= this.#committed || this.term(index) !== term) return false;
    this.commitTo(index);
    return true;
  }

  /** Entries from `first` on, at most `bytesMax` of them, but one if there is any; null if they are compacted away. */
  entriesFrom(first: number, bytesMax: number): readonly EntrySlice[] | null {
    if (first > this.lastIndex) return NO_ENTRIES;
    return first < this.firstIndex ? null : this.#store.slices(first, this.lastIndex, bytesMax);
  }

  /** Entries that are not yet being written, all of them. */
  unstableEntries(): readonly EntrySlice[] {
    const first = this.#unstableInProgress;
    return first > this.lastIndex ? NO_ENTRIES : this.#store.slices(first, this.lastIndex, Infinity);
  }

  /** Entries up to `lastIndex`, or `snapshot`, were handed out and are being written. */
  acceptUnstable(lastIndex: number, snapshot: SnapshotMeta | null): void {
    if (snapshot !== null && snapshot === this.#snapshot) this.#snapshotInProgress = true;
    const behind = Math.min(lastIndex, this.lastIndex) + 1;
    this.#unstableInProgress = Math.max(this.#unstableInProgress, behind);
  }

  /** Storage holds everything up to the entry `id`, unless that is not in the log any more. */
  stableTo(id: EntryId): void {
    const { index, term } = id;
    if (index < this.#unstableOffset || index > this.lastIndex) {
      const known =
        this.#snapshot?.index === index ? "matched unstable snapshot" : "missing from unstable log";
      this.#logger.info(`entry at index ${index} ${known}; ignoring`);
      return;
    }
    const ours = this.term(index);
    if (ours !== term) {
      this.#logger.info(
        `entry at (index,term)=(${index},${term}) mismatched with entry at (${index},${ours}) in unstable log; ignoring`,
      );
      return;
    }
    this.#unstableOffset = index + 1;
    this.#unstableInProgress = Math.max(this.#unstableInProgress, this.#unstableOffset);
  }

  /** A snapshot takes the place of the whole log. */
  restore(snapshot: SnapshotMeta): void {
    const { index, term } = snapshot;
    this.#logger.info(`log [${this.toString()}] starts to restore snapshot [index: ${index}, term: ${term}]`);
    this.#committed = index;
    this.#compacted = index;
    this.#terms = new TermTable(index, term);
    this.#unstableOffset = this.#unstableInProgress = index + 1;
    this.#snapshot = snapshot;
    this.#snapshotInProgress = false;
    this.#store.startAfter(snapshot);
  }

  /** The snapshot at `index` is installed; that of another one is old news. */
  stableSnapshotTo(index: number): void {
    if (this.#snapshot?.index !== index) return;
    this.#snapshot = null;
    this.#snapshotInProgress = false;
  }

  /** True if a committed conf change is not applied yet. */
  hasUnappliedConfChange(): boolean {
    let next = this.#applied + 1;
    while (next <= this.#committed) {
      for (const { batch, from, count } of this.#store.slices(next, this.#committed, SCAN_BYTES)) {
        for (let i = from; i < from + count; i++) if (batch.type(i) !== EntryType.normal) return true;
        next += count;
      }
    }
    return false;
  }

  /** True if {@link committedEntries} would give any. */
  hasCommittedEntries(allowUnstable: boolean): boolean {
    if (this.#applyingPaused || this.hasPendingSnapshot) return false;
    return this.#applying < this.#appliableIndex(allowUnstable);
  }

  /** Committed entries not yet handed to the state machine, as many as the limit leaves room for. */
  committedEntries(allowUnstable: boolean): readonly EntrySlice[] {
    if (!this.hasCommittedEntries(allowUnstable)) return NO_ENTRIES;
    const room = this.#applyingBytesMax - this.#applyingBytes;
    assert(room > 0, "applying entries beyond their limit", this.#applyingBytes, this.#applyingBytesMax);
    return this.#store.slices(this.#applying + 1, this.#appliableIndex(allowUnstable), room);
  }

  /** Entries up to `index`, of `bytes` in encoded form, are under way to the state machine. */
  acceptApplying(index: number, bytes: number, allowUnstable: boolean): void {
    assert(index <= this.#committed, "applying beyond commit", index, this.#committed);
    this.#applying = index;
    this.#handed.push({ index, bytes });
    this.#applyingBytes += bytes;
    this.#applyingPaused =
      this.#applyingBytes >= this.#applyingBytesMax || index < this.#appliableIndex(allowUnstable);
  }

  /** Entries up to `index` are applied. */
  appliedTo(index: number): void {
    assert(
      this.#applied <= index && index <= this.#committed,
      "applied index out of range",
      index,
      this.#applied,
      this.#committed,
    );
    this.#applied = index;
    this.#applying = Math.max(this.#applying, index);
    while (this.#handed.length > 0 && this.#handed[0].index <= index) {
      this.#applyingBytes -= this.#handed[0].bytes;
      this.#handed.shift();
    }
    this.#applyingPaused = this.#applyingBytes >= this.#applyingBytesMax;
  }

  /** Entries up to `index` are gone from the store. */
  compactTo(index: number): void {
    assert(index <= this.lastIndex, "compacted beyond the log", index, this.lastIndex);
    if (index <= this.#compacted) return;
    this.#compacted = index;
    this.#terms.release(index);
  }

  toString(): string {
    const unstable = this.lastIndex - this.#unstableOffset + 1;
    return (
      `committed=${this.#committed}, applied=${this.#applied}, applying=${this.#applying}, ` +
      `unstable.offset=${this.#unstableOffset}, unstable.offsetInProgress=${this.#unstableInProgress}, ` +
      `len(unstable.Entries)=${unstable}`
    );
  }

  /** Only what storage holds may be applied while it writes on its own. */
  #appliableIndex(allowUnstable: boolean): number {
    return allowUnstable ? this.#committed : Math.min(this.#committed, this.#unstableOffset - 1);
  }
}
