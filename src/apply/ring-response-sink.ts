import { RecordType } from "../ring/record-types.ts";
import type { RingWriter } from "../ring/ring.ts";
import type { ResponseSink } from "./apply-interfaces.ts";

/** Answers onto the ring to main. Waits for room when the ring is full: main always drains it. */
export class RingResponseSink implements ResponseSink {
  readonly bytes: Uint8Array;
  readonly reserveBytesMax: number;
  readonly #ring: RingWriter;

  constructor(ring: RingWriter) {
    this.#ring = ring;
    this.bytes = ring.bytes;
    this.reserveBytesMax = ring.inlineBytesMax;
  }

  reserve(length: number): number {
    let offset = this.#ring.reserve(length);
    while (offset < 0) {
      this.#ring.waitForRoom(length);
      offset = this.#ring.reserve(length);
    }
    return offset;
  }

  commit(requestId: number, length: number): void {
    this.#ring.commit(RecordType.response, 0, requestId, length);
  }

  /** An answer beyond what the ring takes at once goes as a stream, without waiting for credit: there is nothing left to slice. */
  respond(requestId: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start <= this.#ring.payloadBytesMax) {
      this.#write(RecordType.response, requestId, bytes, start, end);
      return;
    }
    this.streamHead(requestId, end - start);
    for (let at = start; at < end; at += this.reserveBytesMax) {
      this.streamData(requestId, bytes, at, Math.min(end, at + this.reserveBytesMax));
    }
  }

  fail(requestId: number, errorId: number): void {
    const offset = this.reserve(4);
    this.#ring.view.setUint32(offset, errorId, true);
    this.#ring.commit(RecordType.error, 0, requestId, 4);
  }

  streamHead(requestId: number, totalBytes: number): void {
    const offset = this.reserve(8);
    this.#ring.view.setFloat64(offset, totalBytes, true);
    this.#ring.commit(RecordType.streamHead, 0, requestId, 8);
  }

  streamData(requestId: number, bytes: Uint8Array, start: number, end: number): void {
    this.#write(RecordType.streamData, requestId, bytes, start, end);
  }

  hasRoom(length: number): boolean {
    // Headers of the record and its parts, and a filler at the ring's end.
    return this.#ring.freeBytes() >= 2 * length + 256;
  }

  #write(type: number, requestId: number, bytes: Uint8Array, start: number, end: number): void {
    while (!this.#ring.write(type, 0, requestId, bytes, start, end)) this.#ring.waitForRoom(end - start);
  }
}
