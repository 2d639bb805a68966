/**
 * Streamed answers on their way through main: who may send how much of his. Apply sends no byte before it has credit, and
 * credit is given here, so that what main keeps for clients that do not read is bounded however many answers they ask for:
 * a window an answer, some answers a connection, some more altogether. The others wait in apply, where they cost little.
 *
 * ```
 *   waiting ──a place is free──▶ open (credit = window) ──last byte came──▶ ending ──client took all──▶ gone
 * ```
 */
import { assert } from "../base/assert.ts";
import type { Call } from "../grpc/service.ts";

/** Credit that an answer begins with: bytes of it that may be on the way from apply. */
export const STREAM_WINDOW_BYTES = 256 * 1024;
/** Bytes of an answer that may wait for its client; above, no credit goes back until it has taken them. */
export const STREAM_PENDING_BYTES_MAX = 256 * 1024;
/** Open answers of one connection: with their windows and what waits, 4 MiB and, where values are long, one value each. */
export const STREAMS_PER_CONNECTION_MAX = 8;
/** Open answers of all connections: 64 MiB. */
export const STREAMS_OPEN_MAX = 128;
/** An open answer of which the client has taken nothing for so long is given up: it pins a revision, and memory to sort. */
export const STREAM_STALL_MS_MAX = 60_000;
/** The same while others wait for its place. */
export const STREAM_STALL_CONTENDED_MS_MAX = 5_000;

/** How the credit reaches apply. */
export type SendCredit = (requestId: number, bytes: number) => void;

interface Stream {
  readonly id: number;
  readonly call: Call;
  readonly connection: Connection;
  /** It has credit, or had; else it waits. */
  open: boolean;
  /** Bytes of the announced message that have not come yet. */
  leftBytes: number;
  /** Bytes that came and for which apply has no credit back. */
  owedBytes: number;
  /** What the client had not taken at the last look, and when it last took something. */
  seenPendingBytes: number;
  progressMs: number;
}

/** The streams of one client connection. */
interface Connection {
  readonly remote: string;
  open: number;
  readonly waiting: Set<Stream>;
}

export class AnswerStreams {
  readonly #sendCredit: SendCredit;
  readonly #streams = new Map<number, Stream>();
  readonly #connections = new Map<string, Connection>();
  #open = 0;

  constructor(sendCredit: SendCredit) {
    this.#sendCredit = sendCredit;
  }

  /** Answers in progress. */
  get size(): number {
    return this.#streams.size;
  }

  /** An answer of `totalBytes` begins. */
  add(id: number, call: Call, totalBytes: number, nowMs: number): void {
    const connection = this.#connectionOf(call.remote);
    const stream: Stream = {
      id,
      call,
      connection,
      open: false,
      leftBytes: totalBytes,
      owedBytes: 0,
      seenPendingBytes: 0,
      progressMs: nowMs,
    };
    this.#streams.set(id, stream);
    connection.waiting.add(stream);
    call.startMessage(totalBytes);
    this.#openNext(connection, nowMs);
  }

  /** Bytes of an answer came; the last ones end its call, once the client has taken them. */
  receive(id: number, bytes: Uint8Array, start: number, end: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.leftBytes -= end - start;
    stream.owedBytes += end - start;
    assert(stream.leftBytes >= 0, "a streamed answer is longer than announced", id);
    const pendingBytes = stream.call.sendPart(bytes, start, end);
    if (stream.leftBytes === 0 ? pendingBytes === 0 : pendingBytes <= STREAM_PENDING_BYTES_MAX)
      this.#proceed(stream);
  }

  /** The client has taken all that waited for this call. */
  drained(call: Call): void {
    const stream = this.#streams.get(call.state as number);
    if (stream !== undefined) this.#proceed(stream);
  }

  /** Takes an answer out; returns its call, null if there is none. */
  remove(id: number): Call | null {
    const stream = this.#streams.get(id);
    if (stream === undefined) return null;
    this.#streams.delete(id);
    const { connection } = stream;
    if (stream.open) {
      this.#open--;
      connection.open--;
    } else connection.waiting.delete(stream);
    if (connection.open === 0 && connection.waiting.size === 0) this.#connections.delete(connection.remote);
    if (stream.open) this.#fillPlace(connection);
    return stream.call;
  }

  /** Ids of the answers whose clients have taken nothing for too long. Called now and then. */
  stalled(nowMs: number): number[] {
    const stalled: number[] = [];
    const limitMs = this.#open >= STREAMS_OPEN_MAX ? STREAM_STALL_CONTENDED_MS_MAX : STREAM_STALL_MS_MAX;
    for (const stream of this.#streams.values()) {
      const pendingBytes = stream.call.pendingBytes();
      if (pendingBytes === 0 || pendingBytes !== stream.seenPendingBytes) stream.progressMs = nowMs;
      else if (stream.open && nowMs - stream.progressMs > limitMs) stalled.push(stream.id);
      stream.seenPendingBytes = pendingBytes;
    }
    return stalled;
  }

  /** Takes all answers out, for a server that stops. */
  removeAll(visit: (call: Call) => void): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#connections.clear();
    this.#open = 0;
    for (const stream of streams) visit(stream.call);
  }

  #proceed(stream: Stream): void {
    if (stream.leftBytes === 0) {
      this.remove(stream.id);
      stream.call.end(0, "");
    } else if (stream.owedBytes > 0) {
      const bytes = stream.owedBytes;
      stream.owedBytes = 0;
      this.#sendCredit(stream.id, bytes);
    }
  }

  #connectionOf(remote: string): Connection {
    let connection = this.#connections.get(remote);
    if (connection === undefined)
      this.#connections.set(remote, (connection = { remote, open: 0, waiting: new Set() }));
    return connection;
  }

  /** A place is free: for the connection whose answer left it, unless all places were taken; then each has its turn. */
  #fillPlace(freed: Connection): void {
    const nowMs = performance.now();
    if (this.#open < STREAMS_OPEN_MAX - 1) {
      this.#openNext(freed, nowMs);
      return;
    }
    for (const connection of this.#connections.values()) {
      if (!this.#openNext(connection, nowMs)) continue;
      this.#connections.delete(connection.remote);
      this.#connections.set(connection.remote, connection);
      return;
    }
  }

  #openNext(connection: Connection, nowMs: number): boolean {
    if (this.#open >= STREAMS_OPEN_MAX || connection.open >= STREAMS_PER_CONNECTION_MAX) return false;
    for (const stream of connection.waiting) {
      connection.waiting.delete(stream);
      stream.open = true;
      stream.progressMs = nowMs;
      connection.open++;
      this.#open++;
      this.#sendCredit(stream.id, STREAM_WINDOW_BYTES);
      return true;
    }
    return false;
  }
}
