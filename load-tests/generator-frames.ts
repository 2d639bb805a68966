/** The few HTTP/2 frames that the load generator writes (RFC 9113), and its request header blocks (RFC 7541). */

export const FrameType = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const FRAME_HEADER_BYTES = 9;
export const FLAG_END_STREAM = 0x01;
export const FLAG_ACK = 0x01;
export const FLAG_END_HEADERS = 0x04;
export const FLAG_PADDED = 0x08;
export const FLAG_PRIORITY = 0x20;
export const SETTING_INITIAL_WINDOW_SIZE = 4;
export const SETTING_MAX_CONCURRENT_STREAMS = 3;
export const WINDOW_BYTES_MAX = 0x7fff_ffff;
export const WINDOW_BYTES_DEFAULT = 65_535;

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
// RFC 7541 Appendix A.
const STATIC_METHOD_POST = 3;
const STATIC_SCHEME_HTTP = 6;
const STATIC_AUTHORITY = 1;
const STATIC_PATH = 4;
const STATIC_CONTENT_TYPE = 31;
const STATIC_ENTRIES = 61;

/** Writes a frame header at `target[at]`. */
export function writeFrameHeader(
  target: Buffer,
  at: number,
  frame: { length: number; type: number; flags: number; streamId: number },
): void {
  target.writeUIntBE(frame.length, at, 3);
  target[at + 3] = frame.type;
  target[at + 4] = frame.flags;
  target.writeUInt32BE(frame.streamId, at + 5);
}

/** A whole frame. */
export function frameOf(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  writeFrameHeader(frame, 0, { length: payload.length, type, flags, streamId });
  payload.copy(frame, FRAME_HEADER_BYTES);
  return frame;
}

/** What a client says first: preface, its stream window, and a connection window of `connectionWindow` bytes. */
export function opening(streamWindow: number, connectionWindow: number): Buffer {
  const settings = Buffer.alloc(6);
  settings.writeUInt16BE(SETTING_INITIAL_WINDOW_SIZE, 0);
  settings.writeUInt32BE(streamWindow, 2);
  const parts = [PREFACE, frameOf(FrameType.settings, 0, 0, settings)];
  if (connectionWindow > WINDOW_BYTES_DEFAULT)
    parts.push(windowUpdate(0, connectionWindow - WINDOW_BYTES_DEFAULT));
  return Buffer.concat(parts);
}

export function windowUpdate(streamId: number, increment: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(increment, 0);
  return frameOf(FrameType.windowUpdate, 0, streamId, payload);
}

/**
 * Header blocks of one connection's requests. Every field is put into the server's dynamic table once, as usual clients do, so
 * that a request's block is 7 bytes from then on.
 */
export class RequestHeaders {
  readonly #authority: string;
  /** Number of the insertion of each field, counted from 1. */
  readonly #inserted = new Map<string, number>();

  constructor(authority: string) {
    this.#authority = authority;
  }

  /** Entries that the server's table holds by now. */
  get entries(): number {
    return this.#inserted.size;
  }

  block(path: string): Buffer {
    return Buffer.concat([
      Buffer.of(0x80 | STATIC_METHOD_POST, 0x80 | STATIC_SCHEME_HTTP),
      this.#field(STATIC_PATH, "", path),
      this.#field(STATIC_AUTHORITY, "", this.#authority),
      this.#field(STATIC_CONTENT_TYPE, "", "application/grpc"),
      this.#field(0, "te", "trailers"),
    ]);
  }

  #field(staticName: number, name: string, value: string): Buffer {
    const field = `${staticName}:${name}:${value}`;
    const insertion = this.#inserted.get(field);
    if (insertion !== undefined)
      return Buffer.of(0x80 | (STATIC_ENTRIES + 1 + this.#inserted.size - insertion));
    this.#inserted.set(field, this.#inserted.size + 1);
    // Literal with incremental indexing; without Huffman, all strings are short.
    const nameBytes = staticName === 0 ? [Buffer.of(name.length), Buffer.from(name)] : [];
    return Buffer.concat([
      Buffer.of(0x40 | staticName),
      ...nameBytes,
      Buffer.of(value.length),
      Buffer.from(value),
    ]);
  }
}
