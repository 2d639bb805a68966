/**
 * The loop of the apply thread, against interfaces so that a simulation can run it: takes committed entries and confirmed
 * reads from raft, serializable reads, credits and cancels from main, and acknowledgements from storage; drives the
 * {@link ApplyMachine}; publishes answers once a batch.
 *
 * Order it guarantees: entries and the reads behind them are handled in ring order; answers of a batch are visible to main
 * before the batch's revisions are visible to storage (durability is already the WAL's).
 */

import { viewOf } from "../base/bytes.ts";
import { ErrorId } from "../base/errors.ts";
import type { ApplyMeters } from "../base/thread-meters.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { responseHeader, type MemberIdentity } from "../proto/response-header.ts";
import { FLAG_TRACED, ReadKind, RecordType } from "../ring/record-types.ts";
import type { StageLog } from "../ring/stage-log.ts";
import { type SpanReporter, SpanCode, TRACE_PREFIX_BYTES, contextAt, sentMsOf } from "../ring/trace.ts";
import type { Doorbell } from "../ring/doorbell.ts";
import type { RingReader, RingWriter } from "../ring/ring.ts";
import type { Mvcc } from "../mvcc/mvcc.ts";
import type { Membership } from "../cluster/membership.ts";
import { SLICE_REST_MS, SLICES_ALONE } from "./apply-limits.ts";
import type { ApplyMachine } from "./apply-machine.ts";
import { ApplyTimer } from "./apply-timer.ts";
import type { HashKvJobs } from "./hash-kv-jobs.ts";
import { encodeMemberList } from "./member-answers.ts";
import type { LeaseDuties } from "./lease-duties.ts";
import type { MembershipFeed } from "./membership-feed.ts";
import { type SlowApply, type SlowOutcome, SlowApplies } from "./slow-applies.ts";
import { type DatabaseSize, StatusRecords } from "./status-records.ts";
import type { WatchFeed } from "./watch-feed.ts";

/** Records of one ring handled before answers are published and the other rings get their turn. */
const RECORDS_PER_TURN_MAX = 512;
/** raftpb.EntryType */
const ENTRY_NORMAL = 0;

/** What the loop tells storage at the end of a batch. */
export interface AppliedSink {
  /** Everything handed over so far belongs to entries up to `index`. */
  applied(index: number, term: number, revision: number): void;
  /** Asks for a commit now. */
  flush(token: number): void;
  /** What was handed over last is of a sampled request, the entry `index`; `context` is its trace's. Without storage thread: absent. */
  traced?(index: number, context: Uint8Array, sentMs: number): void;
  publish(): void;
}

/** A sink that commits in its own `publish`: memory mode. */
export interface DirectCommits {
  readonly committedRevision: number;
  readonly servedToken: number;
  size(): DatabaseSize;
}

export interface ApplyLoopOptions {
  readonly machine: ApplyMachine;
  readonly hashes: HashKvJobs;
  readonly store: Mvcc;
  readonly membership: Membership;
  readonly identity: MemberIdentity;
  readonly fromRaft: RingReader;
  readonly fromMain: RingReader;
  readonly fromStorage: RingReader;
  readonly toRaft: RingWriter;
  readonly toMain: RingWriter;
  readonly feed: MembershipFeed;
  /** To the watch thread; without, nobody can watch. */
  readonly watch?: WatchFeed;
  readonly storage: AppliedSink;
  /** Memory mode: the sink commits in `publish`, and this is how far it is. */
  readonly direct: DirectCommits | null;
  /** Follows sampled requests; without, there are none. */
  readonly spans?: SpanReporter | null;
  /** Notes its batches, for requests that turn out to be slow; without, it does not. */
  readonly stages?: StageLog | null;
  /** What a primary lessor does by the clock; null on a member without leases. */
  readonly leaseDuties?: LeaseDuties | null;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs?: () => number;
  /** Where it counts, and the time beyond which an apply is slow; needs {@link nowMs}. */
  readonly metrics?: { readonly meters: ApplyMeters; readonly slowMs: number };
  /** Told of what took longer than that; needs {@link metrics}. */
  readonly onSlow?: (slow: SlowApply) => void;
  /** Storage has committed: newer values can be read from it. Called before the store forgets them. */
  readonly onCommitted: () => void;
}

export class ApplyLoop {
  readonly #options: ApplyLoopOptions;
  #appliedIndex: number;
  #reportedIndex: number;
  #reportedCompactRevision = 0;
  #term: number;
  /** Entries wait until storage has committed, which it was asked for. */
  #waitsForCommit = false;
  /** The records that are handled now come from raft, not from main. */
  #drainsRaft = false;
  /** Memory mode: newest revision that the store knows to be kept elsewhere. */
  #directRevision = 0;
  /** Token of the newest flush that storage acknowledged. */
  #servedToken = 0;
  #slices = 0;
  /** Slices of long answers since raft has brought anything. */
  #slicesAlone = 0;
  #rests = false;
  readonly #timer: ApplyTimer | null;
  readonly #slow: SlowApplies | null;
  readonly #status: StatusRecords;

  constructor(options: ApplyLoopOptions) {
    this.#options = options;
    this.#appliedIndex = options.machine.consistentIndex;
    this.#reportedIndex = this.#appliedIndex;
    this.#term = options.machine.appliedTerm;
    const { metrics, nowMs, onSlow } = options;
    this.#slow = onSlow === undefined ? null : new SlowApplies(onSlow);
    this.#status = new StatusRecords(options.toMain, options.store);
    this.#timer =
      metrics === undefined || nowMs === undefined
        ? null
        : new ApplyTimer(metrics.meters, nowMs, metrics.slowMs);
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** As the machine's. */
  get isCompacting(): boolean {
    return this.#options.machine.isCompacting;
  }

  /** Slices of background work done: compaction changes the index between entries. */
  get slices(): number {
    return this.#slices;
  }

  /** Tells the others what the state is before the first entry: they know nothing of the database. */
  start(): void {
    const { feed, membership, toRaft, toMain } = this.#options;
    feed.report(membership, this.#appliedIndex);
    this.#options.machine.reportAlarms();
    this.#status.writeApplied(this.#appliedIndex);
    toRaft.publish();
    toMain.publish();
  }

  /** One round over all rings and one slice of background work. Returns false when there was nothing to do. */
  turn(): boolean {
    const { fromRaft, fromMain, fromStorage, machine, hashes, store, storage, watch } = this.#options;
    let records = fromStorage.drain(this.#onStorageRecord, RECORDS_PER_TURN_MAX);
    if (watch !== undefined) records += watch.beginTurn();
    this.#timer?.begin();
    records += fromMain.drain(this.#onRecord, RECORDS_PER_TURN_MAX);
    // Values that storage has not committed stay in memory: entries wait in the ring until it has caught up.
    const { spans, stages } = this.#options;
    const sinceMs = stages && spans ? spans.nowMs() : 0;
    if (!store.needsCommit) {
      this.#waitsForCommit = false;
      this.#drainsRaft = true;
      const brought = fromRaft.drain(this.#onRecord, RECORDS_PER_TURN_MAX);
      if (brought > 0) this.#slicesAlone = 0;
      records += brought;
      this.#drainsRaft = false;
    }
    if (store.needsCommit && !this.#waitsForCommit) {
      this.#waitsForCommit = true;
      storage.flush(0);
    }
    if (stages && spans && records > 0) stages.note(this.#appliedIndex, sinceMs, spans.nowMs());
    this.#noteBatch(records);
    this.#runDuties();
    const sliced = machine.runSlice();
    if (sliced) this.#slices++;
    this.#rests = sliced && machine.slicedLongAnswer && this.#slicesAlone++ < SLICES_ALONE;
    const hashed = hashes.runSlice();
    this.#endBatch(sliced);
    return records > 0 || sliced || hashed;
  }

  #noteBatch(records: number): void {
    const { metrics, store } = this.#options;
    if (metrics === undefined || records === 0) return;
    metrics.meters.batchRecords.observe(records);
    metrics.meters.keys.set(store.liveKeys);
  }

  #runDuties(): void {
    const { leaseDuties, nowMs } = this.#options;
    if (leaseDuties && nowMs) leaseDuties.turn(nowMs());
  }

  /**
   * Milliseconds for which the thread should leave its core to others, unless it is rung, although {@link turn} had something to do;
   * 0 if it should go on.
   */
  get restMs(): number {
    return this.#rests ? SLICE_REST_MS : 0;
  }

  /** Milliseconds until there is something to do although no ring brings anything; Infinity if never. */
  sleepMs(nowMs: number): number {
    const { leaseDuties, machine } = this.#options;
    return Math.min(leaseDuties?.sleepMs(nowMs) ?? Infinity, machine.restMs(nowMs));
  }

  /** The state is given up for another one: what was begun fails, and may be tried again. Between two turns only; the last call. */
  abandon(): void {
    const { machine, hashes, toMain } = this.#options;
    machine.failAll(ErrorId.leaderChanged);
    hashes.failAll(ErrorId.leaderChanged);
    toMain.publish();
  }

  /** True when no ring holds anything that can be handled now: the thread may sleep, unless {@link turn} said otherwise. */
  inboxesEmpty(): boolean {
    const { fromRaft, fromMain, fromStorage, watch } = this.#options;
    if (watch?.hasQuestions === true) return false;
    return (this.#waitsForCommit || fromRaft.isEmpty()) && fromMain.isEmpty() && fromStorage.isEmpty();
  }

  #endBatch(sliced: boolean): void {
    const { toRaft, toMain, storage, store, machine } = this.#options;
    const isAnswer = toMain.hasUnpublished;
    if (
      this.#appliedIndex !== this.#reportedIndex ||
      store.compactRevision !== this.#reportedCompactRevision
    ) {
      this.#status.writeApplied(this.#appliedIndex);
    }
    // Raft first: whoever has the answer to a conf change may propose the next one, and raft must know of this one by then.
    toRaft.publish();
    // How far the state is alone wakes nobody: who wants to know looks into the ring first.
    if (isAnswer) toMain.publish();
    else toMain.publishQuietly();
    this.#options.watch?.endBatch();
    // A slice may have written the end of a compaction: storage commits bucket changes only in front of this mark.
    if (this.#appliedIndex !== this.#reportedIndex || (sliced && machine.takeCompactionEnded())) {
      storage.applied(this.#appliedIndex, this.#term, store.revision);
    }
    storage.publish();
    this.#noteDirectCommit();
    this.#reportedIndex = this.#appliedIndex;
    this.#reportedCompactRevision = store.compactRevision;
  }

  #noteDirectCommit(): void {
    const { direct, store, machine, hashes, toMain } = this.#options;
    if (direct === null) return;
    if (this.#appliedIndex !== this.#reportedIndex) {
      const size = direct.size();
      machine.noteSize(size.inUseBytes);
      this.#status.writeCommitted(this.#appliedIndex, size);
      toMain.publish();
    }
    if (direct.committedRevision > this.#directRevision) {
      this.#directRevision = direct.committedRevision;
      store.committed(this.#directRevision);
      hashes.committed(this.#directRevision);
    }
    if (direct.servedToken > this.#servedToken)
      machine.storageCommitted((this.#servedToken = direct.servedToken));
  }

  /**
   * Asks storage to commit everything up to now, also what was written outside of any entry. Between two turns only. Returns a
   * token for {@link isCommitted}.
   */
  requestCommit(): number {
    const { machine, storage, store } = this.#options;
    storage.applied(this.#appliedIndex, this.#term, store.revision);
    const token = machine.requestCommit();
    storage.publish();
    return token;
  }

  /** Storage has committed what {@link requestCommit} returned the token for. */
  isCommitted(token: number): boolean {
    return this.#servedToken >= token;
  }

  /** Waits on `doorbell` until it has. For the end of the thread. */
  waitForCommit(token: number, doorbell: Doorbell): void {
    const { fromStorage } = this.#options;
    while (!this.isCommitted(token)) {
      const sequence = doorbell.prepareSleep();
      if (fromStorage.isEmpty()) doorbell.sleep(sequence, Infinity);
      doorbell.awake();
      fromStorage.drain(this.#onStorageRecord, RECORDS_PER_TURN_MAX);
    }
  }

  readonly #onRecord = (
    type: number,
    flags: number,
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void => {
    if ((flags & FLAG_TRACED) !== 0) this.#onTraced(type, id, bytes, start, end);
    else this.#onPlain(type, id, bytes, start, end);
  };

  /** A record of a sampled request: does the same, and says how long it took. */
  #onTraced(type: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    const { spans, storage, watch } = this.#options;
    if (type === RecordType.slowRequest) return this.#onSlow(id, bytes, start);
    if (!spans) return this.#onPlain(type, id, bytes, start + TRACE_PREFIX_BYTES, end);
    const context = contextAt(bytes, start);
    const isEntry = type === RecordType.entry;
    const isLinearizable = isEntry || this.#drainsRaft;
    const ring = isLinearizable ? SpanCode.ringRaftToApply : SpanCode.ringMainToApply;
    const startMs = spans.reportWait(ring, bytes, start);
    const isNew = !isEntry || id > this.#appliedIndex;
    this.#onPlain(type, id, bytes, start + TRACE_PREFIX_BYTES, end);
    if (!isNew) return;
    const endMs = spans.nowMs();
    spans.report(isEntry ? SpanCode.apply : SpanCode.read, context, startMs, endMs, isEntry ? id : 0);
    if (!isEntry) return;
    storage.traced?.(id, context, endMs);
    watch?.traced(id, context, endMs);
  }

  /** A request of the batch of entry `index` was slow: says when that was applied. */
  #onSlow(index: number, bytes: Uint8Array, start: number): void {
    const { spans, stages } = this.#options;
    const stage = index === 0 ? null : stages?.find(index, sentMsOf(bytes, start));
    if (!spans || !stage) return;
    spans.report(SpanCode.apply, contextAt(bytes, start), stage.startMs, stage.endMs, index);
  }

  #onPlain(type: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    const { machine } = this.#options;
    switch (type) {
      case RecordType.entry: {
        // It was in the ring when a snapshot was installed that covers it.
        if (id <= this.#appliedIndex) return;
        const view = viewOf(bytes);
        const at = bytes.byteOffset + start;
        this.#term = view.getFloat64(at, true);
        const entryType = view.getUint32(at + 8, true);
        machine.applyEntry(id, this.#term, entryType, bytes, start + ENTRY_HEAD_BYTES, end);
        this.#appliedIndex = id;
        // A small entry may write values that are many times its size (txns with ignore_value).
        if (this.#options.store.needsCommit) this.#options.fromRaft.endDrain();
        if (this.#timer?.applied(machine.appliedField, machine.lastError) === true)
          this.#slow?.tellEntry(bytes, start + ENTRY_HEAD_BYTES, end, this.#outcome(this.#timer));
        // The next leader's time begins.
        if (end === start + ENTRY_HEAD_BYTES && entryType === ENTRY_NORMAL)
          this.#options.leaseDuties?.noteEmptyEntry(this.#term);
        return;
      }
      case RecordType.read:
        this.#read(id, bytes, start, end);
        return;
      case RecordType.cancel:
        machine.cancel(id);
        this.#options.hashes.cancel(id);
        return;
      case RecordType.credit:
        machine.credit(id, viewOf(bytes).getUint32(bytes.byteOffset + start, true));
        return;
      case RecordType.watchCreate:
      case RecordType.watchCancel:
      case RecordType.watchProgress:
      case RecordType.watchClose:
      case RecordType.watchFence:
        this.#options.watch?.forward(type, id, bytes, start, end);
        return;
      case RecordType.leader:
        this.#noteLeader(viewOf(bytes), bytes.byteOffset + start);
        return;
      default:
        throw new Error(`unexpected record of type ${type} in apply`);
    }
  }

  #noteLeader(view: DataView, at: number): void {
    this.#options.leaseDuties?.noteLeader(view.getFloat64(at, true), view.getUint32(at + 16, true) === 1);
  }

  #read(id: number, bytes: Uint8Array, start: number, end: number): void {
    const { machine, identity, membership } = this.#options;
    const kind = bytes[start];
    if (kind === ReadKind.memberList) {
      const answer = encodeMemberList(responseHeader(identity, 0, this.#term), membership.members.values());
      machine.respond(id, answer);
    } else if (kind === ReadKind.barrier) {
      const answer = new MessageBuilder()
        .message(1, responseHeader(identity, this.#options.store.revision, this.#term))
        .finish();
      machine.respond(id, answer);
    } else if (kind === ReadKind.hash) this.#options.hashes.requestWhole(id);
    else if (kind === ReadKind.hashKv) this.#options.hashes.request(id, bytes, start + 1, end);
    else machine.read(id, kind, bytes, start + 1, end);
    if (this.#timer?.read(kind, machine.lastError) === true)
      this.#slow?.tellRead(kind, bytes, start + 1, end, this.#outcome(this.#timer));
  }

  #outcome({ tookMs, endedMs }: ApplyTimer): SlowOutcome {
    return { tookMs, nowMs: endedMs, errorId: this.#options.machine.lastError };
  }

  readonly #onStorageRecord = (
    _type: number,
    _flags: number,
    _id: number,
    bytes: Uint8Array,
    start: number,
  ): void => {
    const view = viewOf(bytes);
    const at = bytes.byteOffset + start;
    this.#options.onCommitted();
    const revision = view.getFloat64(at, true);
    this.#options.store.committed(revision);
    this.#options.hashes.committed(revision);
    this.#options.machine.noteSize(view.getFloat64(at + 24, true));
    const token = view.getFloat64(at + 8, true);
    if (token === 0 || token === this.#servedToken) return;
    this.#servedToken = token;
    this.#options.machine.storageCommitted(token);
  };
}

/** Payload of an `entry` record before the data: f64 term, u32 type, u32 zero. */
const ENTRY_HEAD_BYTES = 16;
