/**
 * The loop of the raft thread, against interfaces only, so that the simulation runs the same code.
 *
 * It owns the order of things: a proposal's bytes go from the inbox straight into the log's open batch; appends for the others
 * leave while the own flush still runs; a flush starts whenever none is in flight and something must be durable; what promises
 * durability leaves when the flush that covers it has ended; what is committed and durable goes to apply in index order, reads
 * behind the entries they must see. It never blocks (a lone writer's flush on a lone member excepted), never acknowledges before
 * the disk has it, and never looks into an entry, conf changes excepted.
 *
 * ```
 *   inbox of main ──drain──▶ Consensus ──▶ EntryLog ──flush──▶ entriesStored ──▶ apply ring (entries, reads, leader)
 *   peers, ticks ──step──▶      │ ready                                      ──▶ main ring (refusals, leader, status)
 *                               ├─ messages ───────────────────────▶ peers
 *                               └─ messagesAfterFlush,
 *                                  requests for votes ──▶ flush ───▶ peers, or back into Consensus
 * ```
 *
 * Backpressure: it takes no more of main's records while too many bytes are not yet durable or not yet handed to apply, and reads no
 * more appends of a leader as long as disk or apply have work; the inbox then fills, and main stops reading sockets. Records of the other threads, heartbeats and
 * votes are always taken. Any error ends it: `done` rejects, and nothing after that is acknowledged.
 * Read next: `start-raft-loop.ts`; ways in: `inboxes.ts`, `record-intake.ts`, `peer-intake.ts`; `flush-cycle.ts`, `entry-log.ts`, `log-retention.ts`;
 * ways out: `outbox.ts` (peers), `apply-feed.ts`, `main-feed.ts`; `read-rounds.ts`, `proposal-queue.ts`, `snapshot-receiver.ts`.
 */

import { ConfChangeType } from "../proto/conf-change.ts";
import type { RingWriter } from "../ring/ring.ts";
import { ApplyFeed } from "./apply-feed.ts";
import type { EntryLog } from "./entry-log.ts";
import { FlushCycle } from "./flush-cycle.ts";
import { GroupShape } from "./group-shape.ts";
import { Inboxes } from "./inboxes.ts";
import { LogRetention } from "./log-retention.ts";
import type { LogStorage, StoredBatch } from "./log-storage.ts";
import { MainFeed } from "./main-feed.ts";
import { Outbox } from "./outbox.ts";
import { PeerIntake } from "./peer-intake.ts";
import type { PeerNetwork } from "./peer-network.ts";
import { ProgressSignal } from "./progress-signal.ts";
import type { ConfChange, Consensus, SnapshotMeta } from "./raft.ts";
import type { RaftLoopOptions } from "./raft-loop-options.ts";
import type { RaftStages } from "./raft-stages.ts";
import { ReadRounds } from "./read-rounds.ts";
import { RecordIntake, WAITING_READ_BYTES_MAX } from "./record-intake.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";

/**
 * Most bytes of entries that are not yet durable or not yet handed to apply. It bounds the thread's memory; a disk that takes
 * 100 MB/s drains it in a third of a second, well within a client's patience.
 */
export const UNAPPLIED_BYTES_MAX = 32 * 1024 * 1024;
/** Beyond this a leader drops what other members forward, which they were not kept from sending; their clients time out. */
const FORWARDED_BYTES_MAX = 2 * UNAPPLIED_BYTES_MAX;
/** How long records may gather behind a flush before the loop looks at them; far above a flush on a healthy disk. */
const FLUSH_PATIENCE_MS = 1;
/** Behind a flush of so few entries not much will gather: it is not worth a timer, and maybe not a trip to another thread. */
const LONE_ENTRIES = 1;
/** Entries and reads that are handed to apply before messages are sent. */
const EARLY_ENTRIES_MAX = 16;

/** What an invalid conf change is for the core: it ends the wait for it and changes nothing. */
const NO_CHANGE: ConfChange = { transition: 0, changes: [{ type: 0, nodeId: 0n }] };

/** Made by `startRaftLoop` of `start-raft-loop.ts`. */
export class RaftLoop {
  readonly #options: RaftLoopOptions;
  readonly #consensus: Consensus;
  readonly #stages: RaftStages | null;
  readonly #storage: LogStorage;
  readonly #entries: EntryLog;
  readonly #network: PeerNetwork;
  readonly #reads: ReadRounds;
  readonly #apply: ApplyFeed;
  readonly #main: MainFeed;
  readonly #flushes: FlushCycle;
  readonly #retention: LogRetention;
  readonly #outbox: Outbox;
  readonly #snapshotsIn: SnapshotReceiver;
  readonly #shape: GroupShape;
  readonly #progress = new ProgressSignal();
  readonly #done = Promise.withResolvers<void>();
  readonly #intake: RecordIntake;
  readonly #inboxes: Inboxes;
  #stopping = false;
  #failed = false;
  /** The flush in flight has not been waited for yet. */
  #patient = false;
  /** Records taken from main until the last flush began. */
  #takenAtFlush = 0;
  /** The loop sleeps because a limit is reached. */
  #isStuck = false;
  #isPumpQueued = false;
  #applyWaits = false;
  #mainWaits = false;
  #leaderForApply = false;
  #appendsPaused = false;
  /** As last told. */
  #leaderId = 0n;
  #appliedIndex: number;
  constructor(options: RaftLoopOptions) {
    const { consensus, entries, appliedIndex, snapshots, tickMs, tracer = null } = options;
    this.#options = options;
    this.#stages = options.stages ?? null;
    this.#consensus = consensus;
    this.#storage = options.storage;
    this.#entries = entries;
    const { nodeId: memberId } = consensus;
    this.#shape = new GroupShape(memberId, consensus.confState);
    this.#reads = new ReadRounds({
      memberId,
      firstNumber: options.firstReadNumber,
      tickMs,
      slowMs: options.metrics?.slowReadMs,
      meters: options.metrics?.meters,
    });
    this.#apply = new ApplyFeed(options.toApply, entries, this.#reads.queue, appliedIndex, tracer);
    this.#main = new MainFeed(options.toMain);
    this.#flushes = new FlushCycle(consensus, options.storage, entries, tracer);
    this.#retention = new LogRetention(options);
    const peers = new PeerIntake({
      consensus,
      main: this.#main,
      service: snapshots,
      isLogStart: ({ index }) => entries.firstIndex === index + 1,
      tracer,
      stages: this.#stages,
      sender: () => this.#outbox.snapshots,
      onRemoved: options.onRemoved,
      isOpen: () => !this.#failed && !this.#stopping,
      isOverloaded: () => this.#unappliedBytes >= FORWARDED_BYTES_MAX,
      onChange: () => this.#queuePump(),
      onError: (error) => this.#fail(error),
    });
    this.#network = options.createNetwork(peers);
    this.#outbox = new Outbox(options, this.#network, () => this.#queuePump());
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
      tracer,
      stages: this.#stages,
      isInstalling: () => this.#snapshotsIn.isBusy,
      drainWorkers: () => this.#inboxes.drainWorkers(),
      // A snapshot that is being installed gets its own marker, and a conf change that is being applied has changed storage already.
      storageCommitted: (index) =>
        this.#retention.storageCommitted(index, !this.#snapshotsIn.isBusy && index <= this.#appliedIndex),
      confChangeResult: (index, isValid) => this.#confChangeResult(index, isValid),
    });
    this.#inboxes = new Inboxes(options, this.#intake.handler, () => this.#mayTake());
    this.#appliedIndex = appliedIndex;
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
    this.#outbox.snapshots.tick();
    if (this.#options.tracer?.isActive) this.#options.tracer.tick();
    // A transfer that came to nothing ends with a tick.
    this.#intake.proposeWaiting();
    this.pump();
  }

  /** Takes no more records, makes durable what was taken, writes the final hard state and closes network and log. */
  async stop(): Promise<void> {
    this.#stopping = true;
    try {
      await this.#network.stop();
      while (!this.#failed && (this.#storage.isFlushing || this.#storage.needsFlush)) {
        this.pump();
        await this.#progress.wait();
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
      this.#inboxes.drainWorkers();
      if (takesFromMain) this.#inboxes.drainMain();
      if (this.#stages !== null && this.#consensus.isLeader) this.#stages.taken(this.#entries.lastIndex);
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

  /** A pump at the end of this turn: whatever one socket read brought is handled together. */
  #queuePump(): void {
    if (this.#isPumpQueued) return;
    this.#isPumpQueued = true;
    queueMicrotask(() => {
      this.#isPumpQueued = false;
      // What main sends goes into the next flush, and into one append with it: peers' answers must not tear it apart.
      this.#pump(!this.#storage.isFlushing);
      if (this.#isStuck && this.#mayTake()) this.#progress.note();
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
        await this.#progress.wait();
        continue;
      }
      this.#isStuck = !this.#mayTake();
      const sequence = doorbell.prepareSleep();
      const sleep = this.#inboxes.isEmpty(!this.#isStuck) ? doorbell.sleepAsync(sequence) : undefined;
      if (sleep !== undefined) await (this.#isStuck ? Promise.race([sleep, this.#progress.wait()]) : sleep);
      doorbell.awake();
      this.#isStuck = false;
      if (sleep === undefined) await yieldToEvents();
    }
  }

  /** A flush takes long: reads must not wait for it. */
  readonly #losePatience = (): void => this.#progress.note();

  get #unappliedBytes(): number {
    return this.#storage.pendingBytes + this.#entries.waitingBytes;
  }

  #mayTake(): boolean {
    if (this.#stopping || this.#main.refusalsWaiting > 0) return false;
    // Without a leader nothing is appended, and what waits for one has limits of its own.
    if (this.#consensus.leaderId === 0n) return true;
    return this.#unappliedBytes < UNAPPLIED_BYTES_MAX && this.#reads.queue.bytes < WAITING_READ_BYTES_MAX;
  }

  #confChangeResult(index: number, isValid: boolean): void {
    const held = this.#apply.confChange;
    // A snapshot may have taken the place of the entry: installed, or about to be, it has brought its own configuration.
    if (held === null || held.index !== index || index < this.#entries.firstIndex) return;
    const consensus = this.#consensus;
    const { nodeId } = consensus;
    const confState = consensus.applyConfChange(isValid ? held.change : NO_CHANGE);
    this.#apply.confChangeDone();
    this.#shape.note(confState);
    this.#noteApplied();
    if (consensus.leaderId === 0n && this.#shape.isSoleVoter) consensus.campaign();
    const isRemoved = held.change.changes.some(
      (change) => change.type === ConfChangeType.removeNode && change.nodeId === nodeId,
    );
    // A sole voter that has not heard of the commit would need this member's vote: it goes when that one turns it away.
    if (isValid && isRemoved && !this.#shape.hasSoleVoter) this.#options.onRemoved();
  }

  /**
   * A sole voter vouches for its commit index at once, but the one that it starts with may lag behind what it acknowledged in an
   * earlier life: until its first commit reads wait.
   */
  #askForReads(): void {
    if (this.#shape.isSoleVoter && this.#consensus.immediateReadIndex() < 0) return;
    this.#reads.ask(this.#consensus);
  }

  #takeReady(): void {
    const consensus = this.#consensus;
    this.#askForReads();
    while (consensus.hasReady()) {
      const ready = consensus.ready();
      const { leaderChanged } = ready;
      this.#storage.appendHardState(ready.hardState);
      if (ready.snapshot !== null) this.#snapshotsIn.accept(ready.snapshot);
      if (ready.readStates.length > 0) {
        this.#reads.confirm(ready.readStates);
        this.#stages?.readsConfirmed();
      }
      const { commitIndex, snapshot } = ready;
      // Few answers go before the messages, so that nobody's answer waits for sockets; many would hold up the disk.
      if (commitIndex - this.#apply.handedIndex <= EARLY_ENTRIES_MAX && !leaderChanged && snapshot === null)
        this.#handOver();
      const messages = this.#flushes.holdRequests(ready.messages);
      if (messages.length > 0) this.#outbox.send(messages);
      const promises = this.#flushes.hold(ready.messagesAfterFlush);
      consensus.advance();
      this.#entries.endLoan();
      if (leaderChanged) this.#noteLeader();
      if (promises.length > 0) this.#outbox.deliver(promises);
      this.#askForReads();
    }
  }

  #snapshotInstalled(meta: SnapshotMeta): void {
    if (this.#failed) return;
    try {
      const { index } = meta;
      this.#appliedIndex = index;
      this.#apply.restart(index);
      this.#consensus.snapshotInstalled(index);
      this.#shape.note(this.#consensus.confState);
      this.#retention.snapshotInstalled(index);
    } catch (error) {
      this.#fail(error);
    }
    this.pump();
    this.#progress.note();
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
    const isLone = this.#entries.lastIndex - this.#entries.storedIndex <= LONE_ENTRIES;
    // A writer on its own, with no other member to hear: nobody waits behind the disk.
    const { takenFromMain } = this.#inboxes;
    const isQuiet = takenFromMain - this.#takenAtFlush <= LONE_ENTRIES;
    const flush = this.#flushes.begin(isLone && isQuiet && this.#shape.isAlone);
    if (flush === null) return;
    this.#takenAtFlush = takenFromMain;
    this.#stages?.flushBegins(this.#entries.lastIndex);
    this.#patient = !isLone;
    flush.then(
      (batch) => this.#flushed(batch),
      (error: unknown) => this.#fail(error),
    );
  }

  #flushed(batch: StoredBatch): void {
    if (this.#failed) return;
    try {
      const { snapshotIndex } = batch;
      this.#stages?.flushEnded();
      const promises = this.#flushes.end(batch);
      if (promises.length > 0) this.#outbox.deliver(promises);
      // The disk comes first: what has gathered meanwhile goes off before anything else is done.
      this.#takeReady();
      this.#startFlush();
      if (snapshotIndex > 0) {
        this.#snapshotsIn.flushed(snapshotIndex);
        this.#retention.markerStored(snapshotIndex, this.#shape.isAlone);
      }
    } catch (error) {
      this.#fail(error);
    }
    this.pump();
    this.#progress.note();
  }

  #feedApply(): void {
    if (this.#snapshotsIn.isBusy) return;
    const { consensus } = this.#options;
    if (this.#leaderForApply) {
      this.#leaderForApply = !this.#apply.leader(consensus.term, consensus.leaderId, consensus.isLeader);
    }
    this.#handOver();
    if (this.#apply.awaitsDurableCommit) this.#storage.appendHardState(consensus.ready().hardState, true);
    this.#noteApplied();
    const needed = this.#apply.neededBytes;
    if (needed === 0 || this.#applyWaits) return;
    this.#applyWaits = true;
    this.#resumeWithRoom(this.#options.toApply, needed, () => (this.#applyWaits = false));
  }

  #handOver(): void {
    if (this.#snapshotsIn.isBusy) return;
    // What a leader has committed comes behind the news of who leads.
    if (!this.#leaderForApply)
      this.#apply.handOver(Math.min(this.#consensus.commitIndex, this.#entries.storedIndex));
    this.#stages?.handed(this.#apply.handedIndex);
    this.#apply.publish();
  }

  /** Tells the core what apply has got, and lets go of entries that nobody needs. */
  #noteApplied(): void {
    const { appliedIndex } = this.#apply;
    if (appliedIndex !== this.#appliedIndex) {
      this.#appliedIndex = appliedIndex;
      this.#consensus.applied(appliedIndex);
    }
    // While a cluster's founding entries are applied, one of its members is the only one for a moment, but leads nothing.
    const isAlone = this.#shape.isAlone && this.#consensus.isLeader;
    this.#retention.compact(appliedIndex, isAlone, this.#outbox.snapshots.holdsLog);
  }

  #feedMain(): void {
    this.#options.tracer?.publish();
    if (this.#main.send(this.#consensus) || this.#mainWaits) return;
    this.#mainWaits = true;
    this.#resumeWithRoom(this.#options.toMain, this.#main.neededBytes, () => (this.#mainWaits = false));
  }

  /** Disk or apply will take something without more being heard of the leader. What is neither committed nor being written never goes. */
  get #drainsAlone(): boolean {
    const { commitIndex } = this.#consensus;
    return (
      this.#storage.pendingBytes > 0 ||
      this.#apply.handedIndex < Math.min(commitIndex, this.#entries.storedIndex)
    );
  }

  #pauseAppends(): void {
    const limit = this.#appendsPaused ? UNAPPLIED_BYTES_MAX / 2 : UNAPPLIED_BYTES_MAX;
    const isOver = this.#unappliedBytes >= limit && !this.#consensus.isLeader && this.#drainsAlone;
    if (isOver === this.#appendsPaused) return;
    this.#appendsPaused = isOver;
    this.#network.pauseAppends(isOver);
  }

  #resumeWithRoom(ring: RingWriter, needed: number, waited: () => void): void {
    ring.roomAvailable(needed).then(
      () => {
        waited();
        this.pump();
        this.#progress.note();
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
    this.#progress.note();
  }
}
