/** One HTTP/2 stream as the server sees it. The layer above extends it, so that a request is one object, and may reuse it. */
import type { ByteQueue } from "./byte-queue.ts";
import type { Connection } from "./connection.ts";
import type { HeaderBlock } from "./header-block.ts";
import { STREAM_WINDOW_BYTES } from "./limits.ts";

export abstract class Http2Stream {
  /** The connection that opened it last. */
  connection!: Connection;
  id = 0;
  /** The client ended its side (END_STREAM). */
  remoteClosed = false;
  /** We ended ours: END_STREAM is written. */
  localClosed = false;
  /** No longer among the connection's streams; only {@link onClosed} follows. */
  closed = true;
  /** Bytes of DATA the client lets us send; negative after it shrank its window (RFC 9113 section 6.9.2). */
  sendWindow = 0;
  /** Bytes of DATA the client may still send. */
  receiveWindow = 0;
  /** Received since the last WINDOW_UPDATE. */
  unackedBytes = 0;
  /** The request's content-length, or -1, and the DATA so far. */
  contentLength = -1;
  receivedBytes = 0;
  /** DATA that waits for a window or the socket. Null until first needed. */
  pending: ByteQueue | null = null;
  /** Once {@link pending} is empty, {@link writeEnd} follows. */
  endWanted = false;
  /** Stands in the sender's ready list. If that is so when it closes, the object must not be used again. */
  queued = false;

  /** Prepares a new or used object for a request. */
  open(connection: Connection, id: number, sendWindow: number): void {
    this.connection = connection;
    this.id = id;
    this.remoteClosed = false;
    this.localClosed = false;
    this.closed = false;
    this.sendWindow = sendWindow;
    this.receiveWindow = STREAM_WINDOW_BYTES;
    this.unackedBytes = 0;
    this.contentLength = -1;
    this.receivedBytes = 0;
    this.pending = null;
    this.endWanted = false;
    this.queued = false;
  }

  /** DATA of this stream that waits. */
  get pendingLength(): number {
    return this.pending === null ? 0 : this.pending.length;
  }

  /** The request's headers. With `endStream` nothing follows. */
  abstract onRequest(headers: HeaderBlock, endStream: boolean): void;
  /** Request bytes, borrowed until return; may be empty. With `endStream` they were the last. */
  abstract onData(bytes: Uint8Array, start: number, end: number, endStream: boolean): void;
  /** The request ended with trailers. */
  abstract onTrailers(trailers: HeaderBlock): void;
  /** The stream ends early: reset by the client, by a stream error, or with its connection. */
  abstract onReset(errorCode: number): void;
  /** All pending DATA has left. */
  abstract onDrained(): void;
  /** Pending DATA has left and {@link endWanted} is set: write whatever ends the response. */
  abstract writeEnd(): void;
  /** The last call: the object may be used for another request, unless it is {@link queued}. */
  abstract onClosed(): void;
}
