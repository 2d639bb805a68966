/**
 * A gRPC client connection made for load: calls over HTTP/2 frames on a socket, a few microseconds of CPU a call, so that
 * on a small machine the servers are measured and not the client. It checks grpc-status of every answer. Streaming calls are
 * in generator-stream.ts.
 *
 * Not for anything else: it trusts its server, knows no CONTINUATION, and leaves the send window of a unary call's stream out of
 * account (a request must fit into the server's initial one).
 */
import { connect, type Socket } from "node:net";
import { HpackDecoder } from "../src/http2/hpack-decoder.ts";
import type { HeaderBlock } from "../src/http2/header-block.ts";
import {
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLAG_PRIORITY,
  FRAME_HEADER_BYTES,
  frameOf,
  FrameType,
  opening,
  RequestHeaders,
  SETTING_INITIAL_WINDOW_SIZE,
  windowUpdate,
  WINDOW_BYTES_DEFAULT,
  WINDOW_BYTES_MAX,
  writeFrameHeader,
} from "./generator-frames.ts";
import { LoadStream, type StreamReader, type StreamWire } from "./generator-stream.ts";
import type { RequestBody } from "./requests.ts";

// The default SETTINGS_INITIAL_WINDOW_SIZE is one byte less than this.
const REQUEST_BYTES_MAX = 65_535;
// The default SETTINGS_MAX_FRAME_SIZE.
const FRAME_PAYLOAD_BYTES_MAX = 16_384;
// The connection window is opened again when this much of it is used.
const WINDOW_REFILL_BYTES = 1 << 30;
const WRITE_BUFFER_BYTES = 256 * 1024;

/** Who sent a call and gets its answer. One object may send call after call. */
export interface Caller {
  /** A piece of the response body, gRPC prefix included; borrowed. */
  onData(bytes: Buffer, start: number, end: number): void;
  /** The call is over with a gRPC status. */
  onEnd(grpcStatus: string): void;
}

/** How a connection reads. */
export interface ConnectionOptions {
  /** Window of each stream; the largest unless given. A small one lets a client stop reading in the middle. */
  readonly streamWindow?: number;
}

/** One connection. Errors of it reject {@link closed}. */
export class LoadConnection {
  /** Rejects if the connection breaks; resolves after {@link close}. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #headers: RequestHeaders;
  readonly #blocks = new Map<string, Buffer>();
  readonly #wire: StreamWire;
  readonly #decoder = new HpackDecoder();
  readonly #calls = new Map<number, Caller>();
  readonly #streams = new Map<number, LoadStream>();
  #nextStream = 1;
  #sendWindow = WINDOW_BYTES_DEFAULT;
  #streamWindow = WINDOW_BYTES_DEFAULT;
  #received = 0;
  /** Calls that wait for the server to open the connection's window. */
  readonly #waiting: Array<{ request: RequestBody; caller: Caller }> = [];
  #out = Buffer.allocUnsafe(WRITE_BUFFER_BYTES);
  #outBytes = 0;
  #flushPlanned = false;
  #partial: Buffer = Buffer.alloc(0);
  #fail: (error: Error) => void = () => undefined;
  #closing = false;

  private constructor(socket: Socket, authority: string, options: ConnectionOptions) {
    this.#socket = socket;
    this.#headers = new RequestHeaders(authority);
    this.#wire = this.#makeWire();
    socket.setNoDelay(true);
    this.closed = new Promise((resolve, reject) => {
      this.#fail = (error) => reject(new Error(`${authority}: ${error.message}`, { cause: error }));
      socket.on("error", (error) => (this.#closing ? resolve() : this.#fail(error)));
      socket.on("close", () =>
        this.#closing ? resolve() : this.#fail(new Error("the server closed the connection")),
      );
    });
    this.closed.catch(() => undefined);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.write(opening(options.streamWindow ?? WINDOW_BYTES_MAX, WINDOW_BYTES_MAX));
  }

  /** Connects to `host:port`. */
  static open(address: string, options: ConnectionOptions = {}): Promise<LoadConnection> {
    const [host, port] = address.split(":") as [string, string];
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), host);
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new LoadConnection(socket, address, options));
      });
    });
  }

  /** Sends a call, or keeps it until the server's window allows it. */
  send(request: RequestBody, caller: Caller): void {
    const bytes = request.body.length;
    if (bytes > REQUEST_BYTES_MAX || bytes > this.#streamWindow)
      throw new Error(`a request of ${bytes} bytes is too long`);
    if (this.#waiting.length > 0 || bytes > this.#sendWindow) this.#waiting.push({ request, caller });
    else this.#write(request, caller);
  }

  /** Opens a streaming call; what is sent on it waits for the server's windows. */
  openStream(path: string, reader: StreamReader): LoadStream {
    const id = this.#nextStream;
    this.#nextStream += 2;
    const stream = new LoadStream({ id, window: this.#streamWindow, wire: this.#wire, reader });
    this.#calls.set(id, stream);
    this.#streams.set(id, stream);
    const block = this.#block(path);
    this.#reserve(FRAME_HEADER_BYTES + block.length);
    this.#frame(FrameType.headers, FLAG_END_HEADERS, id, block, 0, block.length);
    this.#planFlush();
    return stream;
  }

  /** Reads no more from the socket: the server sees a full receive buffer, then closed windows. */
  stopReading(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#closing = true;
    this.#socket.destroy();
  }

  #makeWire(): StreamWire {
    const sendWindow = (): number => this.#sendWindow;
    return {
      get sendWindow() {
        return sendWindow();
      },
      sendData: (streamId, flags, bytes, start, end) => {
        this.#sendWindow -= end - start;
        this.#reserve(FRAME_HEADER_BYTES + end - start);
        this.#frame(FrameType.data, flags, streamId, bytes, start, end);
        this.#planFlush();
      },
      openWindow: (streamId, bytes) => this.#socket.write(windowUpdate(streamId, bytes)),
    };
  }

  #write(request: RequestBody, caller: Caller): void {
    const { path, body } = request;
    const streamId = this.#nextStream;
    this.#nextStream += 2;
    this.#calls.set(streamId, caller);
    this.#sendWindow -= body.length;
    const block = this.#block(path);
    this.#reserve(FRAME_HEADER_BYTES * 8 + block.length + body.length);
    this.#frame(FrameType.headers, FLAG_END_HEADERS, streamId, block, 0, block.length);
    let at = 0;
    do {
      const end = Math.min(at + FRAME_PAYLOAD_BYTES_MAX, body.length);
      this.#frame(FrameType.data, end === body.length ? FLAG_END_STREAM : 0, streamId, body, at, end);
      at = end;
    } while (at < body.length);
    this.#planFlush();
  }

  /** The first block of a path teaches the server's table; the second one refers to it and is good for ever. */
  #block(path: string): Buffer {
    const known = this.#blocks.get(path);
    if (known !== undefined) return known;
    const { entries } = this.#headers;
    const teaching = this.#headers.block(path);
    // New entries shift the indices of older ones.
    if (this.#headers.entries !== entries) this.#blocks.clear();
    this.#blocks.set(path, this.#headers.block(path));
    return teaching;
  }

  #frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    writeFrameHeader(this.#out, this.#outBytes, { length: end - start, type, flags, streamId });
    this.#outBytes +=
      FRAME_HEADER_BYTES + bytes.copy(this.#out, this.#outBytes + FRAME_HEADER_BYTES, start, end);
  }

  #reserve(bytes: number): void {
    if (this.#outBytes + bytes > this.#out.length) this.#flush();
  }

  #planFlush(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    queueMicrotask(() => {
      this.#flushPlanned = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#outBytes === 0) return;
    this.#socket.write(Buffer.from(this.#out.subarray(0, this.#outBytes)));
    this.#outBytes = 0;
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#partial.length === 0 ? chunk : Buffer.concat([this.#partial, chunk]);
    let at = 0;
    while (at + FRAME_HEADER_BYTES <= bytes.length) {
      const length = bytes.readUIntBE(at, 3);
      const end = at + FRAME_HEADER_BYTES + length;
      if (end > bytes.length) break;
      this.#onFrame(bytes, at, end);
      at = end;
    }
    this.#partial = at === bytes.length ? EMPTY : bytes.subarray(at);
  }

  #onFrame(bytes: Buffer, at: number, end: number): void {
    const [type, flags] = [bytes[at + 3], bytes[at + 4]];
    const streamId = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
    const start = at + FRAME_HEADER_BYTES;
    switch (type) {
      case FrameType.data:
        return this.#onData(streamId, flags, bytes, start, end);
      case FrameType.headers:
        return this.#onHeaders(streamId, flags, bytes, start, end);
      case FrameType.settings:
        return this.#onSettings(flags, bytes, start, end);
      case FrameType.windowUpdate:
        return this.#onWindow(streamId, bytes.readUInt32BE(start) & 0x7fff_ffff);
      case FrameType.ping:
        return flags & FLAG_ACK ? undefined : this.#answerPing(bytes.subarray(start, end));
      case FrameType.rstStream:
        return this.#finish(streamId, `RST_STREAM ${bytes.readUInt32BE(start)}`);
      case FrameType.goAway:
        return this.#fail(new Error(`GOAWAY ${bytes.toString("latin1", start + 8, end)}`));
      case FrameType.continuation:
        return this.#fail(new Error("CONTINUATION is beyond this client"));
      default:
        return undefined;
    }
  }

  #onData(streamId: number, flags: number, bytes: Buffer, start: number, end: number): void {
    this.#received += end - start;
    if (this.#received > WINDOW_REFILL_BYTES) {
      this.#socket.write(windowUpdate(0, this.#received));
      this.#received = 0;
    }
    const padding = flags & FLAG_PADDED ? bytes[start] + 1 : 0;
    this.#calls
      .get(streamId)
      ?.onData(bytes, padding > 0 ? start + 1 : start, padding > 0 ? end - padding + 1 : end);
    if (flags & FLAG_END_STREAM) this.#finish(streamId, "no trailers");
  }

  #onHeaders(streamId: number, flags: number, bytes: Buffer, start: number, end: number): void {
    if (!(flags & FLAG_END_HEADERS))
      return this.#fail(new Error("a header block in several frames is beyond this client"));
    let from = start;
    let to = end;
    if (flags & FLAG_PADDED) to -= bytes[from++];
    if (flags & FLAG_PRIORITY) from += 5;
    const block = this.#decoder.decode(bytes, from, to);
    if (block === null) return this.#fail(new Error("the server's header block cannot be decoded"));
    if (flags & FLAG_END_STREAM) this.#finish(streamId, grpcStatus(block));
  }

  #onSettings(flags: number, bytes: Buffer, start: number, end: number): void {
    if (flags & FLAG_ACK) return;
    for (let at = start; at < end; at += 6) {
      if (bytes.readUInt16BE(at) !== SETTING_INITIAL_WINDOW_SIZE) continue;
      // Holds for streams that are open, too (RFC 9113, section 6.9.2).
      const change = bytes.readUInt32BE(at + 2) - this.#streamWindow;
      this.#streamWindow += change;
      for (const stream of this.#streams.values()) stream.addWindow(change);
    }
    this.#socket.write(frameOf(FrameType.settings, FLAG_ACK, 0, EMPTY));
  }

  #onWindow(streamId: number, increment: number): void {
    if (streamId !== 0) return this.#streams.get(streamId)?.addWindow(increment);
    this.#sendWindow += increment;
    for (const stream of this.#streams.values()) stream.pump();
    while (
      this.#waiting.length > 0 &&
      (this.#waiting[0] as { request: RequestBody }).request.body.length <= this.#sendWindow
    ) {
      const { request, caller } = this.#waiting.shift() as { request: RequestBody; caller: Caller };
      this.#write(request, caller);
    }
  }

  #answerPing(payload: Buffer): void {
    this.#socket.write(frameOf(FrameType.ping, FLAG_ACK, 0, payload));
  }

  #finish(streamId: number, status: string): void {
    const caller = this.#calls.get(streamId);
    this.#calls.delete(streamId);
    this.#streams.delete(streamId);
    caller?.onEnd(status);
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

/** "0", or the status with its message. Kept with the block, which the decoder's cache gives again for the same bytes. */
function grpcStatus(block: HeaderBlock): string {
  if (typeof block.memo === "string") return block.memo;
  const find = (name: string): string | undefined => block.fields.find((field) => field.name === name)?.value;
  const status = find("grpc-status") ?? "missing";
  block.memo = status === "0" ? status : `${status} ${find("grpc-message") ?? ""}`;
  return block.memo as string;
}
