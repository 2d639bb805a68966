/**
 * Leases in the log and beside it: grant, revocation and checkpoint as entries; keep-alive, time to live and the list as reads. Who
 * is primary, and when leases expire, is decided elsewhere (lease-duties.ts); the leases themselves are the lessor's.
 *
 * A keep-alive of a lease that is past its time waits here for its revocation (then it is not found) or for another primary:
 * whatever it answered before could be wrong.
 */
import { assert } from "../base/assert.ts";
import { ErrorId } from "../base/errors.ts";
import {
  encodeLease,
  encodeLeaseKey,
  GRANTED_TTL_BYTES_MAX,
  ID_AND_TTL_BYTES_MAX,
  idAndTtlBytes,
  LeaseView,
  visitCheckpoints,
  writeGrantedTtl,
  writeIdAndTtl,
  writeKeyPrefix,
} from "../lease/lease-codec.ts";
import { LEASE_TTL_SECONDS_MAX } from "../lease/lease-limits.ts";
import { type Lessor, Renewal } from "../lease/lessor.ts";
import { RaftField } from "../proto/raft-request.ts";
import { varint64Bytes, writeVarint64 } from "../proto/wire.ts";
import { ReadKind } from "../ring/record-types.ts";
import { type ApplyContext, NOT_ANSWERED, sendHeader, sendOut } from "./apply-context.ts";
import type { BucketSink } from "./apply-interfaces.ts";
import { KEEP_ALIVES_PARKED_MAX, RESPONSE_INLINE_BYTES_MAX } from "./apply-limits.ts";
import { BufferJob } from "./buffer-job.ts";

/** Position of `lease` in storage's BUCKETS. */
export const LEASE_BUCKET = 1;
/** Tag of LeaseLeasesResponse.leases, and of LeaseStatus.ID. */
const TAG_LEASES = (2 << 3) | 2;
const TAG_STATUS_ID = (1 << 3) | 0;
/** Tag and length of LeaseStatus, tag and longest varint of its id. */
const LEASE_STATUS_BYTES_MAX = 13;
const KEY_PREFIX_BYTES_MAX = 6;

/** What leases need beside the context. */
export interface LeaseOptions {
  readonly lessor: Lessor;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number;
  /** Whether checkpoints go to the database: every member of the cluster knows the field, or the operator says so. */
  readonly persistsCheckpoints: () => boolean;
}

/** What happened since the process began, for metrics. */
interface LeaseCounters {
  granted: number;
  revoked: number;
  renewed: number;
  /** Grants by TTL: at most 2^i seconds and more than the bucket before allows; the last one holds all beyond. */
  readonly ttlBuckets: number[];
  ttlSum: number;
}

/** etcd's buckets: 1 to 2^23 seconds, and one for all beyond. */
const TTL_BUCKETS = 25;

export class LeaseApplier {
  readonly counters: LeaseCounters = {
    granted: 0,
    revoked: 0,
    renewed: 0,
    ttlBuckets: Array.from({ length: TTL_BUCKETS }, () => 0),
    ttlSum: 0,
  };
  readonly #context: ApplyContext;
  readonly #buckets: BucketSink;
  readonly #options: LeaseOptions;
  readonly #view = new LeaseView();
  /** Keep-alives that wait, by the row of their lease; and the other way round. */
  readonly #parked = new Map<number, Set<number>>();
  readonly #parkedRows = new Map<number, number>();

  constructor(context: ApplyContext, buckets: BucketSink, options: LeaseOptions) {
    this.#context = context;
    this.#buckets = buckets;
    this.#options = options;
  }

  get lessor(): Lessor {
    return this.#options.lessor;
  }

  /** Applies a request of the log about leases; returns the ErrorId that it was answered. */
  apply(field: number, bytes: Uint8Array, start: number, end: number, requestId: number): number {
    if (field === RaftField.leaseGrant) return this.#grant(bytes, start, end, requestId);
    if (field === RaftField.leaseRevoke) return this.#revoke(bytes, start, end, requestId);
    this.#checkpoint(bytes, start, end, requestId);
    return ErrorId.none;
  }

  /** Answers a read, now or later; false if it is none about leases. */
  read(requestId: number, kind: number, bytes: Uint8Array, start: number, end: number): boolean {
    switch (kind) {
      case ReadKind.leaseKeepAlive:
        this.#keepAlive(requestId, bytes, start, end);
        return true;
      case ReadKind.leaseTimeToLive:
        this.#timeToLive(requestId, bytes, start, end);
        return true;
      case ReadKind.leaseList:
        this.#list(requestId);
        return true;
      case ReadKind.leaseCounters:
        this.#sendCounters(requestId);
        return true;
      default:
        return false;
    }
  }

  #sendCounters(requestId: number): void {
    const json = new TextEncoder().encode(JSON.stringify(this.counters));
    this.#context.sink.respond(requestId, json, 0, json.length);
  }

  /** Nobody waits for this answer any more. */
  cancel(requestId: number): void {
    const row = this.#parkedRows.get(requestId);
    if (row === undefined) return;
    this.#parkedRows.delete(requestId);
    const waiting = this.#parked.get(row);
    waiting?.delete(requestId);
    if (waiting?.size === 0) this.#parked.delete(row);
  }

  /** Ends what waits: the state is given up, or another member is primary now. */
  failAll(errorId: number): void {
    for (const requestId of this.#parkedRows.keys()) this.#context.sink.fail(requestId, errorId);
    this.#parked.clear();
    this.#parkedRows.clear();
  }

  /** This member leads. Leases live for `extendMs` longer than their time. */
  promote(extendMs: number): void {
    this.lessor.promote(this.#options.nowMs(), extendMs);
  }

  demote(): void {
    if (!this.lessor.isPrimary) return;
    this.lessor.demote();
    this.failAll(ErrorId.notPrimaryLessor);
  }

  #grant(bytes: Uint8Array, start: number, end: number, requestId: number): number {
    const { lessor, nowMs } = this.#options;
    const view = this.#view;
    assert(view.decodeGrant(bytes, start, end), "a committed lease grant can be decoded");
    const { low, high, seconds } = view;
    let error: number = ErrorId.none;
    if ((low | high) === 0) error = ErrorId.leaseNotFound;
    else if (seconds > LEASE_TTL_SECONDS_MAX) error = ErrorId.leaseTtlTooLarge;
    else if (lessor.has(low, high)) error = ErrorId.leaseExist;
    if (error !== ErrorId.none) return this.#fail(requestId, error);
    const row = lessor.grant(low, high, seconds, nowMs());
    const ttlSeconds = lessor.ttlSeconds(row);
    this.#buckets.bucketPut(LEASE_BUCKET, encodeLeaseKey(low, high), encodeLease(low, high, ttlSeconds, 0));
    this.#countGrant(ttlSeconds);
    if (requestId === NOT_ANSWERED) return ErrorId.none;
    const { out, store } = this.#context;
    out.clear();
    out.ensure(ID_AND_TTL_BYTES_MAX);
    out.length = writeIdAndTtl(out.bytes, 0, low, high, ttlSeconds);
    sendOut(this.#context, requestId, store.revision);
    return ErrorId.none;
  }

  #countGrant(ttlSeconds: number): void {
    const { counters } = this;
    counters.granted++;
    counters.ttlSum += ttlSeconds;
    counters.ttlBuckets[Math.min(TTL_BUCKETS - 1, Math.max(0, Math.ceil(Math.log2(ttlSeconds))))]++;
  }

  /** The keys go in one revision, in their order, and the lease with them: both or neither are in the database afterwards. */
  #revoke(bytes: Uint8Array, start: number, end: number, requestId: number): number {
    const { lessor } = this.#options;
    const { store } = this.#context;
    const view = this.#view;
    assert(view.decodeId(bytes, start, end), "a committed lease revocation can be decoded");
    const row = lessor.find(view.low, view.high);
    if (row === 0) return this.#fail(requestId, ErrorId.leaseNotFound);
    const keyIds = lessor.keysOf(row);
    if (keyIds.length > 0) {
      for (const keyId of keyIds) lessor.detach(keyId);
      store.beginTxn();
      store.deleteKeys(keyIds);
      store.endTxn();
    }
    lessor.remove(row);
    this.#buckets.bucketDelete(LEASE_BUCKET, encodeLeaseKey(view.low, view.high));
    this.counters.revoked++;
    this.#endParked(row);
    if (requestId !== NOT_ANSWERED) sendHeader(this.#context, requestId, store.revision);
    return ErrorId.none;
  }

  #endParked(row: number): void {
    const waiting = this.#parked.get(row);
    if (waiting === undefined) return;
    this.#parked.delete(row);
    for (const requestId of waiting) {
      this.#parkedRows.delete(requestId);
      this.#context.sink.fail(requestId, ErrorId.leaseNotFound);
    }
  }

  /** Of leases that are known; others have been revoked meanwhile. */
  #checkpoint(bytes: Uint8Array, start: number, end: number, requestId: number): void {
    const { lessor, nowMs, persistsCheckpoints } = this.#options;
    const persists = persistsCheckpoints();
    const now = nowMs();
    const decoded = visitCheckpoints(bytes, start, end, (low, high, remainingSeconds) => {
      const row = lessor.find(low, high);
      if (row === 0) return;
      lessor.checkpoint(row, remainingSeconds, now);
      if (!persists) return;
      const value = encodeLease(low, high, lessor.ttlSeconds(row), remainingSeconds);
      this.#buckets.bucketPut(LEASE_BUCKET, encodeLeaseKey(low, high), value);
    });
    assert(decoded, "a committed lease checkpoint can be decoded");
    if (requestId !== NOT_ANSWERED) sendHeader(this.#context, requestId, this.#context.store.revision);
  }

  #keepAlive(requestId: number, bytes: Uint8Array, start: number, end: number): void {
    const { lessor, nowMs } = this.#options;
    const { sink } = this.#context;
    const view = this.#view;
    if (!view.decodeId(bytes, start, end)) return sink.fail(requestId, ErrorId.malformedRequest);
    const { low, high } = view;
    switch (lessor.renew(low, high, nowMs())) {
      case Renewal.renewed: {
        this.counters.renewed++;
        const seconds = lessor.ttlSeconds(lessor.find(low, high));
        const length = idAndTtlBytes(low, high, seconds);
        writeIdAndTtl(sink.bytes, sink.reserve(length), low, high, seconds);
        return sink.commit(requestId, length);
      }
      case Renewal.notFound:
        return sink.fail(requestId, ErrorId.leaseNotFound);
      case Renewal.hasCheckpoint:
        return sink.fail(requestId, ErrorId.leaseHasCheckpoint);
      case Renewal.expired:
        return this.#park(requestId, lessor.find(low, high));
      default:
        return sink.fail(requestId, ErrorId.notPrimaryLessor);
    }
  }

  #park(requestId: number, row: number): void {
    if (this.#parkedRows.size >= KEEP_ALIVES_PARKED_MAX)
      return this.#context.sink.fail(requestId, ErrorId.requestTooManyRequests);
    this.#parkedRows.set(requestId, row);
    const waiting = this.#parked.get(row);
    if (waiting === undefined) this.#parked.set(row, new Set([requestId]));
    else waiting.add(requestId);
  }

  #timeToLive(requestId: number, bytes: Uint8Array, start: number, end: number): void {
    const { lessor, nowMs } = this.#options;
    const { sink, out } = this.#context;
    const view = this.#view;
    if (!view.decodeTimeToLive(bytes, start, end)) return sink.fail(requestId, ErrorId.malformedRequest);
    if (!lessor.isPrimary) return sink.fail(requestId, ErrorId.notPrimaryLessor);
    const { low, high } = view;
    const row = lessor.find(low, high);
    if (row === 0) return sink.fail(requestId, ErrorId.leaseNotFound);
    out.clear();
    out.ensure(ID_AND_TTL_BYTES_MAX + GRANTED_TTL_BYTES_MAX);
    out.length = writeIdAndTtl(out.bytes, 0, low, high, lessor.secondsLeft(row, nowMs()));
    out.length = writeGrantedTtl(out.bytes, out.length, lessor.ttlSeconds(row));
    if (view.second !== 0) this.#appendKeys(row);
    this.#sendWithoutHeader(requestId);
  }

  #appendKeys(row: number): void {
    const { store, out } = this.#context;
    for (const keyId of this.lessor.keysOf(row)) {
      const length = store.keyLength(keyId);
      out.ensure(KEY_PREFIX_BYTES_MAX + length);
      out.length = writeKeyPrefix(out.bytes, out.length, length);
      out.length += store.copyKey(keyId, out.bytes, out.length);
    }
  }

  #sendWithoutHeader(requestId: number): void {
    const { sink, out, streams } = this.#context;
    if (out.length <= Math.min(RESPONSE_INLINE_BYTES_MAX, sink.reserveBytesMax))
      return sink.respond(requestId, out.bytes, 0, out.length);
    const length = out.length;
    streams.add(new BufferJob(requestId, out.detach(), length));
  }

  #list(requestId: number): void {
    const { out, store } = this.#context;
    const ids = this.lessor.ids();
    out.clear();
    out.ensure((ids.length / 2) * LEASE_STATUS_BYTES_MAX);
    for (let index = 0; index < ids.length; index += 2) {
      const idBytes = varint64Bytes(ids[index], ids[index + 1]);
      out.bytes[out.length++] = TAG_LEASES;
      out.bytes[out.length++] = 1 + idBytes;
      out.bytes[out.length++] = TAG_STATUS_ID;
      out.length = writeVarint64(out.bytes, out.length, ids[index], ids[index + 1]);
    }
    sendOut(this.#context, requestId, store.revision);
  }

  #fail(requestId: number, errorId: number): number {
    if (requestId !== NOT_ANSWERED) this.#context.sink.fail(requestId, errorId);
    return errorId;
  }
}
