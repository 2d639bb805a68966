/** A raw HTTP/2 client for tests: writes any bytes, and reads whole frames. Nothing in it shares code with the server's parser. */
import { connect } from "node:net";
import type { Socket } from "node:net";

/** One frame as received; `payload` is owned. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Builds a frame. */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

/** A header block of literals without indexing or Huffman. */
export function headerBlock(fields: readonly (readonly [string, string])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of fields) {
    parts.push(Buffer.of(0), literal(name), literal(value));
  }
  return Buffer.concat(parts);
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const rest = bytes.length - 127;
  const length: number[] = [127];
  let left = rest;
  for (; left >= 128; left >>>= 7) length.push((left & 127) | 128);
  length.push(left);
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** The headers of a gRPC request. */
export function grpcHeaders(path: string, extra: readonly (readonly [string, string])[] = []): Buffer {
  return headerBlock([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "test"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...extra,
  ]);
}

/** A gRPC message with its prefix. */
export function grpcMessage(body: Uint8Array | string, flag = 0): Buffer {
  const bytes = Buffer.from(body as string);
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

/** Bytes of a 32-bit number. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export class Http2Peer {
  readonly socket: Socket;
  /** Every frame so far. */
  readonly frames: Frame[] = [];
  closed = false;
  #rest: Buffer = Buffer.alloc(0);
  #waiters: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
  }

  /** Connects; with `handshake` the preface and empty SETTINGS are sent. */
  static async connect(port: number, handshake = true): Promise<Http2Peer> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    const peer = new Http2Peer(socket);
    if (handshake) peer.write(PREFACE, frame(4, 0, 0));
    return peer;
  }

  write(...parts: Uint8Array[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(parts));
  }

  /** Sends a whole unary request. */
  request(streamId: number, path: string, body: Uint8Array | string = ""): void {
    this.write(frame(1, 4, streamId, grpcHeaders(path)), frame(0, 1, streamId, grpcMessage(body)));
  }

  /** Resolves with the first frame, past or future, that matches; rejects when the connection closes without one. */
  async frame(matches: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.frames.find(matches);
      if (found !== undefined) return found;
      if (this.closed)
        throw new Error(
          `closed; frames: ${this.frames.map((each) => `${each.type}/${each.streamId}`).join(" ")}`,
        );
      await this.#change();
    }
  }

  /** Resolves with the error code and debug text of the first GOAWAY that is an error, once the server has closed. */
  async goaway(): Promise<{ code: number; text: string }> {
    const found = await this.frame((each) => each.type === 7);
    while (!this.closed) await this.#change();
    return { code: found.payload.readUInt32BE(4), text: found.payload.toString("latin1", 8) };
  }

  /** Resolves with the error code of the RST_STREAM of a stream. */
  async reset(streamId: number): Promise<number> {
    const found = await this.frame((each) => each.type === 3 && each.streamId === streamId);
    return found.payload.readUInt32BE(0);
  }

  /** Resolves when the server has handled everything written so far: a PING came back. Counts as a ping. */
  async roundTrip(): Promise<void> {
    const token = Buffer.from(`rt${String(this.frames.length).padStart(6, "0")}`, "latin1");
    this.write(frame(6, 0, 0, token));
    await this.frame((each) => each.type === 6 && each.flags === 1 && each.payload.equals(token));
  }

  close(): void {
    this.socket.destroy();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  #onData(chunk: Buffer): void {
    let rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (rest.length >= 9) {
      const end = 9 + rest.readUIntBE(0, 3);
      if (rest.length < end) break;
      const payload = Buffer.from(rest.subarray(9, end));
      this.frames.push({
        type: rest[3],
        flags: rest[4],
        streamId: rest.readUInt32BE(5) & 0x7fff_ffff,
        payload,
      });
      rest = rest.subarray(end);
    }
    this.#rest = rest;
    this.#wake();
  }
}
