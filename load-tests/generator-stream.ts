/** A streaming call of the load generator: messages both ways, with flow control in both directions. */
import type { Caller } from "./generator-connection.ts";
import { FLAG_END_STREAM } from "./generator-frames.ts";

// The default SETTINGS_MAX_FRAME_SIZE.
const FRAME_PAYLOAD_BYTES_MAX = 16_384;
// The stream's window is opened again when this much of it is used: a quarter of the largest one.
const WINDOW_REFILL_BYTES = 1 << 29;
const PREFIX_BYTES = 5;

/** Who reads a stream. */
export interface StreamReader {
  /** One message of the answer, without its gRPC prefix; borrowed. */
  onMessage(bytes: Buffer, start: number, end: number): void;
  /** The stream is over with a gRPC status. */
  onEnd(grpcStatus: string): void;
}

/** What a stream needs of its connection. */
export interface StreamWire {
  /** Bytes that the connection's window lets through now. */
  readonly sendWindow: number;
  sendData(streamId: number, flags: number, bytes: Buffer, start: number, end: number): void;
  openWindow(streamId: number, bytes: number): void;
}

/** One streaming call, opened by `LoadConnection.openStream`. */
export class LoadStream implements Caller {
  readonly id: number;
  readonly #wire: StreamWire;
  readonly #messages: MessageSplitter;
  readonly #reader: StreamReader;
  #window: number;
  /** What the windows did not let through yet, and how much of its first is sent. */
  readonly #queue: Buffer[] = [];
  #queueAt = 0;
  #headSent = 0;
  #received = 0;

  constructor(options: { id: number; window: number; wire: StreamWire; reader: StreamReader }) {
    this.id = options.id;
    this.#window = options.window;
    this.#wire = options.wire;
    this.#reader = options.reader;
    this.#messages = new MessageSplitter(options.reader);
  }

  /** Sends bytes that already carry their gRPC prefix (several messages are welcome); owned by the stream from now on. */
  send(body: Buffer): void {
    this.#queue.push(body);
    this.pump();
  }

  /** Half-closes the stream; everything must have been sent. */
  end(): void {
    this.#wire.sendData(this.id, FLAG_END_STREAM, EMPTY, 0, 0);
  }

  /** The server allows more bytes (or fewer, after a SETTINGS frame). */
  addWindow(bytes: number): void {
    this.#window += bytes;
    this.pump();
  }

  /** Sends what the windows allow. */
  pump(): void {
    while (this.#queueAt < this.#queue.length) {
      const head = this.#queue[this.#queueAt];
      const room = Math.min(this.#window, this.#wire.sendWindow, FRAME_PAYLOAD_BYTES_MAX);
      if (room <= 0) return;
      const end = Math.min(this.#headSent + room, head.length);
      this.#window -= end - this.#headSent;
      this.#wire.sendData(this.id, 0, head, this.#headSent, end);
      this.#headSent = end;
      if (end === head.length) this.#dropHead();
    }
  }

  onData(bytes: Buffer, start: number, end: number): void {
    this.#received += end - start;
    if (this.#received > WINDOW_REFILL_BYTES) {
      this.#wire.openWindow(this.id, this.#received);
      this.#received = 0;
    }
    this.#messages.push(bytes, start, end);
  }

  onEnd(grpcStatus: string): void {
    this.#reader.onEnd(grpcStatus);
  }

  #dropHead(): void {
    this.#headSent = 0;
    this.#queueAt++;
    if (this.#queueAt < this.#queue.length) return;
    this.#queue.length = 0;
    this.#queueAt = 0;
  }
}

/** Cuts a body into messages. One that lies whole in a DATA frame is not copied. */
export class MessageSplitter {
  readonly #reader: Pick<StreamReader, "onMessage">;
  /** Begin of a message that goes on in the next frame, prefix included; of full length once the length is known. */
  #partial: Buffer = EMPTY;
  #partialBytes = 0;

  constructor(reader: Pick<StreamReader, "onMessage">) {
    this.#reader = reader;
  }

  /** A piece of the body; borrowed. */
  push(bytes: Buffer, start: number, end: number): void {
    let at = this.#partialBytes > 0 ? this.#complete(bytes, start, end) : start;
    while (end - at >= PREFIX_BYTES) {
      const messageEnd = at + PREFIX_BYTES + bytes.readUInt32BE(at + 1);
      if (messageEnd > end) break;
      this.#reader.onMessage(bytes, at + PREFIX_BYTES, messageEnd);
      at = messageEnd;
    }
    if (at < end) this.#keep(bytes, at, end);
  }

  /** Adds to the partial message. Returns where the next message begins. */
  #complete(bytes: Buffer, start: number, end: number): number {
    let at = start;
    if (this.#partialBytes < PREFIX_BYTES) {
      const taken = Math.min(PREFIX_BYTES - this.#partialBytes, end - at);
      const prefix = Buffer.concat([
        this.#partial.subarray(0, this.#partialBytes),
        bytes.subarray(at, at + taken),
      ]);
      at += taken;
      this.#partialBytes = 0;
      this.#keep(prefix, 0, prefix.length);
      if (this.#partialBytes < PREFIX_BYTES) return at;
    }
    const taken = Math.min(this.#partial.length - this.#partialBytes, end - at);
    bytes.copy(this.#partial, this.#partialBytes, at, at + taken);
    this.#partialBytes += taken;
    if (this.#partialBytes === this.#partial.length) {
      const message = this.#partial;
      this.#partial = EMPTY;
      this.#partialBytes = 0;
      this.#reader.onMessage(message, PREFIX_BYTES, message.length);
    }
    return at + taken;
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    const length = end - start >= PREFIX_BYTES ? PREFIX_BYTES + bytes.readUInt32BE(start + 1) : PREFIX_BYTES;
    this.#partial = Buffer.allocUnsafe(length);
    this.#partialBytes = bytes.copy(this.#partial, 0, start, end);
  }
}

const EMPTY: Buffer = Buffer.alloc(0);
