/**
 * The state machine of one server-side HTTP/2 connection (RFC 9113). Bytes come in through {@link Connection.receive}; requests go to
 * {@link Http2Stream} objects; what is to be sent stands in the {@link OutputQueue}. The owner writes that to the socket, and calls
 * {@link Connection.onWritable} when the socket took it and {@link Connection.tick} now and then.
 *
 * A stream: idle -> open -> half-closed (remote) -> closed, or -> half-closed (local) -> closed; a stream that we finish first is
 * reset with NO_ERROR at once (section 8.1), so half-closed (local) never lasts. `header-frames.ts` puts header blocks together;
 * frames that carry no request: `control-frames.ts`.
 */
import { AbuseGuard } from "./abuse-guard.ts";
import { ControlFrames, type ControlledConnection } from "./control-frames.ts";
import { ClosedStreams, ENDED_BY_CLIENT, ENDED_BY_RESET } from "./closed-streams.ts";
import { FrameReader } from "./frame-reader.ts";
import type { FrameSink } from "./frame-reader.ts";
import type { HeaderBlock } from "./header-block.ts";
import { HeaderFrames, type HeaderSink } from "./header-frames.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import {
  DEFAULT_WINDOW_BYTES,
  ENHANCE_YOUR_CALM,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLOW_CONTROL_ERROR,
  FRAME_CONTINUATION,
  FRAME_DATA,
  FRAME_HEADERS,
  FRAME_SETTINGS,
  FRAME_SIZE_ERROR,
  INT31_MAX,
  NO_ERROR,
  PROTOCOL_ERROR,
  REFUSED_STREAM,
  SETTING_INITIAL_WINDOW_SIZE,
  SETTING_MAX_CONCURRENT_STREAMS,
  SETTING_MAX_HEADER_LIST_SIZE,
  SETTINGS_TIMEOUT,
  STREAM_CLOSED,
} from "./http2.ts";
import { Keepalive, KEEPALIVE_DEAD, KEEPALIVE_SEND_PING } from "./keepalive.ts";
import type { KeepaliveLimits } from "./keepalive.ts";
import {
  CONCURRENT_STREAMS_MAX,
  CONNECTION_WINDOW_BYTES,
  FRAME_PAYLOAD_BYTES_MAX,
  HANDSHAKE_MS_MAX,
  HEADER_LIST_BYTES_MAX,
  OUTPUT_BYTES_MAX,
  PENDING_BYTES_HIGH,
  PENDING_BYTES_MAX,
  STREAM_WINDOW_BYTES,
} from "./limits.ts";
import type { OutputQueue } from "./output-queue.ts";
import { Sender } from "./sender.ts";
import type { PendingTotal } from "./sender.ts";
import type { Http2Stream } from "./stream.ts";

/** What a connection needs from its owner. */
export interface ConnectionOptions {
  readonly output: OutputQueue;
  /** Returns a stream object, new or used; the connection opens it. */
  readonly createStream: () => Http2Stream;
  readonly concurrentStreamsMax: number;
  readonly keepalive: KeepaliveLimits;
  /** Shared by the connections of a server. */
  readonly pendingTotal: PendingTotal;
  /** Monotonic time in ms, like every `nowMs` here. */
  readonly nowMs: number;
}

/** Payloads of the PINGs that we send, told apart when their acks come. */
const KEEPALIVE_PING = Uint8Array.of(0x6b, 0x65, 0x65, 0x70, 0x61, 0x6c, 0x69, 0x76);
const DRAIN_PING = Uint8Array.of(0x64, 0x72, 0x61, 0x69, 0x6e, 0x69, 0x6e, 0x67);

export class Connection implements FrameSink, HeaderSink, ControlledConnection {
  readonly output: OutputQueue;
  readonly encoder = new HpackEncoder();
  readonly sender: Sender;
  readonly keepalive: Keepalive;
  /** Streams that are not closed, by id. */
  readonly streams = new Map<number, Http2Stream>();
  /** No frame will be read any more, no stream is left; once the output is written the socket may close. */
  finished = false;
  /** Why the connection was given up: NO_ERROR unless by a connection error. */
  errorCode = NO_ERROR;
  errorText = "";
  readonly #options: ConnectionOptions;
  readonly #concurrentStreamsMax: number;
  readonly #reader: FrameReader;
  readonly #guard: AbuseGuard;
  readonly #closedStreams = new ClosedStreams();
  readonly #headers = new HeaderFrames(this);
  readonly #control = new ControlFrames(this);
  /** Highest stream id the client has used. */
  lastStreamId = 0;
  /** Streams beyond are no longer served: what our last GOAWAY said. */
  #goawayStreamId = INT31_MAX;
  #draining = false;
  readonly #startedMs: number;
  /** Time of the last call that told it. */
  nowMs: number;
  #receiveWindow = CONNECTION_WINDOW_BYTES;
  #unackedBytes = 0;
  #creditedDataFrames = 0;

  /** Writes our SETTINGS into the output. The client's preface has been read and is not passed to {@link receive}. */
  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.output = options.output;
    this.sender = new Sender(options.output, options.pendingTotal);
    this.#reader = new FrameReader(this);
    this.#guard = new AbuseGuard(options.nowMs);
    this.keepalive = new Keepalive(options.keepalive, options.nowMs);
    this.#startedMs = this.nowMs = options.nowMs;
    this.#concurrentStreamsMax = Math.min(options.concurrentStreamsMax, CONCURRENT_STREAMS_MAX);
    this.output.writeSettings([
      [SETTING_MAX_CONCURRENT_STREAMS, this.#concurrentStreamsMax],
      [SETTING_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES],
      [SETTING_MAX_HEADER_LIST_SIZE, HEADER_LIST_BYTES_MAX],
    ]);
    this.output.writeWindowUpdate(0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES);
  }

  /** Handles `chunk[start, end)`, borrowed until return. */
  receive(chunk: Uint8Array, start: number, end: number, nowMs: number): void {
    if (this.finished) return;
    this.nowMs = nowMs;
    this.keepalive.onRead(nowMs);
    this.#reader.read(chunk, start, end);
    if (this.finished) return;
    if (this.#unackedBytes >= CONNECTION_WINDOW_BYTES / 2) {
      this.output.writeWindowUpdate(0, this.#unackedBytes);
      this.#receiveWindow += this.#unackedBytes;
      this.#unackedBytes = 0;
    }
    this.onWritable();
  }

  /** The output has room again, or a window opened: sends what waited. */
  onWritable(): void {
    this.sender.pump();
    this.checkLimits();
  }

  /** Gives the connection up if what waits for the client has grown too large. The owner calls it before each write. */
  checkLimits(): void {
    if (this.finished) return;
    if (this.output.queuedBytes > OUTPUT_BYTES_MAX || this.sender.pendingBytes > PENDING_BYTES_MAX) {
      this.failSlowReader();
    }
  }

  /** Too much waits for this client. */
  failSlowReader(): void {
    this.fail(ENHANCE_YOUR_CALM, "client does not read");
  }

  /** Handshake, header block and keepalive timeouts. */
  tick(nowMs: number): void {
    if (this.finished) return;
    this.nowMs = nowMs;
    if (!this.#control.settingsSeen && nowMs - this.#startedMs > HANDSHAKE_MS_MAX) {
      this.fail(SETTINGS_TIMEOUT, "no SETTINGS");
    } else if (this.#headers.isOpenLonger(HANDSHAKE_MS_MAX, nowMs)) {
      this.fail(ENHANCE_YOUR_CALM, "header block not ended");
    } else {
      const action = this.keepalive.check(nowMs);
      if (action === KEEPALIVE_SEND_PING) this.output.writePing(0, KEEPALIVE_PING, 0);
      else if (action === KEEPALIVE_DEAD) this.fail(NO_ERROR, "keepalive timeout");
    }
  }

  /**
   * Begins a graceful end (section 6.8): the first GOAWAY refuses nothing, the second, a round trip later, names the last
   * stream served. The connection is {@link finished} when its streams are.
   */
  drain(): void {
    if (this.#draining || this.finished) return;
    this.#draining = true;
    this.output.writeGoaway(INT31_MAX, NO_ERROR, "");
    this.output.writePing(0, DRAIN_PING, 0);
    if (!this.#control.settingsSeen) this.#finishDrain();
  }

  /** A connection error: GOAWAY with ASCII `text`, then every stream ends. */
  fail(errorCode: number, text: string): void {
    if (this.finished) return;
    this.finished = true;
    this.errorCode = errorCode;
    this.errorText = text;
    this.output.writeGoaway(this.lastStreamId, errorCode, text);
    this.abortStreams(errorCode);
  }

  /** The socket is gone, or the time to drain is over: every stream ends without a word. */
  abortStreams(errorCode: number): void {
    this.finished = true;
    for (const stream of this.streams.values()) {
      stream.onReset(errorCode);
      this.#close(stream, ENDED_BY_RESET);
    }
  }

  /** Resets a stream from our side. The caller has told the stream's handler. */
  resetStream(stream: Http2Stream, errorCode: number): void {
    if (stream.closed) return;
    this.output.writeRstStream(stream.id, errorCode);
    this.#close(stream, ENDED_BY_RESET);
  }

  /**
   * Writes a header block of `stream` from the encoder's bytes, or any other bytes encoded for this connection.
   * With `endStream` the response is complete.
   */
  writeHeaders(stream: Http2Stream, block: Uint8Array, length: number, endStream: boolean): void {
    const output = this.output;
    this.keepalive.onResponse();
    const first = Math.min(length, FRAME_PAYLOAD_BYTES_MAX);
    const flags = (endStream ? FLAG_END_STREAM : 0) | (first === length ? FLAG_END_HEADERS : 0);
    output.beginFrame(first, FRAME_HEADERS, flags, stream.id);
    const target = output.bytes;
    let at = output.position;
    for (let i = 0; i < first; i++) target[at++] = block[i];
    output.position = at;
    for (let start = first; start < length; start += FRAME_PAYLOAD_BYTES_MAX) {
      const end = Math.min(length, start + FRAME_PAYLOAD_BYTES_MAX);
      output.beginFrame(end - start, FRAME_CONTINUATION, end === length ? FLAG_END_HEADERS : 0, stream.id);
      output.putBytes(block, start, end);
    }
    if (endStream) this.finishStream(stream);
  }

  /** Writes an empty DATA frame that ends the response. */
  writeEmptyEnd(stream: Http2Stream): void {
    this.output.beginFrame(0, FRAME_DATA, FLAG_END_STREAM, stream.id);
    this.finishStream(stream);
  }

  /** END_STREAM is written. Asks the client to stop if it has not ended its side (section 8.1). */
  finishStream(stream: Http2Stream): void {
    stream.localClosed = true;
    if (stream.remoteClosed) {
      this.#guard.creditAnswer();
      this.#close(stream, ENDED_BY_CLIENT);
    } else {
      this.resetStream(stream, NO_ERROR);
    }
  }

  // FrameSink

  onOversizedFrame(): void {
    this.fail(FRAME_SIZE_ERROR, "frame too long");
  }

  onFrame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    const openStreamId = this.#headers.openStreamId;
    if (!this.#control.settingsSeen && (type !== FRAME_SETTINGS || (flags & FLAG_ACK) !== 0)) {
      this.fail(PROTOCOL_ERROR, "first frame is not SETTINGS");
    } else if (openStreamId !== 0 && (type !== FRAME_CONTINUATION || streamId !== openStreamId)) {
      this.fail(PROTOCOL_ERROR, "header block interrupted");
    } else if (type === FRAME_DATA) {
      this.#onData(flags, streamId, bytes, start, end);
    } else if (type === FRAME_HEADERS) {
      this.#headers.begin(flags, streamId, bytes, start, end);
    } else if (type === FRAME_CONTINUATION) {
      this.#headers.continue(flags, bytes, start, end);
    } else {
      this.#control.receive(type, flags, streamId, bytes, start, end);
    }
    return !this.finished;
  }

  // DATA (section 6.1)

  #onData(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    // Padding counts for flow control, the padded length included.
    const length = end - start;
    if (length > this.#receiveWindow) return this.fail(FLOW_CONTROL_ERROR, "connection window exceeded");
    this.#receiveWindow -= length;
    this.#unackedBytes += length;
    if ((flags & FLAG_PADDED) !== 0) {
      if (length === 0 || bytes[start] >= length) return this.fail(PROTOCOL_ERROR, "padding too long");
      end -= bytes[start];
      start++;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) return this.#onStrayFrame(streamId, false);
    if (stream.remoteClosed) return this.streamError(stream, STREAM_CLOSED);
    const endStream = (flags & FLAG_END_STREAM) !== 0;
    if (length > stream.receiveWindow) return this.streamError(stream, FLOW_CONTROL_ERROR);
    stream.receivedBytes += end - start;
    if (stream.contentLength >= 0 && !this.#contentLengthHolds(stream, endStream)) {
      return this.streamError(stream, PROTOCOL_ERROR);
    }
    if (endStream) stream.remoteClosed = true;
    else this.#countStreamData(stream, length, end === start);
    if (!this.finished) stream.onData(bytes, start, end, endStream);
  }

  /** Coalesces the stream's WINDOW_UPDATE: one for each half window. */
  #countStreamData(stream: Http2Stream, length: number, empty: boolean): void {
    if (empty) this.chargeIdleFrame();
    stream.receiveWindow -= length;
    stream.unackedBytes += length;
    if (stream.unackedBytes < STREAM_WINDOW_BYTES / 2) return;
    this.output.writeWindowUpdate(stream.id, stream.unackedBytes);
    stream.receiveWindow += stream.unackedBytes;
    stream.unackedBytes = 0;
  }

  #contentLengthHolds(stream: Http2Stream, endStream: boolean): boolean {
    return endStream
      ? stream.receivedBytes === stream.contentLength
      : stream.receivedBytes <= stream.contentLength;
  }

  // Requests and trailers (section 8.1)

  onHeaderBlock(streamId: number, endStream: boolean, selfDependent: boolean, block: HeaderBlock): void {
    if (streamId > this.lastStreamId) {
      this.lastStreamId = streamId;
      return this.#openStream(streamId, endStream, selfDependent, block);
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) return this.#onStrayFrame(streamId, true);
    this.#onTrailers(stream, endStream, block);
  }

  #openStream(streamId: number, endStream: boolean, selfDependent: boolean, block: HeaderBlock): void {
    if (streamId > this.#goawayStreamId || this.streams.size >= this.#concurrentStreamsMax) {
      return this.refuse(streamId, REFUSED_STREAM);
    }
    if (this.sender.pendingBytes > PENDING_BYTES_HIGH) return this.refuse(streamId, ENHANCE_YOUR_CALM);
    if (block.tooLarge) return this.refuse(streamId, ENHANCE_YOUR_CALM);
    if (selfDependent || !block.isRequest()) return this.refuse(streamId, PROTOCOL_ERROR);
    if (endStream && block.contentLength > 0) return this.refuse(streamId, PROTOCOL_ERROR);
    const stream = this.#options.createStream();
    stream.open(this, streamId, this.sender.initialWindow);
    stream.contentLength = block.contentLength;
    stream.remoteClosed = endStream;
    this.streams.set(streamId, stream);
    stream.onRequest(block, endStream);
  }

  #onTrailers(stream: Http2Stream, endStream: boolean, block: HeaderBlock): void {
    if (stream.remoteClosed) return this.streamError(stream, STREAM_CLOSED);
    if (block.tooLarge) return this.streamError(stream, ENHANCE_YOUR_CALM);
    if (!endStream || !block.isTrailers()) return this.streamError(stream, PROTOCOL_ERROR);
    if (stream.contentLength >= 0 && !this.#contentLengthHolds(stream, true)) {
      return this.streamError(stream, PROTOCOL_ERROR);
    }
    stream.remoteClosed = true;
    stream.onTrailers(block);
  }

  // Errors and ends

  /** DATA or HEADERS for a stream that is not open (section 5.1). */
  #onStrayFrame(streamId: number, isHeaders: boolean): void {
    if (streamId === 0) return this.fail(PROTOCOL_ERROR, "frame needs a stream");
    if (streamId > this.lastStreamId) return this.fail(PROTOCOL_ERROR, "DATA on an idle stream");
    const end = this.#closedStreams.endOf(streamId);
    if (end === ENDED_BY_RESET) return this.chargeIdleFrame();
    if (!isHeaders) return this.refuse(streamId, STREAM_CLOSED);
    if (end === ENDED_BY_CLIENT) this.fail(STREAM_CLOSED, "HEADERS on a closed stream");
    else this.fail(PROTOCOL_ERROR, "stream ids must grow");
  }

  /** A stream error (section 5.4.2): its handler learns of it, and the client gets a RST_STREAM. */
  streamError(stream: Http2Stream, errorCode: number): void {
    if (!this.chargeReset()) return;
    stream.onReset(errorCode);
    this.resetStream(stream, errorCode);
  }

  /** Resets a stream that has no object. */
  refuse(streamId: number, errorCode: number): void {
    if (!this.chargeReset()) return;
    this.#closedStreams.remember(streamId, ENDED_BY_RESET);
    this.output.writeRstStream(streamId, errorCode);
  }

  /** Counts a reset, from either side. False: there are too many, and the connection has failed. */
  chargeReset(): boolean {
    if (this.#guard.allowReset(this.nowMs)) return true;
    this.fail(ENHANCE_YOUR_CALM, "too many resets");
    return false;
  }

  /** Counts a frame that moves nothing; too many fail the connection. */
  chargeIdleFrame(): void {
    const frames = this.sender.dataFrames - this.#creditedDataFrames;
    if (frames > 0) {
      this.#guard.creditData(frames);
      this.#creditedDataFrames = this.sender.dataFrames;
    }
    if (!this.#guard.allowIdleFrame(this.nowMs)) this.fail(ENHANCE_YOUR_CALM, "too many idle frames");
  }

  #close(stream: Http2Stream, end: number): void {
    stream.closed = true;
    this.sender.forget(stream);
    this.streams.delete(stream.id);
    this.#closedStreams.remember(stream.id, end);
    stream.onClosed();
    if (this.#draining && this.#goawayStreamId !== INT31_MAX && this.streams.size === 0) this.finished = true;
  }

  /** A PING of ours came back: of a drain, which then names the last stream served. */
  onPingAck(payload: number): void {
    if (this.#draining && payload === DRAIN_PING[0]) this.#finishDrain();
  }

  /** RST_STREAM from the client. */
  onClientReset(stream: Http2Stream, errorCode: number): void {
    stream.onReset(errorCode);
    this.#close(stream, ENDED_BY_CLIENT);
  }

  #finishDrain(): void {
    if (this.#goawayStreamId !== INT31_MAX) return;
    this.#goawayStreamId = this.lastStreamId;
    this.output.writeGoaway(this.lastStreamId, NO_ERROR, "");
    if (this.streams.size === 0) this.finished = true;
  }
}
