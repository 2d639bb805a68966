/**
 * Chunks of a byte stream to whole frames. A frame that lies whole in its chunk is handed over in place; only one that
 * a chunk boundary cuts is gathered in a buffer, which holds at most one frame.
 */
import { copyBytes } from "../base/copy-bytes.ts";
import { FRAME_HEADER_BYTES } from "./http2.ts";
import { FRAME_PAYLOAD_BYTES_MAX } from "./limits.ts";

/** Receives the frames of one connection. */
export interface FrameSink {
  /**
   * One frame; its payload `bytes[start, end)` is borrowed until return. Returns false to stop reading for good.
   */
  onFrame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean;
  /** A frame longer than FRAME_PAYLOAD_BYTES_MAX was announced; reading has stopped. */
  onOversizedFrame(): void;
}

export class FrameReader {
  readonly #sink: FrameSink;
  /** The beginning of a frame that continues in the next chunk: `#held[0, #heldBytes)`. */
  #held: Uint8Array | null = null;
  #heldBytes = 0;
  #stopped = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Reads on in `chunk[start, end)`, borrowed until return. */
  read(chunk: Uint8Array, start: number, end: number): void {
    if (this.#heldBytes > 0) start = this.#completeHeld(chunk, start, end);
    while (!this.#stopped && end - start >= FRAME_HEADER_BYTES) {
      const length = (chunk[start] << 16) | (chunk[start + 1] << 8) | chunk[start + 2];
      if (length > FRAME_PAYLOAD_BYTES_MAX) {
        this.#stopped = true;
        this.#sink.onOversizedFrame();
        return;
      }
      if (end - start < FRAME_HEADER_BYTES + length) break;
      this.#deliver(chunk, start, length);
      start += FRAME_HEADER_BYTES + length;
    }
    if (start < end && !this.#stopped) this.#hold(chunk, start, end);
  }

  #deliver(bytes: Uint8Array, at: number, length: number): void {
    const type = bytes[at + 3];
    const flags = bytes[at + 4];
    const streamId =
      ((bytes[at + 5] & 0x7f) << 24) | (bytes[at + 6] << 16) | (bytes[at + 7] << 8) | bytes[at + 8];
    const payload = at + FRAME_HEADER_BYTES;
    if (!this.#sink.onFrame(type, flags, streamId, bytes, payload, payload + length)) this.#stopped = true;
  }

  /** Fills up the held frame and delivers it if it is whole. Returns where the rest of the chunk begins. */
  #completeHeld(chunk: Uint8Array, start: number, end: number): number {
    const held = this.#held!;
    while (this.#heldBytes < FRAME_HEADER_BYTES && start < end) held[this.#heldBytes++] = chunk[start++];
    if (this.#heldBytes < FRAME_HEADER_BYTES) return start;
    const length = (held[0] << 16) | (held[1] << 8) | held[2];
    if (length > FRAME_PAYLOAD_BYTES_MAX) {
      this.#stopped = true;
      this.#sink.onOversizedFrame();
      return end;
    }
    const take = Math.min(FRAME_HEADER_BYTES + length - this.#heldBytes, end - start);
    copyBytes(chunk, start, start + take, held, this.#heldBytes);
    this.#heldBytes += take;
    if (this.#heldBytes === FRAME_HEADER_BYTES + length) {
      this.#heldBytes = 0;
      this.#deliver(held, 0, length);
    }
    return start + take;
  }

  #hold(chunk: Uint8Array, start: number, end: number): void {
    this.#held ??= new Uint8Array(FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX);
    copyBytes(chunk, start, end, this.#held, 0);
    this.#heldBytes = end - start;
  }
}
