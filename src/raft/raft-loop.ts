/**
 * The loop of the raft thread, against interfaces only, so that the simulation runs the same code.
 *
 * It owns the order of things: a proposal's bytes go from the inbox straight into the log's open batch; appends for the others
 * leave while the own flush still runs; a flush starts whenever none is in flight and something must be durable; what promises
 * durability leaves when the flush that covers it has ended; what is committed and durable goes to apply in index order, reads
 * behind the entries they must see. It never blocks, never acknowledges before the disk has it, and never looks into an entry,
 * conf changes excepted.
 *
 * ```
 *   inbox of main ──drain──▶ Consensus ──▶ EntryLog ──flush──▶ entriesStored ──▶ apply ring (entries, reads, leader)
 *   peers, ticks ──step──▶      │ ready                                      ──▶ main ring (refusals, leader, status)
 *                               ├─ messages ───────────────────────▶ peers
 *                               └─ messagesAfterFlush ──▶ flush ───▶ peers, or back into Consensus
 * ```
 *
 * Backpressure: it takes no more of main's records while too many bytes are not yet durable or not yet handed to apply, and reads no
 * more appends of a leader; the inbox then fills, and main stops reading sockets. Records of the other threads, heartbeats and
 * votes are always taken. Any error ends it: `done` rejects, and nothing after that is acknowledged.
 * Read next: `start-raft-loop.ts`, `record-intake.ts`, `entry-log.ts`, `apply-feed.ts`, `read-rounds.ts`, `proposal-queue.ts`, `snapshot-sender.ts`, `snapshot-receiver.ts`.
 */

import { assert } from "../base/assert.ts";
import { RecordType } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";
import { ApplyFeed, LEADER_BYTES } from "./apply-feed.ts";
import { RETAINED_BYTES_MAX, RETAINED_BYTES_SNAPSHOT_MAX } from "./entry-log.ts";
import type { EntryLog } from "./entry-log.ts";
import type { LogStorage, StoredBatch } from "./log-storage.ts";
import { MainFeed } from "./main-feed.ts";
import type { PeerEvents, PeerNetwork } from "./peer-network.ts";
import { MessageType } from "./raft.ts";
import type { ConfChange, ConfState, Consensus, RaftMessage, Ready, SnapshotMeta } from "./raft.ts";
import type { RaftLoopOptions } from "./raft-loop-options.ts";
import { ReadRounds } from "./read-rounds.ts";
import { RecordIntake, WAITING_READ_BYTES_MAX } from "./record-intake.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { SnapshotSender } from "./snapshot-sender.ts";

/**
 * Most bytes of entries that are not yet durable or not yet handed to apply. It bounds the thread's memory; a disk that takes
 * 100 MB/s drains it in a third of a second, well within a client's patience.
 */
export const UNAPPLIED_BYTES_MAX = 32 * 1024 * 1024;
/** Beyond this a leader drops what other members forward, which they were not kept from sending; their clients time out. */
const FORWARDED_BYTES_MAX = 2 * UNAPPLIED_BYTES_MAX;
/** How long records may gather behind a flush before the loop looks at them; far above a flush on a healthy disk. */
const FLUSH_PATIENCE_MS = 1;
/** Records taken between two looks at the limits above. */
const DRAIN_RECORDS_MAX = 64;
/** Records taken before the flush gets its turn again. */
const TURN_RECORDS_MAX = 4096;

/** What an invalid conf change is for the core: it ends the wait for it and changes nothing. */
const NO_CHANGE: ConfChange = { transition: 0, changes: [{ type: 0, nodeId: 0n }] };
const REMOVE_NODE = 1;

/** What is known once the flush in flight has ended. */
interface Flight {
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The member's term when the flush began. */
  readonly memberTerm: number;
  /** Messages that the flush covers. */
  readonly messages: RaftMessage[];
}

/** Made by `startRaftLoop` of `start-raft-loop.ts`. */
export class RaftLoop implements PeerEvents {
  readonly #options: RaftLoopOptions;
  readonly #consensus: Consensus;
  readonly #storage: LogStorage;
  readonly #entries: EntryLog;
  readonly #network: PeerNetwork;
  readonly #reads: ReadRounds;
  readonly #apply: ApplyFeed;
  readonly #main: MainFeed;
  readonly #snapshotsOut: SnapshotSender;
  readonly #snapshotsIn: SnapshotReceiver;
  readonly #done = Promise.withResolvers<void>();
  readonly #intake: RecordIntake;
  #stopping = false;
  #failed = false;
  /** The flush in flight has not been waited for yet. */
  #patient = false;
  /** The loop sleeps because a limit is reached. */
  #isStuck = false;
  #isPumpQueued = false;
  #applyWaits = false;
  #mainWaits = false;
  #leaderForApply = false;
  #appendsPaused = false;
  /** No other member in the configuration; no other voter. */
  #isAlone = false;
  #isSoleVoter = false;
  /** As last told. */
  #leaderId = 0n;
  #appliedIndex: number;
  #flight: Flight | null = null;
  /** Messages that the next flush will cover, and the member's term of the last one that ended. */
  #afterFlush: RaftMessage[] = [];
  #storedMemberTerm = -1;
  /** Newest index that storage acknowledged, the newest marker appended, and up to where followers need no entries. */
  #storageIndex: number;
  #markerIndex: number;
  #compactIndex: number;
  /** Resolves the sleep of {@link RaftLoop.#run} when a flush or a ring made progress. */
  #progress: (() => void) | null = null;

  constructor(options: RaftLoopOptions) {
    const { consensus, entries, appliedIndex, snapshots, tickMs } = options;
    this.#options = options;
    this.#consensus = consensus;
    this.#storage = options.storage;
    this.#entries = entries;
    this.#network = options.createNetwork(this);
    const { nodeId: memberId } = consensus;
    this.#reads = new ReadRounds({ memberId, firstNumber: options.firstReadNumber, tickMs });
    this.#apply = new ApplyFeed(options.toApply, entries, this.#reads.queue, appliedIndex);
    this.#main = new MainFeed(options.toMain);
    this.#snapshotsOut = new SnapshotSender({
      service: snapshots,
      network: this.#network,
      tickMs,
      onFailed: (id, error) => this.#snapshotFailed(id, error),
    });
    this.#snapshotsIn = new SnapshotReceiver(
      snapshots,
      (meta) => this.#snapshotInstalled(meta),
      (error) => this.#fail(error),
    );
    this.#intake = new RecordIntake({
      consensus,
      apply: this.#apply,
      main: this.#main,
      reads: this.#reads,
      network: this.#network,
      isInstalling: () => this.#snapshotsIn.isBusy,
      drainWorkers: () => this.#drainWorkers(),
      storageCommitted: (index) => this.#storageCommitted(index),
      confChangeResult: (index, isValid) => this.#confChangeResult(index, isValid),
    });
    this.#storageIndex = appliedIndex;
    this.#appliedIndex = appliedIndex;
    this.#markerIndex = options.snapshotIndex;
    this.#compactIndex = Math.max(0, options.snapshotIndex - options.catchUpEntries);
    this.#noteConfState(consensus.confState);
  }

  /** Resolves after {@link stop}; rejects with the cause when the loop dies. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  /** To look at. */
  get consensus(): Consensus {
    return this.#consensus;
  }

  /** Every entry up to here was handed to apply. */
  get handedIndex(): number {
    return this.#apply.handedIndex;
  }

  start(): void {
    this.#consensus.start();
    this.pump();
    this.#run().catch((error: unknown) => this.#fail(error));
  }

  /** One interval of the raft clock; the thread's timer calls it. */
  tick(): void {
    if (this.#failed || this.#stopping) return;
    this.#consensus.tick();
    this.#reads.tick(this.#consensus);
    this.#snapshotsOut.tick();
    this.pump();
  }

  /** Takes no more records, makes durable what was taken, writes the final hard state and closes network and log. */
  async stop(): Promise<void> {
    this.#stopping = true;
    try {
      await this.#network.stop();
      while (!this.#failed && (this.#storage.isFlushing || this.#storage.needsFlush)) {
        this.pump();
        await this.#untilProgress();
      }
      if (!this.#failed) {
        this.#storage.appendHardState(this.#consensus.ready().hardState);
        await this.#storage.close();
        this.#done.resolve();
      }
    } catch (error) {
      this.#fail(error);
    }
    return this.done;
  }

  /** Does all that can be done now, without waiting. */
  pump(): void {
    this.#pump(true);
  }

  #pump(takesFromMain: boolean): void {
    if (this.#failed) return;
    try {
      this.#drainWorkers();
      if (takesFromMain) this.#drainMain();
      this.#intake.forwardProposals();
      this.#takeReady();
      this.#startFlush();
      this.#feedApply();
      // What applying brought about: the end of a joint configuration, an election.
      if (this.#consensus.hasReady()) this.#takeReady();
      this.#startFlush();
      this.#feedMain();
      this.#pauseAppends();
    } catch (error) {
      this.#fail(error);
    }
  }

  // What peers bring: see PeerEvents.

  receive(message: RaftMessage): void {
    if (this.#failed || this.#stopping) return;
    if (message.type === MessageType.prop && this.#unappliedBytes >= FORWARDED_BYTES_MAX) return;
    try {
      this.#consensus.step(message);
    } catch (error) {
      this.#fail(error);
    }
    this.#queuePump();
  }

  checkSnapshot(snapshot: SnapshotMeta): Promise<void> {
    return this.#options.snapshots.verify?.(snapshot) ?? Promise.resolve();
  }

  unreachable(id: bigint): void {
    this.#consensus.reportUnreachable(id);
    this.#queuePump();
  }

  snapshotStatus(id: bigint, ok: boolean): void {
    this.#snapshotsOut.ended(id);
    this.#consensus.reportSnapshot(id, ok);
    this.#queuePump();
  }

  peerRequest(requestId: number, kind: number, body: Uint8Array): boolean {
    const payload = new Uint8Array(1 + body.length);
    payload[0] = kind;
    payload.set(body, 1);
    const isPosted = this.#main.post(RecordType.peerRequest, requestId, payload);
    this.#queuePump();
    return isPosted;
  }

  removedFromCluster(): void {
    this.#options.onRemoved();
  }

  /** A pump at the end of this turn: whatever one socket read brought is handled together. */
  #queuePump(): void {
    if (this.#isPumpQueued) return;
    this.#isPumpQueued = true;
    queueMicrotask(() => {
      this.#isPumpQueued = false;
      // What main sends goes into the next flush, and into one append with it: peers' answers must not tear it apart.
      this.#pump(!this.#storage.isFlushing);
      if (this.#isStuck && this.#mayTake()) this.#noteProgress();
    });
  }

  async #run(): Promise<void> {
    const { doorbell, yieldToEvents } = this.#options;
    while (!this.#stopping && !this.#failed) {
      this.pump();
      if (this.#storage.isFlushing && this.#patient) {
        // What comes now goes into the next flush: let it gather, and spare its producer the wake-up.
        this.#patient = false;
        this.#options.callAfter(FLUSH_PATIENCE_MS, this.#losePatience);
        await this.#untilProgress();
        continue;
      }
      this.#isStuck = !this.#mayTake();
      const sequence = doorbell.prepareSleep();
      const sleep = this.#inboxesEmpty() ? doorbell.sleepAsync(sequence) : undefined;
      if (sleep !== undefined) await (this.#isStuck ? Promise.race([sleep, this.#untilProgress()]) : sleep);
      doorbell.awake();
      this.#isStuck = false;
      if (sleep === undefined) await yieldToEvents();
    }
  }

  #untilProgress(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const others = this.#progress;
    this.#progress = () => {
      others?.();
      resolve();
    };
    return promise;
  }

  /** A flush takes long: reads must not wait for it. */
  readonly #losePatience = (): void => this.#noteProgress();

  #noteProgress(): void {
    const wake = this.#progress;
    this.#progress = null;
    wake?.();
  }

  /** Nothing is there that could be taken now. */
  #inboxesEmpty(): boolean {
    const { fromMain, fromWorkers } = this.#options;
    return (this.#isStuck || fromMain.isEmpty()) && fromWorkers.every((inbox) => inbox.isEmpty());
  }

  get #unappliedBytes(): number {
    return this.#storage.pendingBytes + this.#entries.waitingBytes;
  }

  #mayTake(): boolean {
    if (this.#stopping || this.#main.refusalsWaiting > 0) return false;
    // Without a leader nothing is appended, and what waits for one has limits of its own.
    if (this.#consensus.leaderId === 0n) return true;
    return this.#unappliedBytes < UNAPPLIED_BYTES_MAX && this.#reads.queue.bytes < WAITING_READ_BYTES_MAX;
  }

  #drainWorkers(): void {
    for (const inbox of this.#options.fromWorkers)
      while (inbox.drain(this.#intake.handler, TURN_RECORDS_MAX) === TURN_RECORDS_MAX);
  }

  #drainMain(): void {
    const { fromMain } = this.#options;
    let taken = 0;
    while (taken < TURN_RECORDS_MAX && this.#mayTake()) {
      const count = fromMain.drain(this.#intake.handler, DRAIN_RECORDS_MAX);
      taken += count;
      if (count < DRAIN_RECORDS_MAX) break;
    }
  }

  /** Storage holds everything up to `index`: once in a while that is noted in the log, and older segments may go. */
  #storageCommitted(index: number): void {
    if (index <= this.#storageIndex) return;
    const { commitIndex, confState } = this.#consensus;
    assert(index <= commitIndex, "storage is ahead of raft", index, commitIndex);
    this.#storageIndex = index;
    // A snapshot that is being installed gets its own marker, and a conf change that is being applied has changed storage already.
    if (this.#snapshotsIn.isBusy || index > this.#appliedIndex) return;
    if (index - this.#markerIndex < this.#options.snapshotCount) return;
    this.#storage.appendHardState(this.#consensus.ready().hardState);
    this.#storage.appendSnapshot({ index, term: this.#entries.terms.termAt(index), confState });
    this.#markerIndex = index;
  }

  #confChangeResult(index: number, isValid: boolean): void {
    const held = this.#apply.confChange;
    // A snapshot may have taken the place of the entry.
    if (held === null || held.index !== index) return;
    const consensus = this.#consensus;
    const { nodeId } = consensus;
    const confState = consensus.applyConfChange(isValid ? held.change : NO_CHANGE);
    this.#apply.confChangeDone();
    this.#noteConfState(confState);
    this.#noteApplied();
    if (consensus.leaderId === 0n && this.#isSoleVoter) consensus.campaign();
    const isRemoved = held.change.changes.some(
      (change) => change.type === REMOVE_NODE && change.nodeId === nodeId,
    );
    if (isValid && isRemoved) this.#options.onRemoved();
  }

  #noteConfState({ voters, learners, votersOutgoing }: ConfState): void {
    const { nodeId } = this.#consensus;
    const isSelf = (id: bigint): boolean => id === nodeId;
    this.#isSoleVoter = voters.length === 1 && voters.every(isSelf) && votersOutgoing.length === 0;
    // An empty configuration is that of a member that waits to be told.
    this.#isAlone = [...voters, ...learners, ...votersOutgoing].every(isSelf);
  }

  /**
   * A sole voter vouches for its commit index at once, but the one that it starts with may lag behind what it acknowledged in an
   * earlier life: until its first commit reads wait.
   */
  #askForReads(): void {
    if (this.#isSoleVoter && this.#consensus.immediateReadIndex() < 0) return;
    this.#reads.ask(this.#consensus);
  }

  #takeReady(): void {
    const consensus = this.#consensus;
    this.#askForReads();
    while (consensus.hasReady()) {
      const ready = consensus.ready();
      this.#storage.appendHardState(ready.hardState);
      if (ready.snapshot !== null) this.#snapshotsIn.accept(ready.snapshot);
      if (ready.readStates.length > 0) this.#reads.confirm(ready.readStates);
      if (ready.messages.length > 0) this.#send(ready.messages);
      const { leaderChanged } = ready;
      const promises = this.#promisesOf(ready);
      consensus.advance();
      this.#entries.endLoan();
      if (leaderChanged) this.#noteLeader();
      if (promises.length > 0) this.#deliver(promises);
      this.#askForReads();
    }
  }

  /** Keeps the messages that wait for a flush; returns them if there is nothing to wait for. */
  #promisesOf({ messagesAfterFlush }: Ready): readonly RaftMessage[] {
    if (messagesAfterFlush.length === 0) return messagesAfterFlush;
    if (this.#storage.needsFlush) this.#afterFlush.push(...messagesAfterFlush);
    else if (this.#flight !== null) this.#flight.messages.push(...messagesAfterFlush);
    else return messagesAfterFlush;
    return [];
  }

  /** The disk has what these messages promise. Those to this member itself go back into the core. */
  #deliver(messages: readonly RaftMessage[]): void {
    const { nodeId } = this.#consensus;
    const others = messages.filter(({ to }) => to !== nodeId);
    if (others.length > 0) this.#send(others);
    if (others.length === messages.length) return;
    for (const message of messages) if (message.to === nodeId) this.#consensus.step(message);
  }

  #send(messages: readonly RaftMessage[]): void {
    if (!messages.some(({ type }) => type === MessageType.snap)) {
      this.#network.send(messages);
      return;
    }
    this.#network.send(messages.filter(({ type }) => type !== MessageType.snap));
    for (const message of messages) {
      if (message.type !== MessageType.snap || this.#snapshotsOut.send(message)) continue;
      queueMicrotask(() => this.#snapshotFailed(message.to, "too many snapshots are being sent"));
    }
  }

  #snapshotFailed(id: bigint, error: unknown): void {
    if (this.#failed) return;
    this.#options.log("warn", "failed to send a snapshot", {
      "remote-peer-id": id.toString(16),
      error: String(error),
    });
    this.#consensus.reportSnapshot(id, false);
    this.#queuePump();
  }

  #snapshotInstalled(meta: SnapshotMeta): void {
    if (this.#failed) return;
    try {
      const { index } = meta;
      this.#storageIndex = Math.max(this.#storageIndex, index);
      this.#appliedIndex = index;
      this.#markerIndex = index;
      this.#compactIndex = index;
      this.#apply.restart(index);
      this.#consensus.snapshotInstalled(index);
      this.#noteConfState(this.#consensus.confState);
      this.#release(index);
    } catch (error) {
      this.#fail(error);
    }
    this.pump();
    this.#noteProgress();
  }

  #noteLeader(): void {
    const { nodeId, term, leaderId } = this.#consensus;
    this.#leaderForApply = true;
    this.#main.noteLeader();
    if (leaderId === this.#leaderId) return;
    const [id, old, leader] = [nodeId, this.#leaderId, leaderId].map((each) => each.toString(16));
    this.#leaderId = leaderId;
    const what =
      leaderId === 0n
        ? `lost leader ${old}`
        : old === "0"
          ? `elected leader ${leader}`
          : `changed leader from ${old} to ${leader}`;
    this.#options.log("info", `raft.node: ${id} ${what} at term ${term}`, { logger: "raft" });
    if (leaderId === 0n) return;
    this.#reads.leaderChanged(this.#consensus);
    this.#intake.proposeWaiting();
  }

  #startFlush(): void {
    // Storage is free a moment before the loop hears of the end of its flush: what that flush covers must be told first.
    if (this.#flight !== null || this.#storage.isFlushing || !this.#storage.needsFlush) return;
    this.#patient = true;
    const { lastIndex, terms } = this.#entries;
    this.#flight = {
      lastIndex,
      lastTerm: terms.lastTerm,
      memberTerm: this.#consensus.term,
      messages: this.#afterFlush,
    };
    this.#afterFlush = [];
    this.#entries.flush().then(
      (batch) => this.#flushed(batch),
      (error: unknown) => this.#fail(error),
    );
  }

  #flushed(batch: StoredBatch): void {
    if (this.#failed) return;
    try {
      const { count, snapshotIndex } = batch;
      const flight = this.#flight as Flight;
      this.#flight = null;
      this.#entries.flushed(batch);
      if (count > 0 || flight.memberTerm !== this.#storedMemberTerm)
        this.#consensus.entriesStored(flight.lastIndex, flight.lastTerm, flight.memberTerm);
      this.#storedMemberTerm = flight.memberTerm;
      if (flight.messages.length > 0) this.#deliver(flight.messages);
      // The disk comes first: what has gathered meanwhile goes off before anything else is done.
      this.#takeReady();
      this.#startFlush();
      if (snapshotIndex > 0) this.#markerStored(snapshotIndex);
    } catch (error) {
      this.#fail(error);
    }
    this.pump();
    this.#noteProgress();
  }

  #markerStored(index: number): void {
    this.#snapshotsIn.flushed(index);
    if (index !== this.#markerIndex) return;
    this.#compactIndex = Math.max(0, index - this.#options.catchUpEntries);
    this.#release(this.#isAlone ? index : this.#compactIndex);
  }

  #release(index: number): void {
    this.#storage.releaseTo(index).catch((error: unknown) => {
      // Segments that could not be deleted cost space only; the next marker tries again.
      this.#options.log("warn", "failed to purge WAL segments", { error: String(error) });
    });
  }

  #feedApply(): void {
    if (this.#snapshotsIn.isBusy) return;
    const { consensus } = this.#options;
    if (this.#leaderForApply) {
      this.#leaderForApply = !this.#apply.leader(consensus.term, consensus.leaderId, consensus.isLeader);
    }
    if (!this.#leaderForApply)
      this.#apply.handOver(Math.min(consensus.commitIndex, this.#entries.storedIndex));
    this.#apply.publish();
    this.#noteApplied();
    const needed = this.#leaderForApply ? LEADER_BYTES : this.#apply.neededBytes;
    if (needed === 0 || this.#applyWaits) return;
    this.#applyWaits = true;
    this.#resumeWithRoom(this.#options.toApply, needed, () => (this.#applyWaits = false));
  }

  /** Tells the core what apply has got, and lets go of entries that nobody needs. */
  #noteApplied(): void {
    const { appliedIndex } = this.#apply;
    if (appliedIndex !== this.#appliedIndex) {
      this.#appliedIndex = appliedIndex;
      this.#consensus.applied(appliedIndex);
    }
    const { holdsLog } = this.#snapshotsOut;
    const limit = holdsLog ? RETAINED_BYTES_SNAPSHOT_MAX : RETAINED_BYTES_MAX;
    // While a cluster's founding entries are applied, one of its members is the only one for a moment, but leads nothing.
    const isAlone = this.#isAlone && this.#consensus.isLeader;
    const unneeded = isAlone ? appliedIndex : holdsLog ? 0 : Math.min(this.#compactIndex, appliedIndex);
    const durable = Math.min(this.#storageIndex, appliedIndex);
    if (this.#entries.compact(unneeded, durable, limit))
      this.#consensus.compacted(this.#entries.firstIndex - 1);
  }

  #feedMain(): void {
    if (this.#main.send(this.#consensus) || this.#mainWaits) return;
    this.#mainWaits = true;
    this.#resumeWithRoom(this.#options.toMain, this.#main.neededBytes, () => (this.#mainWaits = false));
  }

  #pauseAppends(): void {
    const limit = this.#appendsPaused ? UNAPPLIED_BYTES_MAX / 2 : UNAPPLIED_BYTES_MAX;
    const isOver = this.#unappliedBytes >= limit && !this.#consensus.isLeader;
    if (isOver === this.#appendsPaused) return;
    this.#appendsPaused = isOver;
    this.#network.pauseAppends(isOver);
  }

  #resumeWithRoom(ring: RingWriter, needed: number, waited: () => void): void {
    ring.roomAvailable(needed).then(
      () => {
        waited();
        this.pump();
        this.#noteProgress();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  /** Nothing is acknowledged after this. */
  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    const cause = error instanceof Error ? error.message : String(error);
    this.#done.reject(new Error(`raft thread: ${cause}`, { cause: error }));
    this.#noteProgress();
  }
}
