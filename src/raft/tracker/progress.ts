import { assert } from "../../base/assert.ts";
import type { Inflights } from "./inflights.ts";

/**
 * How the leader deals with a follower.
 *
 * ```
 *              acknowledged                    log compacted
 *   ┌──────▶ probe ────────────▶ replicate ────────────────┐
 *   │          ▲  ▲      rejected    │                      ▼
 *   │          │  └──────────────────┘                  snapshot
 *   │          └── snapshot arrived, failed, acknowledged ──┘
 * ```
 *
 * - probe: where its log parts from ours is not known: one message with entries a heartbeat.
 * - replicate: entries are sent as they come, as far as the inflight window allows.
 * - snapshot: the entries it needs are gone: nothing is sent until the snapshot's fate is known.
 */
export type ProgressState = "probe" | "replicate" | "snapshot";

/** What a leader knows of one member of the configuration. */
export class Progress {
  readonly id: bigint;
  /** The member's log is known to equal the leader's up to here. */
  match = 0;
  /**
   * Index of the next entry to send. Everything in (match, next) is in flight.
   * Invariant: match < next. In state snapshot, next === pendingSnapshot + 1.
   */
  next: number;
  /** Highest commit index in flight to the member. Falls back when a probe or a rejection shows that it got lost. */
  sentCommit = 0;
  state: ProgressState = "probe";
  /** Index of the snapshot on its way, in state snapshot only, else 0. */
  pendingSnapshot = 0;
  /** Some message of the member came since check-quorum looked last. */
  recentActive = false;
  /** No more appends until the member is heard of: a probe is out or the window is full. Cleared by heartbeat responses too. */
  appendPaused = false;
  readonly inflights: Inflights;
  readonly isLearner: boolean;

  constructor(options: { id: bigint; next: number; inflights: Inflights; isLearner: boolean }) {
    this.id = options.id;
    this.next = options.next;
    this.inflights = options.inflights;
    this.isLearner = options.isLearner;
  }

  /** The same progress in the other role, sharing the inflight window; this object must not be used further if the copy is. */
  withLearner(isLearner: boolean): Progress {
    const copy = new Progress({ id: this.id, next: this.next, inflights: this.inflights, isLearner });
    copy.match = this.match;
    copy.sentCommit = this.sentCommit;
    copy.state = this.state;
    copy.pendingSnapshot = this.pendingSnapshot;
    copy.recentActive = this.recentActive;
    copy.appendPaused = this.appendPaused;
    return copy;
  }

  /** True if no append may be sent now. */
  get isPaused(): boolean {
    return this.state === "snapshot" || this.appendPaused;
  }

  /** Probes from behind what is known to match, or from behind a snapshot that may have arrived. */
  becomeProbe(): void {
    const snapshotIndex = this.pendingSnapshot;
    this.#enter("probe");
    this.next = Math.max(this.match, snapshotIndex) + 1;
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
  }

  becomeReplicate(): void {
    this.#enter("replicate");
    this.next = this.match + 1;
  }

  /** A snapshot that covers the log up to `index` is on its way. */
  becomeSnapshot(index: number): void {
    this.#enter("snapshot");
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.sentCommit = index;
  }

  /** An append with `count` entries from `next` on, `bytes` in all, was sent. Not in state snapshot. */
  sentEntries(count: number, bytes: number): void {
    assert(this.state !== "snapshot", "no append may be sent while a snapshot is on its way", this.id);
    if (this.state === "probe") {
      if (count > 0) this.appendPaused = true;
      return;
    }
    if (count > 0) {
      this.next += count;
      this.inflights.add(this.next - 1, bytes);
    }
    this.appendPaused = this.inflights.isFull;
  }

  /** True if telling the member of `commitIndex` could move its commit index beyond what is under way already. */
  canBumpCommit(commitIndex: number): boolean {
    return commitIndex > this.sentCommit && this.sentCommit < this.next - 1;
  }

  /** The member acknowledged everything up to `index`. Returns false if that is old news. */
  maybeUpdate(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.appendPaused = false;
    return true;
  }

  /**
   * The member rejected an append that follows the entry at `rejected`; its log may match up to `matchHint`. Returns false if
   * that is an old message; otherwise `next` falls back.
   */
  maybeDecrement(rejected: number, matchHint: number): boolean {
    if (this.state === "replicate") {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
    } else {
      if (rejected !== this.next - 1) return false;
      this.next = Math.max(Math.min(rejected, matchHint + 1), this.match + 1);
      this.appendPaused = false;
    }
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    return true;
  }

  /** As traces and logs show it. */
  toString(): string {
    const words = [`${STATE_NAMES[this.state]} match=${this.match} next=${this.next}`];
    if (this.isLearner) words.push("learner");
    if (this.isPaused) words.push("paused");
    if (this.pendingSnapshot > 0) words.push(`pendingSnap=${this.pendingSnapshot}`);
    if (!this.recentActive) words.push("inactive");
    const { count, isFull } = this.inflights;
    if (count > 0) words.push(`inflight=${count}${isFull ? "[full]" : ""}`);
    return words.join(" ");
  }

  #enter(state: ProgressState): void {
    this.appendPaused = false;
    this.pendingSnapshot = 0;
    this.state = state;
    this.inflights.clear();
  }
}

const STATE_NAMES: Readonly<Record<ProgressState, string>> = {
  probe: "StateProbe",
  replicate: "StateReplicate",
  snapshot: "StateSnapshot",
};
