/** The general stream: u64 BE length, raftpb.Message, over and over (interop: stream framing). */

import { MessageType, type RaftMessage } from "../raft/raft.ts";
import { FRAME_INCOMPLETE, FRAME_MALFORMED, type FrameParser, readUint64 } from "./frame-assembler.ts";
import type { OutputBuffer } from "./output-buffer.ts";
import { type MessageDecoder, emptyMessage } from "./raft-message-decode.ts";
import { encodeMessage } from "./raft-message-encode.ts";

/** Longest message that a stream takes; etcd's limit. */
export const STREAM_MESSAGE_BYTES_MAX = 512 * 1024 * 1024;
/** Bytes in front of a message. */
export const LENGTH_BYTES = 8;

/** Writes the messages of one stream. */
export interface StreamEncoder {
  encode(out: OutputBuffer, message: RaftMessage): void;
  /** What keeps an idle connection alive; the receiver's raft never sees it. */
  encodeLinkHeartbeat(out: OutputBuffer): void;
}

const LINK_HEARTBEAT: RaftMessage = { ...emptyMessage(), type: MessageType.heartbeat };

/** True for what keeps an idle connection alive: a heartbeat of nobody to nobody. */
export function isLinkHeartbeat(message: RaftMessage): boolean {
  return message.type === MessageType.heartbeat && message.from === 0n && message.to === 0n;
}

/** Appends one frame. */
export function encodeFrame(out: OutputBuffer, message: RaftMessage, snapshotData?: Uint8Array): void {
  out.ensure(LENGTH_BYTES);
  const start = out.length;
  out.length = start + LENGTH_BYTES;
  encodeMessage(out, message, snapshotData);
  out.setUint64(start, out.length - start - LENGTH_BYTES);
}

export class MessageStreamEncoder implements StreamEncoder {
  encode(out: OutputBuffer, message: RaftMessage): void {
    encodeFrame(out, message);
  }

  encodeLinkHeartbeat(out: OutputBuffer): void {
    encodeFrame(out, LINK_HEARTBEAT);
  }
}

/** Reads frames; link heartbeats are dropped here. */
export class MessageStreamParser implements FrameParser {
  neededBytes = 0;
  readonly #decoder: MessageDecoder;
  readonly #receive: (message: RaftMessage, bytes: number) => void;

  /** @param receive gets each message, its entries borrowed until it returns, and its length */
  constructor(decoder: MessageDecoder, receive: (message: RaftMessage, bytes: number) => void) {
    this.#decoder = decoder;
    this.#receive = receive;
  }

  parse(bytes: Uint8Array, start: number, end: number): number {
    this.neededBytes = LENGTH_BYTES;
    if (end - start < LENGTH_BYTES) return FRAME_INCOMPLETE;
    const length = readUint64(bytes, start);
    if (length > STREAM_MESSAGE_BYTES_MAX) return FRAME_MALFORMED;
    this.neededBytes = LENGTH_BYTES + length;
    if (end - start < this.neededBytes) return FRAME_INCOMPLETE;
    const message = this.#decoder.decode(bytes, start + LENGTH_BYTES, start + LENGTH_BYTES + length);
    if (message === null) return FRAME_MALFORMED;
    if (!isLinkHeartbeat(message)) this.#receive(message, length);
    return LENGTH_BYTES + length;
  }
}
