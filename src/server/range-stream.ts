/**
 * KV.RangeStream (etcd 3.7): a Range whose answer comes as many messages. Each is read when the client has taken the one before, so a
 * range of any size costs little memory on either side.
 *
 * The first part is read as any Range is, through raft unless it is serializable; the others at the revision it was read at, which
 * no write changes. As in etcd, a compaction beyond that revision ends the stream with its error.
 */

import { checkRange } from "../apply/validate-kv.ts";
import { ERRORS, ErrorId, GrpcCode } from "../base/errors.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";
import { RangeView, SortOrder, SortTarget } from "../proto/kv-decode.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { WireReader } from "../proto/wire.ts";
import { ReadKind } from "../ring/record-types.ts";
import { CallFailure, InternalCall } from "./internal-call.ts";
import { Pace } from "./paced-sender.ts";
import { failure } from "./reconfigurer.ts";
import type { Router } from "./router.ts";

/** Keys of the first part, and most of any. */
const PART_KEYS_FIRST = 10;
const PART_KEYS_MAX = 10_000;
/** How much longer than the one before a part may be, in keys: after one that was given up less, and then more again with each. */
const GROWTH_MAX = 10;
const GROWTH_MIN = 2;
/** What a part is to be about as long as. */
const PART_BYTES = 256 * 1024;
/** Longest part of more than one key: it stands in memory whole, a few times. One that would be longer is read again with fewer keys. */
const PART_BYTES_MAX = 4 * 1024 * 1024;

const TOO_LARGE = ERRORS[ErrorId.responseTooLarge];
/** What it has at least. */
const REFUSED_BYTES = 2 ** 31;

const TAG_HEADER = 0x0a;
const TAG_KVS = 0x12;
const TAG_MORE = 0x18;
const TAG_COUNT = 0x20;
const TAG_KEY = 0x0a;
const HEADER_TAG_REVISION = 0x18;
const ZERO = new Uint8Array(1);

/** What the parts of one stream have in common. */
interface RangeRequest {
  readonly key: Uint8Array;
  /** Null if none was sent; an empty one means something else. */
  readonly rangeEnd: Uint8Array | null;
  readonly limit: number;
  readonly revision: number;
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
}

/** A RangeResponse, taken apart: views of its bytes. */
interface Part {
  readonly header: Uint8Array;
  /** Revision in the header. */
  readonly revision: number;
  /** The fields `kvs` as they are, one behind the other. */
  readonly kvs: Uint8Array;
  readonly keys: number;
  readonly lastKey: Uint8Array;
  readonly more: boolean;
  readonly count: number;
}

/** Reads one part, and gives it up when it hears how long it is, if it could be shorter. */
class PartCall extends InternalCall {
  /** Length of what was given up; 0 = nothing was. */
  tooLongBytes = 0;
  readonly #keysMax: number;

  constructor(keysMax: number) {
    super();
    this.#keysMax = keysMax;
  }

  override startMessage(totalBytes: number): void {
    if (totalBytes <= PART_BYTES_MAX || this.#keysMax === 1) return super.startMessage(totalBytes);
    this.tooLongBytes = totalBytes;
    this.end(TOO_LARGE.grpcCode, TOO_LARGE.message);
  }

  override sendPart(bytes: Uint8Array, start: number, end: number): number {
    return this.tooLongBytes > 0 ? 0 : super.sendPart(bytes, start, end);
  }
}

export class RangeStreamMethod implements MethodHandler {
  readonly path = "/etcdserverpb.KV/RangeStream";
  readonly kind = "serverStreaming";
  readonly #router: Router;
  readonly #view = new RangeView();

  constructor(router: Router) {
    this.#router = router;
  }

  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void {
    const router = this.#router;
    const errorId = checkRange(bytes, start, end);
    if (errorId !== ErrorId.none) return call.end(ERRORS[errorId].grpcCode, ERRORS[errorId].message);
    const view = this.#view;
    view.decode(bytes, start, end);
    const refusal = unsupported(view);
    if (refusal !== null) return call.end(GrpcCode.unimplemented, refusal);
    if (!router.admits(call, view.serializable)) return;
    const pace = new Pace(call);
    call.state = pace;
    this.#stream(call, pace, copyRequest(view, bytes)).then(
      () => router.end(call, failure(ErrorId.none)),
      (error: unknown) => {
        if (pace.signal.aborted) return;
        const status =
          error instanceof CallFailure ? error : new CallFailure(GrpcCode.unknown, String(error));
        router.end(call, status);
      },
    );
  }

  onCancel(call: Call): void {
    (call.state as Pace | null)?.cancel();
  }

  onDrain(call: Call): void {
    (call.state as Pace | null)?.drained();
  }

  async #stream(call: Call, pace: Pace, request: RangeRequest): Promise<void> {
    let header: Uint8Array | null = null;
    let { key, revision } = request;
    let sent = 0;
    let partKeys = PART_KEYS_FIRST;
    let growth = GROWTH_MAX;
    for (;;) {
      const left = request.limit > 0 ? request.limit - sent : Infinity;
      const first = header === null;
      const limit = request.countOnly ? request.limit : Math.min(partKeys, left);
      const serializable = request.serializable || !first;
      const part = await this.#read({ ...request, key, revision, limit, serializable });
      pace.signal.throwIfAborted();
      if (typeof part === "number") {
        partKeys = Math.max(1, Math.min(limit >> 1, Math.floor((limit * PART_BYTES) / part)));
        growth = GROWTH_MIN;
        continue;
      }
      header ??= part.header;
      if (revision === 0) revision = part.revision;
      const isLast = request.countOnly || !part.more || sent + part.keys === request.limit;
      sendPart(call, part, isLast ? { header, more: part.more, count: sent + part.count } : null);
      this.#router.flush();
      if (isLast) return;
      sent += part.keys;
      key = Buffer.concat([part.lastKey, ZERO]);
      partKeys = nextPartKeys(part, growth);
      growth = Math.min(GROWTH_MAX, growth + 1);
      await pace.untilTaken();
    }
  }

  /** The answer; of one that is too long, its length. */
  async #read(request: RangeRequest): Promise<Part | number> {
    const bytes = encodeRequest(request);
    const call = new PartCall(request.limit);
    this.#router.read(call, ReadKind.range, !request.serializable, bytes, 0, bytes.length);
    try {
      return takeApart(await call.response);
    } catch (error) {
      if (call.tooLongBytes > 0) {
        this.#router.cancel(call);
        return call.tooLongBytes;
      }
      // What no message holds has not been announced: apply refuses it.
      const isTooLong = error instanceof CallFailure && error.message === TOO_LARGE.message;
      if (isTooLong && request.limit > 1 && !request.countOnly) return REFUSED_BYTES;
      throw error;
    }
  }
}

/** Why this request cannot be streamed, in etcd's words; null if it can. */
function unsupported(view: RangeView): string | null {
  const { sortOrder, sortTarget } = view;
  const isDefaultOrder =
    sortOrder === SortOrder.none || (sortOrder === SortOrder.ascend && sortTarget === SortTarget.key);
  if (!isDefaultOrder) return "RangeStream does not support custom sort orders";
  const filters =
    view.minModRevision || view.maxModRevision || view.minCreateRevision || view.maxCreateRevision;
  return filters === 0 ? null : "RangeStream does not support revision filters";
}

function copyRequest(view: RangeView, bytes: Uint8Array): RangeRequest {
  return {
    key: bytes.slice(view.keyStart, view.keyEnd),
    rangeEnd: view.hasRangeEnd ? bytes.slice(view.rangeEndStart, view.rangeEndEnd) : null,
    limit: Math.max(0, view.limit),
    revision: Math.max(0, view.revision),
    serializable: view.serializable,
    keysOnly: view.keysOnly,
    countOnly: view.countOnly,
  };
}

/** RangeRequest {1 key, 2 range_end, 3 limit, 4 revision, 7 serializable, 8 keys_only, 9 count_only}. */
function encodeRequest(request: RangeRequest): Uint8Array {
  const builder = new MessageBuilder().bytes(1, request.key);
  if (request.rangeEnd !== null) builder.bytes(2, request.rangeEnd);
  return builder
    .number(3, request.limit)
    .number(4, request.revision)
    .bool(7, request.serializable)
    .bool(8, request.keysOnly)
    .bool(9, request.countOnly)
    .finish();
}

/** As many keys as would have made the part before as long as a part is to be, but no leap. */
function nextPartKeys({ kvs, keys }: Part, growth: number): number {
  const wanted = Math.floor((keys * PART_BYTES) / Math.max(1, kvs.length));
  return Math.max(1, Math.min(wanted, keys * growth, PART_KEYS_MAX));
}

/** Takes a RangeResponse {1 header, 2 kvs, 3 more, 4 count} of our own apart. */
function takeApart(bytes: Uint8Array): Part {
  const reader = new WireReader();
  let header = bytes.subarray(0, 0);
  let kvsStart = 0;
  let kvsEnd = 0;
  let lastStart = 0;
  let keys = 0;
  let more = false;
  let count = 0;
  reader.reset(bytes, 0, bytes.length);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const before = reader.position - 1;
    if (tag === TAG_MORE) more = reader.bool();
    else if (tag === TAG_COUNT) count = reader.int64();
    else if (tag === TAG_HEADER || tag === TAG_KVS) {
      const length = reader.length();
      const from = reader.position;
      reader.advance(length);
      if (tag === TAG_HEADER) header = bytes.subarray(from, from + length);
      else {
        if (keys++ === 0) kvsStart = before;
        lastStart = from;
        kvsEnd = from + length;
      }
    } else reader.skip(tag);
  }
  const lastKey = keys === 0 ? bytes.subarray(0, 0) : readField(bytes, lastStart, kvsEnd, TAG_KEY);
  const revision = readRevision(header);
  return { header, revision, kvs: bytes.subarray(kvsStart, kvsEnd), keys, lastKey, more, count };
}

function readField(bytes: Uint8Array, start: number, end: number, wanted: number): Uint8Array {
  const reader = new WireReader();
  reader.reset(bytes, start, end);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === wanted) {
      const length = reader.length();
      return bytes.subarray(reader.position, reader.position + length);
    }
    reader.skip(tag);
  }
  return bytes.subarray(0, 0);
}

function readRevision(header: Uint8Array): number {
  const reader = new WireReader();
  reader.reset(header, 0, header.length);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === HEADER_TAG_REVISION) return reader.int64();
    reader.skip(tag);
  }
  return 0;
}

/** RangeStreamResponse {1 range_response}; header, more and count are in the last one only. */
function sendPart(
  call: Call,
  part: Part,
  tail: { readonly header: Uint8Array; readonly more: boolean; readonly count: number } | null,
): void {
  const before = tail === null ? new Uint8Array(0) : new MessageBuilder().bytes(1, tail.header).finish();
  const behind =
    tail === null
      ? new Uint8Array(0)
      : new MessageBuilder().bool(3, tail.more).number(4, tail.count).finish();
  const message = new MessageBuilder().bytes(1, Buffer.concat([before, part.kvs, behind])).finish();
  call.sendMessage(message, 0, message.length);
}
