/** Responses into the ring to main: shared records for many watchers, answers for one stream, long responses in pieces. */
import { MessageBuilder } from "../proto/message-builder.ts";
import { writeVarint64 } from "../proto/wire.ts";
import { RecordType, WatchAnswerKind } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";
import type { EventBatch } from "./event-batch.ts";
import {
  LONG_PIECE_BYTES,
  RESPONSE_OVERHEAD_BYTES,
  SCRATCH_KEPT_BYTES_MAX,
  SHARED_COPIES_BYTES_MAX,
  SHARED_TARGETS_MAX,
} from "./watch-limits.ts";

const SHARED_HEAD_BYTES = 16;
const TARGET_WORDS = 3;
const TARGET_BYTES = 12;
const MESSAGE_HEAD_BYTES = 9;
const LONG_HEAD_BYTES = 17;

// Fields of WatchResponse.
const WATCH_ID = 2;
const CREATED = 3;
const CANCELED = 4;
const COMPACT_REVISION = 5;
const CANCEL_REASON = 6;
const FRAGMENT = 7;

/** Longest fields of {@link ResponseWriter.answer}: a watch id and a bool. */
const ANSWER_BYTES_MAX = 13;

const UINT64_MASK = 0xffff_ffff_ffff_ffffn;
/** Id of a watch that was not created, and of progress of a whole stream. */
export const NO_WATCH_ID = -1n;

/** What a client wanted of a watch, and got. */
type WatchOutcome = "created" | "canceled";

/** A response without events. */
export interface Control {
  readonly watchId: bigint;
  /** For the header; 0 leaves it out. */
  readonly revision: number;
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly compactRevision?: number;
  readonly reason?: string;
}

export class ResponseWriter {
  readonly #ring: RingWriter;
  #targets = new Int32Array(256 * TARGET_WORDS);
  #targetCount = 0;
  #scratch = new Uint8Array(0);
  /** Responses to watchers, and the events in them. */
  responses = 0;
  events = 0;

  constructor(ring: RingWriter) {
    this.#ring = ring;
  }

  /** Watchers added since the last shared record. */
  get targets(): number {
    return this.#targetCount;
  }

  /** One more watcher for the next {@link share}. */
  addTarget(stream: number, idLow: number, idHigh: number): void {
    const at = this.#targetCount++ * TARGET_WORDS;
    if (at === this.#targets.length) {
      const grown = new Int32Array(at * 2);
      grown.set(this.#targets);
      this.#targets = grown;
    }
    this.#targets[at] = stream;
    this.#targets[at + 1] = idLow;
    this.#targets[at + 2] = idHigh;
  }

  /**
   * Sends events of the batch to all targets. `list` from position `from` on; null: all events of the batch.
   * @param eventBytes their bytes, as the batch measures them: at most SHARED_EVENTS_BYTES_MAX
   */
  share(
    revision: number,
    batch: EventBatch,
    list: readonly number[] | null,
    from: number,
    withPrevious: boolean,
    eventBytes: number,
  ): void {
    const copies = Math.floor(SHARED_COPIES_BYTES_MAX / (eventBytes + RESPONSE_OVERHEAD_BYTES));
    const targetsMax = Math.max(1, Math.min(SHARED_TARGETS_MAX, copies));
    for (let first = 0; first < this.#targetCount; first += targetsMax) {
      const count = Math.min(targetsMax, this.#targetCount - first);
      this.#writeShared(revision, batch, list, from, withPrevious, eventBytes, first, count);
    }
    this.responses += this.#targetCount;
    this.events += this.#targetCount * ((list === null ? batch.length : list.length) - from);
    this.#targetCount = 0;
  }

  #writeShared(
    revision: number,
    batch: EventBatch,
    list: readonly number[] | null,
    from: number,
    withPrevious: boolean,
    eventBytes: number,
    firstTarget: number,
    targetCount: number,
  ): void {
    const length = SHARED_HEAD_BYTES + targetCount * TARGET_BYTES + eventBytes;
    const offset = this.#reserve(length);
    const { bytes, view } = this.#ring;
    view.setFloat64(offset, revision, true);
    view.setUint32(offset + 8, targetCount, true);
    view.setUint32(offset + 12, eventBytes, true);
    let at = offset + SHARED_HEAD_BYTES;
    const end = (firstTarget + targetCount) * TARGET_WORDS;
    for (let i = firstTarget * TARGET_WORDS; i < end; i++, at += 4) view.setInt32(at, this.#targets[i], true);
    const events = list === null ? batch.length : list.length;
    for (let i = from; i < events; i++)
      at = batch.write(list === null ? i : list[i], withPrevious, bytes, at);
    this.#ring.commit(RecordType.watchEvents, 0, 0, length);
  }

  /** Sends events `list[from, to)` to one watcher, however long they are. Returns the length of the response without its header. */
  sendLong(
    stream: number,
    watchId: bigint,
    revision: number,
    batch: EventBatch,
    list: readonly number[],
    from: number,
    to: number,
    withPrevious: boolean,
    fragment: boolean,
  ): number {
    const head = new MessageBuilder()
      .uint64(WATCH_ID, watchId & UINT64_MASK)
      .bool(FRAGMENT, fragment)
      .finish();
    let length = head.length;
    for (let i = from; i < to; i++) length += batch.fieldBytes(list[i], withPrevious);
    const body = this.#scratch.length >= length ? this.#scratch : new Uint8Array(length);
    body.set(head);
    let at = head.length;
    for (let i = from; i < to; i++) at = batch.write(list[i], withPrevious, body, at);
    if (body.length <= SCRATCH_KEPT_BYTES_MAX) this.#scratch = body;
    this.#writeLong(stream, revision, body, length);
    this.responses++;
    this.events += to - from;
    return length;
  }

  #writeLong(stream: number, revision: number, body: Uint8Array, length: number): void {
    const offset = this.#reserve(LONG_HEAD_BYTES);
    this.#ring.bytes[offset] = WatchAnswerKind.longHead;
    this.#ring.view.setFloat64(offset + 1, revision, true);
    this.#ring.view.setFloat64(offset + 9, length, true);
    this.#ring.commit(RecordType.watchAnswer, 0, stream, LONG_HEAD_BYTES);
    for (let at = 0; at < length; at += LONG_PIECE_BYTES) {
      const end = Math.min(length, at + LONG_PIECE_BYTES);
      const pieceAt = this.#reserve(1 + end - at);
      this.#ring.bytes[pieceAt] = WatchAnswerKind.longData;
      this.#ring.bytes.set(body.subarray(at, end), pieceAt + 1);
      this.#ring.commit(RecordType.watchAnswer, 0, stream, 1 + end - at);
    }
  }

  /** Sends that a watch is there, or is gone because its client wanted so. */
  answer(stream: number, idLow: number, idHigh: number, revision: number, what: WatchOutcome): void {
    const offset = this.#reserve(MESSAGE_HEAD_BYTES + ANSWER_BYTES_MAX);
    const { bytes, view } = this.#ring;
    bytes[offset] = WatchAnswerKind.message;
    view.setFloat64(offset + 1, revision, true);
    let at = offset + MESSAGE_HEAD_BYTES;
    // Zero is left out, as proto3 does.
    if ((idLow | idHigh) !== 0) {
      bytes[at] = WATCH_ID << 3;
      at = writeVarint64(bytes, at + 1, idLow, idHigh);
    }
    bytes[at] = (what === "created" ? CREATED : CANCELED) << 3;
    bytes[at + 1] = 1;
    this.#ring.commit(RecordType.watchAnswer, 0, stream, at + 2 - offset);
  }

  /** Sends a response without events. */
  control(stream: number, control: Control): void {
    const body = new MessageBuilder()
      .uint64(WATCH_ID, control.watchId & UINT64_MASK)
      .bool(CREATED, control.created === true)
      .bool(CANCELED, control.canceled === true)
      .number(COMPACT_REVISION, control.compactRevision ?? 0)
      .string(CANCEL_REASON, control.reason ?? "")
      .finish();
    const length = MESSAGE_HEAD_BYTES + body.length;
    const offset = this.#reserve(length);
    this.#ring.bytes[offset] = WatchAnswerKind.message;
    this.#ring.view.setFloat64(offset + 1, control.revision, true);
    this.#ring.bytes.set(body, offset + MESSAGE_HEAD_BYTES);
    this.#ring.commit(RecordType.watchAnswer, 0, stream, length);
  }

  /** The stream's number may be used again. */
  closed(stream: number): void {
    this.#bare(stream, WatchAnswerKind.closed);
  }

  /** Everything in front of the fence was handled. */
  fence(): void {
    this.#bare(0, WatchAnswerKind.fence);
  }

  #bare(stream: number, kind: number): void {
    const offset = this.#reserve(1);
    this.#ring.bytes[offset] = kind;
    this.#ring.commit(RecordType.watchAnswer, 0, stream, 1);
  }

  publish(): void {
    this.#ring.publish();
  }

  #reserve(length: number): number {
    let offset = this.#ring.reserve(length);
    while (offset < 0) {
      this.#ring.publish(); // or main would never see what fills the ring
      this.#ring.waitForRoom(length);
      offset = this.#ring.reserve(length);
    }
    return offset;
  }
}
