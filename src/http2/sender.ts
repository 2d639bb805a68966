/**
 * The sending half of flow control (RFC 9113 section 5.2): both windows of each DATA frame, the queue of what does not fit,
 * and turns among the streams that wait. A stream is in the ready list while it has pending bytes and a stream window;
 * then only the connection's window or the socket holds it back.
 */
import { copyBytes } from "../base/copy-bytes.ts";
import { ByteQueue } from "./byte-queue.ts";
import { DEFAULT_WINDOW_BYTES, FRAME_DATA, INT31_MAX } from "./http2.ts";
import { FRAME_PAYLOAD_BYTES_MAX, OUTPUT_BYTES_HIGH } from "./limits.ts";
import type { OutputQueue } from "./output-queue.ts";
import type { Http2Stream } from "./stream.ts";

const PENDING_BYTES_INITIAL = 1_024;
/** Closed streams in the ready list that are not worth cleaning up. */
const READY_CLOSED_MIN = 64;

/** Pending bytes of several senders together; each adds what it keeps and takes away what has left. */
export interface PendingTotal {
  bytes: number;
}

export class Sender {
  /** Bytes of DATA that the client lets the whole connection send. */
  window = DEFAULT_WINDOW_BYTES;
  /** The client's SETTINGS_INITIAL_WINDOW_SIZE. */
  initialWindow = DEFAULT_WINDOW_BYTES;
  /** Pending bytes of all streams. */
  pendingBytes = 0;
  /** DATA frames written so far; the guard against idle frames gives credit for them. */
  dataFrames = 0;
  readonly #output: OutputQueue;
  readonly #total: PendingTotal;
  /** Streams that may send, in turn: `#ready[#readyHead ...]`. */
  #ready: Http2Stream[] = [];
  #readyHead = 0;
  /** Streams among them that have closed. They keep `queued`: such an object must not be used again. */
  #closedInReady = 0;

  constructor(output: OutputQueue, total: PendingTotal) {
    this.#output = output;
    this.#total = total;
  }

  /**
   * Begins a DATA frame of `length` bytes if it may leave now, whole, in front of nothing: the caller then writes `length` bytes at
   * the output's `position` and advances it. False: use {@link send}.
   */
  beginWhole(stream: Http2Stream, length: number): boolean {
    if (
      length > this.window ||
      length > stream.sendWindow ||
      length > FRAME_PAYLOAD_BYTES_MAX ||
      stream.pendingLength > 0 ||
      this.#output.queuedBytes >= OUTPUT_BYTES_HIGH
    ) {
      return false;
    }
    this.window -= length;
    stream.sendWindow -= length;
    this.dataFrames++;
    this.#output.beginFrame(length, FRAME_DATA, 0, stream.id);
    return true;
  }

  /** Sends `bytes[start, end)` as DATA, or keeps a copy of what may not leave yet. */
  send(stream: Http2Stream, bytes: Uint8Array, start: number, end: number): void {
    if (stream.pendingLength === 0) {
      while (start < end) {
        const sent = this.#writeFrame(stream, bytes, start, end);
        if (sent === 0) break;
        start += sent;
      }
    }
    if (start === end) return;
    stream.pending ??= new ByteQueue(Math.max(PENDING_BYTES_INITIAL, end - start));
    stream.pending.append(bytes, start, end);
    this.#count(end - start);
    this.#enqueue(stream);
  }

  /** A window or the socket has room again: writes what may leave, a frame a stream in turn. */
  pump(): void {
    while (this.#readyHead < this.#ready.length && this.window > 0) {
      if (this.#output.queuedBytes >= OUTPUT_BYTES_HIGH) break;
      const stream = this.#ready[this.#readyHead++];
      if (stream.closed) {
        this.#closedInReady--;
        continue;
      }
      stream.queued = false;
      this.#sendPending(stream);
    }
    if (this.#readyHead === this.#ready.length) {
      this.#ready.length = this.#readyHead = 0;
    } else if (this.#readyHead > 64 && this.#readyHead * 2 > this.#ready.length) {
      this.#ready = this.#ready.slice(this.#readyHead);
      this.#readyHead = 0;
    }
  }

  /** The client's WINDOW_UPDATE for the connection. False: overflow. */
  widen(increment: number): boolean {
    this.window += increment;
    if (this.window > INT31_MAX) return false;
    this.pump();
    return true;
  }

  /** The client's WINDOW_UPDATE for a stream. False: overflow. */
  widenStream(stream: Http2Stream, increment: number): boolean {
    stream.sendWindow += increment;
    if (stream.sendWindow > INT31_MAX) return false;
    this.#enqueue(stream);
    if (stream.queued) this.pump();
    return true;
  }

  /**
   * The client's SETTINGS_INITIAL_WINDOW_SIZE also moves the windows of open streams (section 6.9.2). False: overflow.
   * The caller pumps behind its SETTINGS ack: before, the client counts by the old window.
   */
  setInitialWindow(bytes: number, streams: Iterable<Http2Stream>): boolean {
    const change = bytes - this.initialWindow;
    this.initialWindow = bytes;
    for (const stream of streams) {
      stream.sendWindow += change;
      if (stream.sendWindow > INT31_MAX) return false;
      this.#enqueue(stream);
    }
    return true;
  }

  /** Drops what a stream that has closed still had to send. */
  forget(stream: Http2Stream): void {
    this.#count(-stream.pendingLength);
    stream.pending = null;
    if (!stream.queued) return;
    const ready = this.#ready.length - this.#readyHead;
    if (++this.#closedInReady < READY_CLOSED_MIN || this.#closedInReady * 2 < ready) return;
    this.#ready = this.#ready.slice(this.#readyHead).filter((each) => !each.closed);
    this.#readyHead = 0;
    this.#closedInReady = 0;
  }

  #count(bytes: number): void {
    this.pendingBytes += bytes;
    this.#total.bytes += bytes;
  }

  #enqueue(stream: Http2Stream): void {
    if (stream.queued || stream.sendWindow <= 0 || stream.pendingLength === 0) return;
    stream.queued = true;
    this.#ready.push(stream);
  }

  #sendPending(stream: Http2Stream): void {
    const pending = stream.pending!;
    const sent = this.#writeFrame(stream, pending.bytes, pending.start, pending.end);
    pending.consume(sent);
    this.#count(-sent);
    if (pending.length > 0) {
      this.#enqueue(stream);
      return;
    }
    stream.pending = null;
    if (stream.endWanted) stream.writeEnd();
    else stream.onDrained();
  }

  /** Writes one DATA frame, as long as may be. Returns the bytes sent, 0 if none may be. */
  #writeFrame(stream: Http2Stream, bytes: Uint8Array, start: number, end: number): number {
    const length = Math.min(end - start, FRAME_PAYLOAD_BYTES_MAX, this.window, stream.sendWindow);
    const output = this.#output;
    if (length <= 0 || output.queuedBytes >= OUTPUT_BYTES_HIGH) return 0;
    this.window -= length;
    stream.sendWindow -= length;
    this.dataFrames++;
    output.beginFrame(length, FRAME_DATA, 0, stream.id);
    copyBytes(bytes, start, start + length, output.bytes, output.position);
    output.position += length;
    return length;
  }
}
