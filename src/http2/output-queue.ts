/**
 * Bytes of one connection on their way to its socket: frames are written here in order, and leave in whole chunks, one socket
 * write for all that is ready. Chunks come from a pool and go back to it only when the socket is done with them.
 *
 * ```
 *   frames -> [full][full][current..] --take()--> in flight --written()--> pool
 * ```
 */
import { copyBytes } from "../base/copy-bytes.ts";
import { assert } from "../base/assert.ts";
import { writeUint32 } from "./bytes.ts";
import {
  FLAG_ACK,
  FRAME_GOAWAY,
  FRAME_HEADER_BYTES,
  FRAME_PING,
  FRAME_RST_STREAM,
  FRAME_SETTINGS,
  FRAME_WINDOW_UPDATE,
} from "./http2.ts";
import { OUTPUT_CHUNK_BYTES } from "./limits.ts";

/** Chunks kept for reuse: 16 MiB for a whole server. More may exist; they are left to the garbage collector. */
const POOLED_CHUNKS_MAX = 256;

/** Output chunks shared by the connections of one thread. */
export class ChunkPool {
  readonly #free: Uint8Array[] = [];
  readonly #allocate: (bytes: number) => Uint8Array;

  /** `allocate` makes one chunk; its content may be anything (`Buffer.allocUnsafeSlow` where there is Node). */
  constructor(allocate: (bytes: number) => Uint8Array) {
    this.#allocate = allocate;
  }

  acquire(): Uint8Array {
    return this.#free.pop() ?? this.#allocate(OUTPUT_CHUNK_BYTES);
  }

  release(chunk: Uint8Array): void {
    if (this.#free.length < POOLED_CHUNKS_MAX) this.#free.push(chunk);
  }
}

const NO_CHUNK = new Uint8Array(0);

export class OutputQueue {
  /** The chunk being filled, and where. After {@link reserve} there is room at `position`. An idle connection holds none. */
  bytes: Uint8Array = NO_CHUNK;
  position = 0;
  readonly #pool: ChunkPool;
  /** Chunks filled before {@link bytes}, and how far. */
  #full: Uint8Array[] = [];
  #fullLengths: number[] = [];
  #fullBytes = 0;
  /** Chunks given to the socket, not yet written. */
  #inFlight: Uint8Array[] = [];
  #inFlightBytes = 0;

  constructor(pool: ChunkPool) {
    this.#pool = pool;
  }

  /** Bytes that wait here or in the socket. */
  get queuedBytes(): number {
    return this.#fullBytes + this.position + this.#inFlightBytes;
  }

  /** Bytes that {@link take} would hand out. */
  get readyBytes(): number {
    return this.#fullBytes + this.position;
  }

  /** Makes `length` contiguous bytes (at most OUTPUT_CHUNK_BYTES) writable at {@link position}; the caller then advances it. */
  reserve(length: number): void {
    if (this.position + length <= this.bytes.length) return;
    assert(length <= OUTPUT_CHUNK_BYTES, "frame longer than an output chunk", length);
    if (this.position > 0) {
      this.#full.push(this.bytes);
      this.#fullLengths.push(this.position);
      this.#fullBytes += this.position;
    } else if (this.bytes !== NO_CHUNK) {
      this.#pool.release(this.bytes);
    }
    this.bytes = this.#pool.acquire();
    this.position = 0;
  }

  /**
   * Moves everything that is ready to `into`, as views in order. They belong to the socket until {@link written};
   * nothing may be taken in between.
   */
  take(into: Uint8Array[]): void {
    assert(this.#inFlight.length === 0, "one write in flight", this.#inFlight.length);
    for (let i = 0; i < this.#full.length; i++) {
      into.push(this.#full[i].subarray(0, this.#fullLengths[i]));
      this.#inFlight.push(this.#full[i]);
    }
    if (this.position > 0) {
      into.push(this.bytes.subarray(0, this.position));
      this.#inFlight.push(this.bytes);
    }
    this.#inFlightBytes = this.readyBytes;
    if (this.#full.length > 0) {
      this.#full = [];
      this.#fullLengths = [];
    }
    this.#fullBytes = 0;
    if (this.position > 0) this.bytes = NO_CHUNK;
    this.position = 0;
  }

  /** The socket is done with what {@link take} gave out. */
  written(): void {
    for (const chunk of this.#inFlight) this.#pool.release(chunk);
    this.#inFlight.length = 0;
    this.#inFlightBytes = 0;
  }

  /** Forgets what was not taken: the socket is gone. */
  discard(): void {
    for (const chunk of this.#full) this.#pool.release(chunk);
    if (this.bytes !== NO_CHUNK) this.#pool.release(this.bytes);
    this.#full = [];
    this.#fullLengths = [];
    this.#fullBytes = 0;
    this.bytes = NO_CHUNK;
    this.position = 0;
  }

  /** Writes a frame header and makes room for the payload, which the caller writes at {@link position}. */
  beginFrame(length: number, type: number, flags: number, streamId: number): void {
    this.reserve(FRAME_HEADER_BYTES + length);
    const bytes = this.bytes;
    const at = this.position;
    bytes[at] = length >>> 16;
    bytes[at + 1] = length >>> 8;
    bytes[at + 2] = length;
    bytes[at + 3] = type;
    bytes[at + 4] = flags;
    bytes[at + 5] = streamId >>> 24;
    bytes[at + 6] = streamId >>> 16;
    bytes[at + 7] = streamId >>> 8;
    bytes[at + 8] = streamId;
    this.position = at + FRAME_HEADER_BYTES;
  }

  /** Appends 32 bits within a frame begun by {@link beginFrame}. */
  putUint32(value: number): void {
    writeUint32(this.bytes, this.position, value);
    this.position += 4;
  }

  /** Appends bytes within a frame begun by {@link beginFrame}. */
  putBytes(source: Uint8Array, start: number, end: number): void {
    copyBytes(source, start, end, this.bytes, this.position);
    this.position += end - start;
  }

  writeRstStream(streamId: number, errorCode: number): void {
    this.beginFrame(4, FRAME_RST_STREAM, 0, streamId);
    this.putUint32(errorCode);
  }

  writeWindowUpdate(streamId: number, increment: number): void {
    this.beginFrame(4, FRAME_WINDOW_UPDATE, 0, streamId);
    this.putUint32(increment);
  }

  writeSettings(pairs: readonly (readonly [id: number, value: number])[]): void {
    this.beginFrame(pairs.length * 6, FRAME_SETTINGS, 0, 0);
    for (const [id, value] of pairs) {
      this.bytes[this.position++] = id >>> 8;
      this.bytes[this.position++] = id;
      this.putUint32(value);
    }
  }

  writeSettingsAck(): void {
    this.beginFrame(0, FRAME_SETTINGS, FLAG_ACK, 0);
  }

  /** A PING with 8 bytes of `payload` from `start`. */
  writePing(flags: number, payload: Uint8Array, start: number): void {
    this.beginFrame(8, FRAME_PING, flags, 0);
    this.putBytes(payload, start, start + 8);
  }

  /** `debugText` is ASCII. */
  writeGoaway(lastStreamId: number, errorCode: number, debugText: string): void {
    this.beginFrame(8 + debugText.length, FRAME_GOAWAY, 0, 0);
    this.putUint32(lastStreamId);
    this.putUint32(errorCode);
    for (let i = 0; i < debugText.length; i++) this.bytes[this.position++] = debugText.charCodeAt(i);
  }
}
