/**
 * Cuts a stream of bytes into frames. A piece is parsed where it lies; only a frame that is spread over pieces is copied
 * together first.
 */
import { copyBytes } from "../base/copy-bytes.ts";

/** A buffer that grew beyond this for one frame is not kept. */
const PENDING_BYTES_KEPT_MAX = 4 * 1024 * 1024;
const PENDING_BYTES_INITIAL = 64 * 1024;

/** What {@link FrameParser.parse} answers besides a frame's length. */
export const FRAME_INCOMPLETE = 0;
export const FRAME_MALFORMED = -1;

/** Knows one stream's frames. */
export interface FrameParser {
  /** After {@link FRAME_INCOMPLETE}: bytes from the frame's start without which another try is useless. */
  readonly neededBytes: number;
  /** Handles the frame at `start` if it is complete. Returns its length, {@link FRAME_INCOMPLETE} or {@link FRAME_MALFORMED}. */
  parse(bytes: Uint8Array, start: number, end: number): number;
}

export class FrameAssembler {
  readonly #parser: FrameParser;
  #pending: Uint8Array = new Uint8Array(0);
  #length = 0;
  #closed = false;

  constructor(parser: FrameParser) {
    this.#parser = parser;
  }

  /** Takes `bytes[start, end)` (borrowed) and hands on every frame that is complete now. False: the stream is malformed, or was closed. */
  push(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
    if (this.#length === 0) {
      const rest = this.#consume(bytes, start, end);
      if (rest === FRAME_MALFORMED) return false;
      if (rest < end) this.#append(bytes, rest, end);
      return true;
    }
    this.#append(bytes, start, end);
    if (this.#length < this.#parser.neededBytes) return true;
    const rest = this.#consume(this.#pending, 0, this.#length);
    if (rest === FRAME_MALFORMED) return false;
    this.#pending.copyWithin(0, rest, this.#length);
    this.#length -= rest;
    if (this.#length === 0 && this.#pending.length > PENDING_BYTES_KEPT_MAX)
      this.#pending = new Uint8Array(0);
    return true;
  }

  /** No frame is handed on any more, not even by a {@link push} that is under way. */
  close(): void {
    this.#closed = true;
  }

  /** Returns the offset of the first incomplete frame, or {@link FRAME_MALFORMED}. */
  #consume(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end) {
      if (this.#closed) return FRAME_MALFORMED;
      const length = this.#parser.parse(bytes, at, end);
      if (length === FRAME_MALFORMED) return FRAME_MALFORMED;
      if (length === FRAME_INCOMPLETE) break;
      at += length;
    }
    return at;
  }

  #append(bytes: Uint8Array, start: number, end: number): void {
    const needed = this.#length + end - start;
    if (needed > this.#pending.length) {
      const grown = new Uint8Array(Math.max(PENDING_BYTES_INITIAL, needed, this.#pending.length * 2));
      grown.set(this.#pending.subarray(0, this.#length));
      this.#pending = grown;
    }
    copyBytes(bytes, start, end, this.#pending, this.#length);
    this.#length = needed;
  }
}

/** Reads a big-endian u64; beyond 2^53 - 1 it yields Infinity. */
export function readUint64(bytes: Uint8Array, at: number): number {
  const high = readUint32(bytes, at);
  return high >= 0x20_0000 ? Number.POSITIVE_INFINITY : high * 0x1_0000_0000 + readUint32(bytes, at + 4);
}

function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}
