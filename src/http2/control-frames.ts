/**
 * The frames of a connection that carry no request: PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE and unknown ones
 * (RFC 9113, sections 5.5 and 6.3 to 6.9). Checks them and carries them out on the {@link ControlledConnection}; holds nothing but
 * what its own frames leave behind.
 */
import { readUint32 } from "./bytes.ts";
import type { HpackEncoder } from "./hpack-encoder.ts";
import {
  ENHANCE_YOUR_CALM,
  FLAG_ACK,
  FLOW_CONTROL_ERROR,
  FRAME_GOAWAY,
  FRAME_PING,
  FRAME_PRIORITY,
  FRAME_PUSH_PROMISE,
  FRAME_RST_STREAM,
  FRAME_SETTINGS,
  FRAME_SIZE_ERROR,
  FRAME_WINDOW_UPDATE,
  INT31_MAX,
  NO_ERROR,
  PROTOCOL_ERROR,
} from "./http2.ts";
import type { Keepalive } from "./keepalive.ts";
import type { OutputQueue } from "./output-queue.ts";
import { applySettings, type SettingsSink } from "./peer-settings.ts";
import type { Sender } from "./sender.ts";
import type { Http2Stream } from "./stream.ts";

/** What these frames act on. */
export interface ControlledConnection {
  readonly output: OutputQueue;
  readonly sender: Sender;
  readonly keepalive: Keepalive;
  readonly encoder: HpackEncoder;
  readonly streams: ReadonlyMap<number, Http2Stream>;
  readonly finished: boolean;
  /** Highest stream id the client has used. */
  readonly lastStreamId: number;
  readonly nowMs: number;
  fail(errorCode: number, text: string): void;
  /** A frame that moves nothing: a flood of them ends the connection. */
  chargeIdleFrame(): void;
  /** A reset, from either side: a flood of them ends the connection, and then this is false. */
  chargeReset(): boolean;
  /** A stream error: resets the stream. */
  streamError(stream: Http2Stream, errorCode: number): void;
  /** Resets a stream that has no object. */
  refuse(streamId: number, errorCode: number): void;
  /** The client reset a stream. */
  onClientReset(stream: Http2Stream, errorCode: number): void;
  /** The ack of a PING with this first byte. */
  onPingAck(payload: number): void;
}

export class ControlFrames implements SettingsSink {
  /** The client's first SETTINGS came. */
  settingsSeen = false;
  readonly #connection: ControlledConnection;
  /** DATA frames sent when the last PING came: grpc-go pings for each window's worth it receives, to measure the connection. */
  #dataFramesAtPing = 0;

  constructor(connection: ControlledConnection) {
    this.#connection = connection;
  }

  /** Handles one frame, of any type but DATA, HEADERS and CONTINUATION. */
  receive(
    type: number,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    switch (type) {
      case FRAME_WINDOW_UPDATE:
        return this.#onWindowUpdate(streamId, bytes, start, end);
      case FRAME_RST_STREAM:
        return this.#onRstStream(streamId, bytes, start, end);
      case FRAME_SETTINGS:
        return this.#onSettings(flags, streamId, bytes, start, end);
      case FRAME_PING:
        return this.#onPing(flags, streamId, bytes, start, end);
      case FRAME_PRIORITY:
        return this.#onPriority(streamId, bytes, start, end);
      case FRAME_GOAWAY:
        return this.#onGoaway(streamId, start, end);
      case FRAME_PUSH_PROMISE:
        return this.#connection.fail(PROTOCOL_ERROR, "PUSH_PROMISE from a client");
      default:
        // Section 5.5: unknown types are ignored, but not without end.
        this.#connection.chargeIdleFrame();
    }
  }

  #onPriority(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId === 0) return this.#connection.fail(PROTOCOL_ERROR, "PRIORITY on stream 0");
    const wrong = end - start !== 5 ? FRAME_SIZE_ERROR : selfDependency(streamId, bytes, start);
    if (wrong === NO_ERROR) return this.#connection.chargeIdleFrame();
    const stream = this.#connection.streams.get(streamId);
    if (stream === undefined) this.#connection.refuse(streamId, wrong);
    else this.#connection.streamError(stream, wrong);
  }

  #onRstStream(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 4) return this.#connection.fail(FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes");
    if (streamId === 0 || streamId > this.#connection.lastStreamId)
      return this.#connection.fail(PROTOCOL_ERROR, "RST_STREAM on an idle stream");
    if (!this.#connection.chargeReset()) return;
    const stream = this.#connection.streams.get(streamId);
    if (stream === undefined) return;
    this.#connection.onClientReset(stream, readUint32(bytes, start));
  }

  #onSettings(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId !== 0) return this.#connection.fail(PROTOCOL_ERROR, "SETTINGS on a stream");
    if ((flags & FLAG_ACK) !== 0) {
      if (start !== end) this.#connection.fail(FRAME_SIZE_ERROR, "SETTINGS ack with a payload");
      else this.#connection.chargeIdleFrame();
      return;
    }
    if ((end - start) % 6 !== 0)
      return this.#connection.fail(FRAME_SIZE_ERROR, "SETTINGS is not a multiple of 6 bytes");
    const error = applySettings(bytes, start, end, this);
    if (error !== NO_ERROR) return this.#connection.fail(error, "bad setting");
    this.settingsSeen = true;
    this.#connection.output.writeSettingsAck();
    this.#connection.sender.pump();
    this.#connection.chargeIdleFrame();
  }

  onHeaderTableSize(bytes: number): void {
    this.#connection.encoder.setTableBytesMax(bytes);
  }

  onInitialWindow(bytes: number): boolean {
    return this.#connection.sender.setInitialWindow(bytes, this.#connection.streams.values());
  }

  #onPing(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId !== 0) return this.#connection.fail(PROTOCOL_ERROR, "PING on a stream");
    if (end - start !== 8) return this.#connection.fail(FRAME_SIZE_ERROR, "PING is not 8 bytes");
    this.#connection.chargeIdleFrame();
    if (this.#connection.finished) return;
    if ((flags & FLAG_ACK) === 0) {
      this.#connection.output.writePing(FLAG_ACK, bytes, start);
      if (this.#connection.sender.dataFrames !== this.#dataFramesAtPing)
        this.#connection.keepalive.onResponse();
      this.#dataFramesAtPing = this.#connection.sender.dataFrames;
      if (!this.#connection.keepalive.allowPing(this.#connection.nowMs, this.#connection.streams.size))
        this.#connection.fail(ENHANCE_YOUR_CALM, "too_many_pings");
    } else {
      this.#connection.onPingAck(bytes[start]);
    }
  }

  #onGoaway(streamId: number, start: number, end: number): void {
    if (streamId !== 0) return this.#connection.fail(PROTOCOL_ERROR, "GOAWAY on a stream");
    if (end - start < 8) return this.#connection.fail(FRAME_SIZE_ERROR, "GOAWAY is too short");
    // The client opens no more streams; those in progress are served, and the client closes the socket.
    this.#connection.chargeIdleFrame();
  }

  #onWindowUpdate(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 4) return this.#connection.fail(FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 bytes");
    this.#connection.chargeIdleFrame();
    if (this.#connection.finished) return;
    const increment = readUint32(bytes, start) & INT31_MAX;
    if (streamId === 0) {
      if (increment === 0) this.#connection.fail(PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
      else if (!this.#connection.sender.widen(increment))
        this.#connection.fail(FLOW_CONTROL_ERROR, "connection window overflow");
      return;
    }
    if (streamId > this.#connection.lastStreamId)
      return this.#connection.fail(PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream");
    const stream = this.#connection.streams.get(streamId);
    if (stream === undefined) return;
    if (increment === 0) this.#connection.streamError(stream, PROTOCOL_ERROR);
    else if (!this.#connection.sender.widenStream(stream, increment))
      this.#connection.streamError(stream, FLOW_CONTROL_ERROR);
  }
}

/** RFC 7540 section 5.3.1; RFC 9113 drops priorities, and clients that still send them must not contradict themselves. */
function selfDependency(streamId: number, bytes: Uint8Array, start: number): number {
  return (readUint32(bytes, start) & INT31_MAX) === streamId ? PROTOCOL_ERROR : NO_ERROR;
}
