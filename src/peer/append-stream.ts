/**
 * The msgappv2 stream: appends only, and most of them without the message around their entries, because both sides know where
 * the log continues (interop: stream framing).
 *
 * ```
 *   00                                                    link heartbeat
 *   01  u64 count  count x { u64 size  raftpb.Entry }  u64 commit    continues at (term, index)
 *   02  u64 size   raftpb.Message                         sets (term, index)
 * ```
 */

import { MessageType, type RaftMessage } from "../raft/raft.ts";
import { FRAME_INCOMPLETE, FRAME_MALFORMED, type FrameParser, readUint64 } from "./frame-assembler.ts";
import { STREAM_MESSAGE_BYTES_MAX, type StreamEncoder, encodeFrame } from "./message-stream.ts";
import type { OutputBuffer } from "./output-buffer.ts";
import { type MessageDecoder, emptyMessage } from "./raft-message-decode.ts";
import { ENTRY_OVERHEAD_BYTES_MAX, writeEntry } from "./raft-message-encode.ts";

const LINK_HEARTBEAT = 0;
const ENTRIES = 1;
const MESSAGE = 2;

const COUNT_BYTES = 8;
const SIZE_BYTES = 8;
const COMMIT_BYTES = 8;

function entryCount(message: RaftMessage): number {
  let count = 0;
  for (const slice of message.entries) count += slice.count;
  return count;
}

/** One side's state, for one connection. */
export class AppendStreamEncoder implements StreamEncoder {
  /** Where the log continues, as the receiver knows it: term of the leader, index of the last entry sent. */
  #term = 0;
  #index = 0;

  encodeLinkHeartbeat(out: OutputBuffer): void {
    out.ensure(1);
    out.bytes[out.length++] = LINK_HEARTBEAT;
  }

  encode(out: OutputBuffer, message: RaftMessage): void {
    const { index, logTerm, term } = message;
    const count = entryCount(message);
    out.ensure(1);
    const isContinued = index === this.#index && logTerm === this.#term && logTerm === term;
    // Traces have their place in whole messages only.
    if (isContinued && message.traces === undefined) {
      out.bytes[out.length++] = ENTRIES;
      encodeEntries(out, message, count);
    } else {
      out.bytes[out.length++] = MESSAGE;
      encodeFrame(out, message);
      this.#term = term;
    }
    this.#index = index + count;
  }
}

function encodeEntries(out: OutputBuffer, message: RaftMessage, total: number): void {
  out.ensure(COUNT_BYTES);
  out.setUint64(out.length, total);
  out.length += COUNT_BYTES;
  for (const { batch, from, count } of message.entries) {
    for (let i = from; i < from + count; i++) {
      out.ensure(SIZE_BYTES + ENTRY_OVERHEAD_BYTES_MAX + batch.dataEnd(i) - batch.dataStart(i));
      const at = out.length + SIZE_BYTES;
      const end = writeEntry(out.bytes, at, batch, i, batch.firstIndex + i);
      out.setUint64(out.length, end - at);
      out.length = end;
    }
  }
  out.ensure(COMMIT_BYTES);
  out.setUint64(out.length, message.commit);
  out.length += COMMIT_BYTES;
}

/** The other side. */
export class AppendStreamParser implements FrameParser {
  neededBytes = 0;
  readonly #decoder: MessageDecoder;
  readonly #local: bigint;
  readonly #remote: bigint;
  readonly #receive: (message: RaftMessage, bytes: number) => void;
  #term = 0;
  #index = 0;
  /** An incomplete frame of entries: entries found so far, and how far from its start the next one begins. */
  #scannedEntries = 0;
  #scannedBytes = 0;

  /** @param receive gets each message, its entries borrowed until it returns, and its length */
  constructor(
    decoder: MessageDecoder,
    ids: { readonly local: bigint; readonly remote: bigint },
    receive: (message: RaftMessage, bytes: number) => void,
  ) {
    this.#decoder = decoder;
    this.#local = ids.local;
    this.#remote = ids.remote;
    this.#receive = receive;
  }

  parse(bytes: Uint8Array, start: number, end: number): number {
    switch (bytes[start]) {
      case LINK_HEARTBEAT:
        return 1;
      case ENTRIES:
        return this.#parseEntries(bytes, start, end);
      case MESSAGE:
        return this.#parseMessage(bytes, start, end);
      default:
        return FRAME_MALFORMED;
    }
  }

  #parseMessage(bytes: Uint8Array, start: number, end: number): number {
    const head = 1 + SIZE_BYTES;
    this.neededBytes = head;
    if (end - start < head) return FRAME_INCOMPLETE;
    const length = readUint64(bytes, start + 1);
    if (length > STREAM_MESSAGE_BYTES_MAX) return FRAME_MALFORMED;
    this.neededBytes = head + length;
    if (end - start < this.neededBytes) return FRAME_INCOMPLETE;
    const message = this.#decoder.decode(bytes, start + head, start + head + length);
    if (message === null) return FRAME_MALFORMED;
    this.#term = message.term;
    this.#index = message.index + entryCount(message);
    this.#receive(message, length);
    return head + length;
  }

  #parseEntries(bytes: Uint8Array, start: number, end: number): number {
    const length = this.#findEnd(bytes, start, end);
    if (length <= 0) return length;
    const decoder = this.#decoder;
    const index = this.#index;
    decoder.beginEntries(bytes);
    let at = start + 1 + COUNT_BYTES;
    const entriesEnd = start + length - COMMIT_BYTES;
    while (at < entriesEnd) {
      const entryEnd = at + SIZE_BYTES + readUint64(bytes, at);
      if (!decoder.addEntry(at + SIZE_BYTES, entryEnd)) return FRAME_MALFORMED;
      at = entryEnd;
    }
    const entries = decoder.takeEntries();
    if (entries.length > 0 && entries[0].batch.firstIndex !== index + 1) return FRAME_MALFORMED;
    const commit = readUint64(bytes, entriesEnd);
    if (commit > Number.MAX_SAFE_INTEGER) return FRAME_MALFORMED;
    const message = emptyMessage();
    message.type = MessageType.app;
    message.to = this.#local;
    message.from = this.#remote;
    message.term = this.#term;
    message.logTerm = this.#term;
    message.index = index;
    message.commit = commit;
    message.entries = entries;
    this.#index += entryCount(message);
    this.#receive(message, length);
    return length;
  }

  /** Length of the frame of entries at `start`, or why there is none. Goes on where the last try ended. */
  #findEnd(bytes: Uint8Array, start: number, end: number): number {
    const available = end - start;
    this.neededBytes = 1 + COUNT_BYTES;
    if (available < this.neededBytes) return FRAME_INCOMPLETE;
    const count = readUint64(bytes, start + 1);
    let at = Math.max(this.#scannedBytes, 1 + COUNT_BYTES);
    let entry = this.#scannedEntries;
    while (entry < count && at + SIZE_BYTES <= available) {
      const entryEnd = at + SIZE_BYTES + readUint64(bytes, start + at);
      if (entryEnd > STREAM_MESSAGE_BYTES_MAX) return FRAME_MALFORMED;
      if (entryEnd > available) {
        this.neededBytes = entryEnd + COMMIT_BYTES;
        break;
      }
      at = entryEnd;
      entry++;
    }
    const isComplete = entry === count && at + COMMIT_BYTES <= available;
    this.#scannedEntries = isComplete ? 0 : entry;
    this.#scannedBytes = isComplete ? 0 : at;
    if (isComplete) return at + COMMIT_BYTES;
    this.neededBytes = Math.max(this.neededBytes, at + SIZE_BYTES);
    return FRAME_INCOMPLETE;
  }
}
