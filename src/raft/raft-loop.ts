/**
 * The loop of the raft thread, against interfaces only, so that the simulation runs the same code.
 *
 * It owns the order of things: a proposal's bytes go from the inbox straight into the log's open batch; a flush starts whenever
 * none is in flight and something must be durable; what a finished flush commits goes to apply in index order, reads behind
 * the entries they must see. It never blocks, never acknowledges before the disk has it, and never looks into an entry.
 *
 * ```
 *   inboxes ──drain──▶ Consensus ──▶ open batch ──flush──▶ LogWindow ──▶ apply ring (entries, reads, leader)
 *                         │   ▲                      │
 *                         │   └──── entriesStored ───┘          ──▶ main ring (refusals, leader, status)
 * ```
 *
 * Backpressure: it takes no more records while too many bytes are not yet durable or not yet handed to apply; the inbox then
 * fills, and main stops reading sockets. Any error ends it: `done` rejects, and nothing after that is acknowledged.
 * Read next: `apply-feed.ts`, `main-feed.ts`, `log-window.ts`.
 */

import { assert } from "../base/assert.ts";
import { ErrorId } from "../base/errors.ts";
import { FLAG_TRACED, RecordType } from "../ring/record-types.ts";
import type { RecordHandler, RingReader, RingWriter } from "../ring/ring.ts";
import { ApplyFeed, LEADER_BYTES, TRACE_CONTEXT_BYTES } from "./apply-feed.ts";
import { LogWindow } from "./log-window.ts";
import { MainFeed } from "./main-feed.ts";
import { EntryType } from "./raft.ts";
import type { ConfState, EntryBatch, EntrySink, HardState } from "./raft.ts";
import { ReadQueue } from "./read-queue.ts";
import type { SoleConsensus } from "./sole-consensus.ts";

/**
 * Most bytes of entries that are not yet durable or not yet handed to apply. It bounds the thread's memory; a disk that takes
 * 100 MB/s drains it in a third of a second, well within a client's patience.
 */
export const UNAPPLIED_BYTES_MAX = 32 * 1024 * 1024;
/** Most bytes of reads that wait for leadership to be confirmed or for room. */
export const WAITING_READ_BYTES_MAX = 8 * 1024 * 1024;
/** How long records may gather behind a flush before the loop looks at them; far above a flush on a healthy disk. */
const FLUSH_PATIENCE_MS = 1;
/** Records taken between two looks at the limits above. */
const DRAIN_RECORDS_MAX = 64;
/** Records taken before the flush gets its turn again. */
const TURN_RECORDS_MAX = 4096;

/** A batch of the log as storage hands it over once it is durable. */
export interface StoredBatch extends EntryBatch {
  /** Index of the newest snapshot marker in it, 0 = none. */
  readonly snapshotIndex: number;
}

/** What the loop needs of the WAL; `Wal` is one. */
export interface LogStorage extends EntrySink {
  readonly pendingBytes: number;
  readonly needsFlush: boolean;
  readonly isFlushing: boolean;
  appendHardState(state: HardState): void;
  appendSnapshot(marker: { index: number; term: number; confState: ConfState }): void;
  flush(): Promise<StoredBatch>;
  recycle(batch: EntryBatch): void;
  releaseTo(index: number): Promise<void>;
  close(): Promise<void>;
}

/** Where the loop sleeps; `Doorbell` is one. */
export interface LoopDoorbell {
  prepareSleep(): number;
  awake(): void;
  sleepAsync(sequence: number): Promise<unknown> | undefined;
}

export type LoopLog = (
  level: "debug" | "info" | "warn" | "error",
  message: string,
  fields: Record<string, unknown>,
) => void;

export interface RaftLoopOptions {
  readonly consensus: SoleConsensus;
  readonly storage: LogStorage;
  /** Entries above `appliedIndex` that the log held at start, in order. */
  readonly recovered: readonly EntryBatch[];
  /** Last index the log held at start. */
  readonly lastIndex: number;
  /** What the state machine's storage holds already. */
  readonly appliedIndex: number;
  /** Newest snapshot marker in the log. */
  readonly snapshotIndex: number;
  /** --snapshot-count: a marker each time storage has advanced by so many entries. */
  readonly snapshotCount: number;
  /** Records of main and of storage. */
  readonly inboxes: readonly RingReader[];
  readonly toApply: RingWriter;
  readonly toMain: RingWriter;
  readonly doorbell: LoopDoorbell;
  /** Calls back after some milliseconds; a newer call may replace one that has not happened. */
  readonly callAfter: (milliseconds: number, callback: () => void) => void;
  /** Lets the event loop run once (setImmediate), so that a busy inbox cannot starve the disk's answers. */
  readonly yieldToEvents: () => Promise<void>;
  readonly log: LoopLog;
}

/**
 * Checks that the log reaches as far as storage does, takes leadership, and begins: committed entries above `appliedIndex` go
 * to apply first. Throws if the log ends below `appliedIndex`: then acknowledged entries are lost.
 */
export function startRaftLoop(options: RaftLoopOptions): RaftLoop {
  const { appliedIndex, lastIndex } = options;
  if (lastIndex < appliedIndex) {
    throw new Error(
      `raft: the write-ahead log ends at index ${lastIndex}, but storage has applied up to ${appliedIndex}: entries are lost`,
    );
  }
  const loop = new RaftLoop(options);
  loop.start();
  return loop;
}

export class RaftLoop {
  readonly #options: RaftLoopOptions;
  readonly #consensus: SoleConsensus;
  readonly #storage: LogStorage;
  readonly #window: LogWindow;
  readonly #reads = new ReadQueue();
  readonly #apply: ApplyFeed;
  readonly #main: MainFeed;
  readonly #done = Promise.withResolvers<void>();
  readonly #handler: RecordHandler;
  #stopping = false;
  #failed = false;
  /** The flush in flight has not been waited for yet. */
  #patient = false;
  #applyWaits = false;
  #mainWaits = false;
  #leaderForApply = false;
  /** Number of the newest read context, and whether reads have been put under it since it was last sent. */
  #readContext = 0;
  #readContextOpen = false;
  /** Newest index that storage acknowledged, and the newest marker appended. */
  #storageIndex: number;
  #markerIndex: number;
  /** Resolves the sleep of {@link RaftLoop.#run} when a flush or a ring made progress. */
  #progress: (() => void) | null = null;

  constructor(options: RaftLoopOptions) {
    this.#options = options;
    this.#consensus = options.consensus;
    this.#storage = options.storage;
    this.#window = new LogWindow((batch) => this.#storage.recycle(batch));
    for (const batch of options.recovered) this.#window.push(batch);
    this.#apply = new ApplyFeed(options.toApply, this.#window, this.#reads, options.appliedIndex);
    this.#main = new MainFeed(options.toMain);
    this.#handler = (type, flags, requestId, bytes, start, end) =>
      this.#handle(type, flags, requestId, bytes, start, end);
    this.#storageIndex = options.appliedIndex;
    this.#markerIndex = options.snapshotIndex;
  }

  /** Resolves after {@link stop}; rejects with the cause when the loop dies. */
  get done(): Promise<void> {
    return this.#done.promise;
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
    this.pump();
  }

  /** Takes no more records, makes durable what was taken, writes the final hard state and closes the log. */
  async stop(): Promise<void> {
    this.#stopping = true;
    try {
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
    if (this.#failed) return;
    try {
      this.#drainInboxes();
      this.#takeReady();
      this.#startFlush();
      this.#feedApply();
      this.#feedMain();
    } catch (error) {
      this.#fail(error);
    }
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
      } else if (this.#mayTake()) {
        const sequence = doorbell.prepareSleep();
        const sleep = this.#inboxesEmpty() ? doorbell.sleepAsync(sequence) : undefined;
        if (sleep !== undefined) await sleep;
        doorbell.awake();
        if (sleep === undefined) await yieldToEvents();
      } else await this.#untilProgress();
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

  #inboxesEmpty(): boolean {
    return this.#options.inboxes.every((inbox) => inbox.isEmpty());
  }

  #mayTake(): boolean {
    return (
      !this.#stopping &&
      this.#storage.pendingBytes + this.#window.heldBytes < UNAPPLIED_BYTES_MAX &&
      this.#reads.bytes < WAITING_READ_BYTES_MAX &&
      this.#main.refusalsWaiting === 0
    );
  }

  #drainInboxes(): void {
    for (const inbox of this.#options.inboxes) {
      let taken = 0;
      while (taken < TURN_RECORDS_MAX && this.#mayTake()) {
        const count = inbox.drain(this.#handler, DRAIN_RECORDS_MAX);
        taken += count;
        if (count < DRAIN_RECORDS_MAX) break;
      }
    }
  }

  #handle(
    type: number,
    flags: number,
    requestId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    switch (type) {
      case RecordType.propose:
        this.#propose(flags, requestId, bytes, start, end);
        return;
      case RecordType.read:
        this.#read(flags, requestId, bytes, start, end);
        return;
      case RecordType.cancel:
        this.#reads.cancel(requestId);
        return;
      case RecordType.committed:
        this.#storageCommitted(requestId);
        return;
      default:
        assert(false, "unknown record in the raft inbox", type);
    }
  }

  #propose(flags: number, requestId: number, bytes: Uint8Array, start: number, end: number): void {
    const isTraced = (flags & FLAG_TRACED) !== 0;
    const dataStart = isTraced ? start + TRACE_CONTEXT_BYTES : start;
    const index = this.#consensus.propose(EntryType.normal, bytes, dataStart, end);
    if (index === 0) this.#main.refuse(requestId, ErrorId.noLeader);
    else if (isTraced) this.#apply.trace(index, bytes.slice(start, dataStart));
  }

  #read(flags: number, requestId: number, bytes: Uint8Array, start: number, end: number): void {
    const readIndex = this.#consensus.immediateReadIndex();
    if (readIndex >= 0 && this.#apply.tryRead(readIndex, flags, requestId, bytes, start, end)) return;
    if (!this.#readContextOpen) {
      this.#readContextOpen = true;
      this.#readContext++;
    }
    this.#reads.push(this.#readContext, flags, requestId, bytes, start, end);
  }

  /** Storage holds everything up to `index`: once in a while that is noted in the log, and older segments may go. */
  #storageCommitted(index: number): void {
    if (index <= this.#storageIndex) return;
    assert(index <= this.#apply.handedIndex, "storage is ahead of apply", index, this.#apply.handedIndex);
    this.#storageIndex = index;
    if (index - this.#markerIndex < this.#options.snapshotCount) return;
    const { consensus } = this.#options;
    this.#storage.appendHardState(consensus.ready().hardState);
    this.#storage.appendSnapshot({ index, term: consensus.termAt(index), confState: consensus.confState });
    this.#markerIndex = index;
    consensus.applied(index);
  }

  #takeReady(): void {
    if (this.#readContextOpen) {
      this.#readContextOpen = false;
      this.#consensus.readIndex(this.#readContext);
    }
    if (!this.#consensus.hasReady()) return;
    const ready = this.#consensus.ready();
    this.#storage.appendHardState(ready.hardState);
    this.#reads.confirm(ready.readContext, ready.readIndex);
    if (ready.leaderChanged) this.#noteLeader();
    this.#consensus.advance();
  }

  #noteLeader(): void {
    const { nodeId, term, leaderId } = this.#consensus;
    this.#leaderForApply = true;
    this.#main.noteLeader();
    const id = nodeId.toString(16);
    const leader = leaderId.toString(16);
    if (this.#consensus.isLeader)
      this.#options.log("info", `${id} became leader at term ${term}`, { logger: "raft" });
    this.#options.log("info", `raft.node: ${id} elected leader ${leader} at term ${term}`, {
      logger: "raft",
    });
  }

  #startFlush(): void {
    if (this.#storage.isFlushing || !this.#storage.needsFlush) return;
    this.#patient = true;
    this.#storage.flush().then(
      (batch) => this.#flushed(batch),
      (error: unknown) => this.#fail(error),
    );
  }

  #flushed(batch: StoredBatch): void {
    if (this.#failed) return;
    try {
      if (batch.count > 0) {
        const last = batch.count - 1;
        this.#consensus.entriesStored(batch.firstIndex + last, batch.term(last));
      }
      // The disk comes first: what has gathered meanwhile goes off before anything else is done.
      this.#takeReady();
      this.#startFlush();
      if (batch.snapshotIndex > 0) this.#release(batch.snapshotIndex);
      this.#window.push(batch);
    } catch (error) {
      this.#fail(error);
    }
    this.pump();
    this.#noteProgress();
  }

  #release(index: number): void {
    this.#storage.releaseTo(index).catch((error: unknown) => {
      // Segments that could not be deleted cost space only; the next marker tries again.
      this.#options.log("warn", "failed to purge WAL segments", { error: String(error) });
    });
  }

  #feedApply(): void {
    const { consensus } = this.#options;
    if (this.#leaderForApply) {
      this.#leaderForApply = !this.#apply.leader(consensus.term, consensus.leaderId, consensus.isLeader);
    }
    if (!this.#leaderForApply) this.#apply.handOver(consensus.commitIndex);
    this.#apply.publish();
    const needed = this.#leaderForApply ? LEADER_BYTES : this.#apply.neededBytes;
    if (needed === 0 || this.#applyWaits) return;
    this.#applyWaits = true;
    this.#resumeWithRoom(this.#options.toApply, needed, () => (this.#applyWaits = false));
  }

  #feedMain(): void {
    if (this.#main.send(this.#consensus) || this.#mainWaits) return;
    this.#mainWaits = true;
    this.#resumeWithRoom(this.#options.toMain, this.#main.neededBytes, () => (this.#mainWaits = false));
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
