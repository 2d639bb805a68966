/**
 * The apply layer: committed entries and confirmed reads in, changes of the store and answers out. It owns the order in
 * which the state changes, and nothing else: the state is the store's, answers leave through a {@link ResponseSink}, other
 * buckets through a {@link BucketSink}, all that is not KV through a {@link RequestHook}.
 *
 * It never does: I/O, waiting, reading a clock; and it never throws for what a client sent. An entry that cannot be decoded
 * is a broken invariant (its proposer has checked it), and ends the thread.
 *
 * Order: what `applyEntry` and `read` are called with is executed in that order, each as a whole. Long answers and
 * compactions go on in `runSlice`, at the revision that was current when they began.
 *
 * Read next: `apply-put.ts` (the shortest way through), `apply-txn.ts`, `apply-range.ts` and `range-job.ts` (long answers),
 * `apply-compaction.ts`. The checks before proposing, on the main thread: `validate-kv.ts`, `validate-txn.ts`.
 */
import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { ErrorId } from "../base/errors.ts";
import { openMeters } from "../base/meters.ts";
import { APPLY_LAYOUT, type ApplyMeters } from "../base/thread-meters.ts";
import type { MvccStore } from "../mvcc/store.ts";
import { ResponseHeader } from "../proto/kv-encode.ts";
import { isV2Request, RaftField, RaftRequestView } from "../proto/raft-request.ts";
import { ReadKind } from "../ring/record-types.ts";
import { AlarmApplier, encodeAlarmFields } from "./apply-alarm.ts";
import { type AlarmReporter, NO_ALARM_REPORTER } from "./alarm-feed.ts";
import { Alarms } from "./alarms.ts";
import { type CompactionPace, type CompactionWatcher, CompactionApplier } from "./apply-compaction.ts";
import { type ApplyContext, NOT_ANSWERED, sendOut } from "./apply-context.ts";
import { LeaseApplier, type LeaseOptions } from "./apply-lease.ts";
import { DeleteRangeApplier } from "./apply-delete-range.ts";
import { ApplyGate } from "./apply-gate.ts";
import type { BucketSink, EntryPosition, LeaseHooks, RequestHook, ResponseSink } from "./apply-interfaces.ts";
import { NO_LEASES } from "./apply-interfaces.ts";
import { PutApplier } from "./apply-put.ts";
import { RangeApplier } from "./apply-range.ts";
import { TxnApplier } from "./apply-txn.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import type { ProposerIds } from "./proposer-ids.ts";
import { RangeReader } from "./range-reader.ts";
import { StreamScheduler } from "./stream-scheduler.ts";

/** raftpb.EntryType */
const ENTRY_NORMAL = 0;
const NO_CLOCK: Clock = { monotonicMs: () => 0, unixMs: () => 0 };

export interface ApplyMachineOptions {
  readonly store: MvccStore;
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly responses: ResponseSink;
  readonly buckets: BucketSink;
  /** Leases; without, a put that names one fails with "requested lease not found", and nobody may grant any. */
  readonly leases?: LeaseOptions;
  /** For tests: what a put sees of leases, without anything else of them. */
  readonly leaseHooks?: LeaseHooks;
  /** Membership and whatever else is not KV. */
  readonly requests: RequestHook;
  /** Entries up to here are in the store already: they are skipped. */
  readonly consistentIndex: number;
  /** Term of that entry, for the headers of reads that come before the next entry. */
  readonly consistentTerm: number;
  /** Which entries somebody in this process waits for. */
  readonly ids: ProposerIds;
  /** Storage holds a scheduled compaction that was not finished. */
  readonly compactionPending?: boolean;
  /** Has compactions hashed, and hears of their ends; without, they are not hashed. */
  readonly compactionWatcher?: CompactionWatcher;
  /** How compactions rest; without, as {@link CompactionApplier} does by itself. */
  readonly compactionPace?: CompactionPace | null;
  /** Alarms and quota; without, there are no alarms at start and there is no quota. */
  readonly space?: SpaceOptions;
  /** Where it counts; without, nobody reads the counts. */
  readonly meters?: ApplyMeters;
  /** For metrics and the pace of compactions; without, everything takes no time. */
  readonly clock?: Clock;
}

/** What decides whether there is room for a request. */
export interface SpaceOptions {
  /** As storage has them at the consistent index. */
  readonly alarms: Alarms;
  /** `--quota-backend-bytes` with its default filled in; negative = none. */
  readonly quotaBytes: number;
  readonly reporter: AlarmReporter;
}

export class ApplyMachine {
  /** Entries up to here were in the store at start. */
  readonly consistentIndex: number;
  /** Null on a machine without leases. */
  readonly leases: LeaseApplier | null;
  readonly #context: ApplyContext;
  readonly #requests: RequestHook;
  readonly #puts: PutApplier;
  readonly #ranges: RangeApplier;
  readonly #deletes: DeleteRangeApplier;
  readonly #txns: TxnApplier;
  readonly #compactions: CompactionApplier;
  readonly #request = new RaftRequestView();
  readonly #position: { -readonly [K in keyof EntryPosition]: EntryPosition[K] };
  readonly #ids: ProposerIds;
  readonly #alarms: AlarmApplier;
  readonly #alarmReporter: AlarmReporter;
  readonly #gate: ApplyGate;
  /** The largest request that had no room since the size was measured last, as main was told; 0 = none. */
  #exceededBytes = 0;
  /** What the request applied or read last was answered, as far as it is known here. */
  #error = 0;
  /** Payload field of the request applied last; 0 if the entry held none, or was applied before. */
  #field = 0;
  /** Whose turn it is when both a compaction and long answers have work. */
  #compactNext = false;

  constructor(options: ApplyMachineOptions) {
    const { store, responses } = options;
    const header = new ResponseHeader(options.clusterId, options.memberId);
    header.setTerm(options.consistentTerm);
    this.#context = {
      store,
      sink: responses,
      header,
      leases: options.leases?.lessor ?? options.leaseHooks ?? NO_LEASES,
      streams: new StreamScheduler(responses),
      reader: new RangeReader(store),
      out: new ByteBuffer(),
      meters: options.meters ?? openMeters(APPLY_LAYOUT),
      clock: options.clock ?? NO_CLOCK,
    };
    this.consistentIndex = options.consistentIndex;
    this.#requests = options.requests;
    this.#puts = new PutApplier(this.#context);
    this.#ranges = new RangeApplier(this.#context);
    this.#deletes = new DeleteRangeApplier(this.#context);
    this.#txns = new TxnApplier(this.#context, this.#puts, this.#deletes);
    const { buckets, compactionWatcher, compactionPace } = options;
    this.#compactions = new CompactionApplier(this.#context, buckets, compactionWatcher, compactionPace);
    this.leases =
      options.leases === undefined ? null : new LeaseApplier(this.#context, options.buckets, options.leases);
    if (options.compactionPending === true) this.#compactions.resume();
    this.#position = { index: options.consistentIndex, term: options.consistentTerm, replayed: true };
    this.#ids = options.ids;
    const { alarms, quotaBytes, reporter } = options.space ?? {
      alarms: new Alarms(),
      quotaBytes: 0,
      reporter: NO_ALARM_REPORTER,
    };
    this.#alarms = new AlarmApplier(alarms, options.buckets);
    this.#alarmReporter = reporter;
    this.#gate = new ApplyGate(alarms, quotaBytes);
  }

  /** Index of the entry applied last. */
  get appliedIndex(): number {
    return this.#position.index;
  }

  /** Payload field (RaftField) of the request applied last; 0 if that entry held none, or was applied in an earlier life. */
  get appliedField(): number {
    return this.#field;
  }

  /** The ErrorId that the request applied or read last was answered, as far as the machine knows. */
  get lastError(): number {
    return this.#error;
  }

  /** Term of the entry applied last. */
  get appliedTerm(): number {
    return this.#position.term;
  }

  /**
   * Applies the committed entry at `index` (ascending; those up to {@link consistentIndex} are skipped, but for the hook).
   * `entryType` is raftpb.EntryType, `bytes[start, end)` its data, borrowed.
   */
  applyEntry(
    index: number,
    term: number,
    entryType: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const at = this.#position;
    at.index = index;
    this.#field = 0;
    at.replayed = index <= this.consistentIndex;
    if (term !== at.term) {
      at.term = term;
      this.#context.header.setTerm(term);
    }
    if (entryType !== ENTRY_NORMAL) this.#requests.applyConfChange(entryType, bytes, start, end, at);
    else if (start === end) this.#requests.applyEmptyEntry(at);
    else this.#applyNormal(bytes, start, end);
  }

  /** Answers a read from the current state. `kind` is a ReadKind; the request in `bytes[start, end)` is borrowed. */
  read(requestId: number, kind: number, bytes: Uint8Array, start: number, end: number): void {
    const { sink } = this.#context;
    switch (kind) {
      case ReadKind.range:
        this.#error = this.#ranges.read(requestId, bytes, start, end);
        return;
      case ReadKind.txn:
        this.#error = this.#txns.read(requestId, bytes, start, end);
        return;
      case ReadKind.commit:
        return this.#compactions.waitForCommit(requestId);
      default:
        if (this.leases?.read(requestId, kind, bytes, start, end) === true) return;
        return sink.fail(requestId, ErrorId.notCapable);
    }
  }

  /** Sends an answer that was built elsewhere. */
  respond(requestId: number, bytes: Uint8Array): void {
    this.#context.sink.respond(requestId, bytes, 0, bytes.length);
  }

  /** The client has gone: drops what is still held for its request. */
  cancel(requestId: number): void {
    this.#context.streams.cancel(requestId);
    this.leases?.cancel(requestId);
    this.#compactions.cancel(requestId);
  }

  /** Ends everything that is still held for requests: the state is given up. */
  failAll(errorId: number): void {
    this.#context.streams.failAll(errorId);
    this.leases?.failAll(errorId);
    this.#compactions.failAll(errorId);
  }

  /** The client took `bytes` of a streamed answer. */
  credit(requestId: number, bytes: number): void {
    this.#context.streams.addCredit(requestId, bytes);
  }

  /** What storage has committed takes so many bytes of the quota. */
  noteSize(inUseBytes: number): void {
    this.#gate.noteSize(inUseBytes);
    this.#exceededBytes = 0;
  }

  /** Tells main of the alarms that there are. */
  reportAlarms(): void {
    this.#alarmReporter.report(this.#alarms.alarms);
  }

  /** Asks storage to commit; {@link storageCommitted} is called with the token that this returns, or a later one. */
  requestCommit(): number {
    return this.#compactions.requestCommit();
  }

  /** Storage has committed what was handed over before `flush(token)`. */
  storageCommitted(token: number): void {
    this.#compactions.storageCommitted(token);
  }

  /** Does up to about 1 ms of background work. False: there is none that could go on now. */
  runSlice(): boolean {
    const compacts = this.#compactions.isRunnable;
    if (compacts && this.#compactNext) {
      this.#compactNext = false;
      this.#compactions.runSlice();
      return true;
    }
    this.#compactNext = true;
    if (this.#context.streams.runSlice()) return true;
    if (compacts) this.#compactions.runSlice();
    return compacts;
  }

  /** The last {@link runSlice} was for an answer that has had many. */
  get slicedLongAnswer(): boolean {
    return this.#compactNext && this.#context.streams.ranLong;
  }

  /** Milliseconds until a compaction that rests goes on; Infinity if none does. */
  restMs(nowMs: number): number {
    return this.#compactions.restMs(nowMs);
  }

  /** A compaction deletes, or waits for storage to have committed that. */
  get isCompacting(): boolean {
    return this.#compactions.isUnderWay;
  }

  /** True once after a compaction has written its end into the buckets, outside of any entry. */
  takeCompactionEnded(): boolean {
    return this.#compactions.takeEnded();
  }

  /** Long answers in production or waiting. */
  get streamsPending(): number {
    return this.#context.streams.pending;
  }

  #applyNormal(bytes: Uint8Array, start: number, end: number): void {
    const request = this.#request;
    const at = this.#position;
    if (!request.decode(bytes, start, end) || request.field === RaftField.v2) {
      assert(isV2Request(bytes, start, end), "a committed entry can be decoded", at.index);
      this.#requests.applyV2Request(bytes, start, end, at);
      return;
    }
    this.#field = at.replayed ? 0 : request.field;
    this.#error = ErrorId.none;
    const requestId = this.#ids.answered(request.idLow, request.idHigh, at);
    const from = request.payloadStart;
    const to = request.payloadEnd;
    if (!at.replayed && this.#gate.isNarrow(to - from)) {
      if (this.#passGate(request.field, bytes, from, to, requestId)) return;
    }
    this.#applyRequest(request.field, bytes, from, to, requestId);
  }

  /** Refuses a request, or applies one for which there is no room. False: nothing stands against it, and nothing was done. */
  #passGate(field: number, bytes: Uint8Array, start: number, end: number, requestId: number): boolean {
    const { sink } = this.#context;
    const refusal = this.#gate.refusal(field, bytes, start, end);
    if (refusal !== ErrorId.none) {
      this.#error = refusal;
      if (requestId !== NOT_ANSWERED) sink.fail(requestId, refusal);
      return true;
    }
    const cost = this.#gate.excess(field, bytes, start, end);
    if (cost === 0) return false;
    const error = this.#applyRequest(field, bytes, start, end, NOT_ANSWERED);
    if (requestId !== NOT_ANSWERED) sink.fail(requestId, error === ErrorId.none ? ErrorId.noSpace : error);
    if (cost > this.#exceededBytes) this.#alarmReporter.spaceExceeded((this.#exceededBytes = cost));
    return true;
  }

  /** Returns the error that the request was answered, as far as it is known here: a put's or a txn's. */
  #applyRequest(field: number, bytes: Uint8Array, from: number, to: number, requestId: number): number {
    const at = this.#position;
    if (this.#applyKv(field, bytes, from, to, requestId, at.replayed)) return this.#error;
    const known = this.#requests.applyRequest(field, bytes, from, to, requestId, at);
    assert(known, "a committed entry holds a known request: index, field", at.index, field);
    return ErrorId.none;
  }

  #applyAlarm(bytes: Uint8Array, start: number, end: number, requestId: number): void {
    const { changed, answer } = this.#alarms.apply(bytes, start, end);
    if (changed) {
      this.#gate.alarmsChanged();
      this.reportAlarms();
    }
    if (requestId === NOT_ANSWERED) return;
    const { out, store } = this.#context;
    out.clear();
    const fields = encodeAlarmFields(answer);
    out.ensure(fields.length);
    out.bytes.set(fields);
    out.length = fields.length;
    sendOut(this.#context, requestId, store.revision);
  }

  /** True if the field is a KV request. */
  #applyKv(
    field: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    requestId: number,
    skip: boolean,
  ): boolean {
    switch (field) {
      case RaftField.put:
        if (!skip) this.#error = this.#puts.apply(bytes, start, end, requestId);
        return true;
      case RaftField.range:
        if (!skip && requestId !== NOT_ANSWERED) this.#ranges.read(requestId, bytes, start, end);
        return true;
      case RaftField.deleteRange:
        if (!skip) this.#deletes.apply(bytes, start, end, requestId);
        return true;
      case RaftField.txn:
        if (!skip) this.#error = this.#txns.apply(bytes, start, end, requestId);
        return true;
      case RaftField.compaction:
        if (!skip) this.#error = this.#compactions.apply(bytes, start, end, requestId);
        return true;
      case RaftField.alarm:
        if (!skip) this.#applyAlarm(bytes, start, end, requestId);
        return true;
      case RaftField.leaseGrant:
      case RaftField.leaseRevoke:
      case RaftField.leaseCheckpoint:
        if (this.leases === null) return false;
        if (!skip) this.#error = this.leases.apply(field, bytes, start, end, requestId);
        return true;
      default:
        return false;
    }
  }
}
