/**
 * HEADERS and CONTINUATION frames (RFC 9113, sections 6.2 and 6.10): from their payloads to decoded header blocks. Owns the decoder's
 * dynamic table and the block that is not whole yet; what a block means for its stream is the connection's.
 */
import { readUint32 } from "./bytes.ts";
import { HeaderAssembly } from "./header-assembly.ts";
import type { HeaderBlock } from "./header-block.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import {
  COMPRESSION_ERROR,
  ENHANCE_YOUR_CALM,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLAG_PRIORITY,
  FRAME_SIZE_ERROR,
  INT31_MAX,
  PROTOCOL_ERROR,
} from "./http2.ts";

/** Bytes of the priority fields of a HEADERS frame. */
const PRIORITY_BYTES = 5;

/** Who gets the blocks. */
export interface HeaderSink {
  readonly nowMs: number;
  fail(errorCode: number, text: string): void;
  /**
   * A whole block, borrowed until the next one.
   * @param selfDependent its priority names its own stream
   */
  onHeaderBlock(streamId: number, endStream: boolean, selfDependent: boolean, block: HeaderBlock): void;
}

export class HeaderFrames {
  readonly #sink: HeaderSink;
  readonly #decoder = new HpackDecoder();
  readonly #assembly = new HeaderAssembly();

  constructor(sink: HeaderSink) {
    this.#sink = sink;
  }

  /** The stream whose block is open, or 0. While it is not 0, only its CONTINUATION may come. */
  get openStreamId(): number {
    return this.#assembly.streamId;
  }

  /** True if a block has been open for longer than `ms`. */
  isOpenLonger(ms: number, nowMs: number): boolean {
    return this.#assembly.streamId !== 0 && nowMs - this.#assembly.sinceMs > ms;
  }

  /** A HEADERS frame. */
  begin(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    const sink = this.#sink;
    if ((streamId & 1) === 0)
      return sink.fail(PROTOCOL_ERROR, "HEADERS on a stream that is not the client's");
    if ((flags & FLAG_PADDED) !== 0) {
      if (start === end || bytes[start] >= end - start) return sink.fail(PROTOCOL_ERROR, "padding too long");
      end -= bytes[start];
      start++;
    }
    let selfDependent = false;
    if ((flags & FLAG_PRIORITY) !== 0) {
      if (end - start < PRIORITY_BYTES)
        return sink.fail(FRAME_SIZE_ERROR, "HEADERS too short for its priority");
      selfDependent = (readUint32(bytes, start) & INT31_MAX) === streamId;
      start += PRIORITY_BYTES;
    }
    const endStream = (flags & FLAG_END_STREAM) !== 0;
    if ((flags & FLAG_END_HEADERS) !== 0) {
      return this.#decode(streamId, endStream, selfDependent, bytes, start, end);
    }
    this.#assembly.begin(streamId, endStream, sink.nowMs);
    if (!this.#assembly.append(bytes, start, end)) sink.fail(ENHANCE_YOUR_CALM, "header block too long");
  }

  /** A CONTINUATION frame. */
  continue(flags: number, bytes: Uint8Array, start: number, end: number): void {
    const assembly = this.#assembly;
    const streamId = assembly.streamId;
    if (streamId === 0) return this.#sink.fail(PROTOCOL_ERROR, "CONTINUATION without HEADERS");
    if (!assembly.append(bytes, start, end))
      return this.#sink.fail(ENHANCE_YOUR_CALM, "header block too long");
    if ((flags & FLAG_END_HEADERS) === 0) return;
    assembly.end();
    this.#decode(streamId, assembly.endStream, false, assembly.bytes, 0, assembly.length);
  }

  #decode(
    streamId: number,
    endStream: boolean,
    selfDependent: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    // Always decoded, even for a stream that is refused: the dynamic table must follow the client's.
    const block = this.#decoder.decode(bytes, start, end);
    if (block === null) this.#sink.fail(COMPRESSION_ERROR, "header block cannot be decoded");
    else this.#sink.onHeaderBlock(streamId, endStream, selfDependent, block);
  }
}
