/**
 * Our end of the streams that a peer dialed: messages go out in the endless body of its request's answer. Encoding happens in
 * `append`, and one `flush` is one HTTP chunk and one socket write; the buffer is used again as soon as the socket has taken it.
 *
 * The body's chunks are framed here and written to the socket itself: `response.write` would defer and split each into three.
 * A peer that does not read is given up by the socket's idle timer, which the listener sets, as etcd does by its write deadline.
 */

import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { formatId } from "../cluster/identity.ts";
import type { RaftMessage } from "../raft/raft.ts";
import { AppendStreamEncoder } from "./append-stream.ts";
import { MessageStreamEncoder, type StreamEncoder } from "./message-stream.ts";
import { withoutTraces } from "../raft/peer-traces.ts";
import { OutputBuffer } from "./output-buffer.ts";
import type { PeerParts } from "./peer-context.ts";
import { STREAM_BYTES_MAX, STREAM_MESSAGES_MAX, STREAM_WRITE_BYTES } from "./peer-limits.ts";

/** Which of the two streams. */
export type StreamKind = "message" | "msgapp";

/** Names of the streams in etcd's logs. */
export const STREAM_NAMES: Readonly<Record<StreamKind, string>> = {
  message: "stream Message",
  msgapp: "stream MsgApp v2",
};

/** `%08x\r\n` in front of a chunk; leading zeros are allowed (RFC 9112, 7.1). */
const CHUNK_HEAD_BYTES = 10;
const CHUNK_TAIL_BYTES = 2;
const LAST_CHUNK = "0\r\n\r\n";

/** The stream of one kind to one peer, with or without a connection. */
export class StreamWriter {
  readonly #parts: PeerParts;
  readonly #kind: StreamKind;
  #connection: StreamConnection | null = null;

  constructor(kind: StreamKind, parts: PeerParts) {
    this.#kind = kind;
    this.#parts = parts;
  }

  get isAttached(): boolean {
    return this.#connection !== null;
  }

  /** Bytes that the socket has not taken yet. */
  get queuedBytes(): number {
    return this.#connection?.queuedBytes ?? 0;
  }

  /**
   * Takes over the answer to the peer's GET, whose headers are sent. An older one ends, and what waited on it is lost.
   * @param takesTraces the peer has said that it reads traces of messages
   */
  attach(response: ServerResponse, socket: Socket, takesTraces = false): void {
    this.close();
    const connection = new StreamConnection(this.#kind, socket, this.#parts, takesTraces);
    this.#connection = connection;
    const { status, peerId, context } = this.#parts;
    status.activate();
    context.log("info", "established TCP streaming connection with remote peer", this.#fields(peerId));
    response.once("close", () => this.#lost(connection, socket.errored));
  }

  /** Encodes a message; {@link flush} sends it. False: there is no connection, or no room. */
  append(message: RaftMessage): boolean {
    return this.#connection !== null && this.#connection.append(message);
  }

  flush(): void {
    this.#connection?.flush();
  }

  /** Keeps the connection alive. */
  heartbeat(): void {
    this.#connection?.heartbeat();
  }

  close(): void {
    const connection = this.#connection;
    if (connection === null) return;
    this.#connection = null;
    connection.end();
    if (connection.hasUnsent) this.#parts.context.unreachable(this.#parts.peerId);
  }

  #lost(connection: StreamConnection, error: Error | null): void {
    if (this.#connection !== connection) return;
    this.#connection = null;
    const { context, counters, peerId, status } = this.#parts;
    context.log("warn", "lost TCP streaming connection with remote peer", this.#fields(peerId));
    if (error !== null) status.deactivate(`write on ${STREAM_NAMES[this.#kind]}`, error.message);
    if (!connection.hasUnsent) return;
    counters.sentFailures++;
    context.unreachable(peerId);
  }

  #fields(peerId: bigint): Record<string, unknown> {
    return { "stream-writer-type": STREAM_NAMES[this.#kind], "remote-peer-id": formatId(peerId) };
  }
}

/** One connection: encoder state, what is being encoded, and how much the socket still holds. */
class StreamConnection {
  readonly #socket: Socket;
  readonly #encoder: StreamEncoder;
  readonly #parts: PeerParts;
  readonly #takesTraces: boolean;
  readonly #out = new OutputBuffer();
  /** Messages in {@link #out}. */
  #gathered = 0;
  /** Messages in the socket's queue: their sum, and by write. */
  #queued = 0;
  readonly #queuedByWrite: number[] = [];
  /** Calls of {@link #written} that are still to come for writes known to be taken. */
  #callbacksToSkip = 0;

  constructor(kind: StreamKind, socket: Socket, parts: PeerParts, takesTraces: boolean) {
    this.#takesTraces = takesTraces;
    this.#socket = socket;
    this.#parts = parts;
    this.#encoder = kind === "msgapp" ? new AppendStreamEncoder() : new MessageStreamEncoder();
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  get hasUnsent(): boolean {
    return this.#queued + this.#gathered > 0;
  }

  append(message: RaftMessage): boolean {
    const out = this.#out;
    if (this.#queued + this.#gathered >= STREAM_MESSAGES_MAX) return false;
    if (this.#socket.writableLength + out.length > STREAM_BYTES_MAX) return false;
    this.#begin();
    if (message.traces !== undefined && !this.#takesTraces) message = withoutTraces(message);
    this.#encoder.encode(out, message);
    this.#gathered++;
    if (out.length >= STREAM_WRITE_BYTES) this.flush();
    return true;
  }

  heartbeat(): void {
    // A peer that takes nothing needs no more to take, and its idle timer runs.
    if (this.#socket.writableLength > STREAM_BYTES_MAX) return;
    this.#begin();
    this.#encoder.encodeLinkHeartbeat(this.#out);
    this.flush();
  }

  flush(): void {
    const out = this.#out;
    const socket = this.#socket;
    if (out.length === 0 || !socket.writable) return;
    const contentBytes = out.length - CHUNK_HEAD_BYTES;
    out.bytes.write(`${contentBytes.toString(16).padStart(8, "0")}\r\n`, 0, "latin1");
    out.ensure(CHUNK_TAIL_BYTES);
    out.bytes.write("\r\n", out.length, "latin1");
    out.length += CHUNK_TAIL_BYTES;
    this.#parts.counters.sentBytes += contentBytes;
    this.#queued += this.#gathered;
    this.#queuedByWrite.push(this.#gathered);
    this.#gathered = 0;
    this.#write(socket, out);
  }

  end(): void {
    if (this.#socket.writable) this.#socket.end(LAST_CHUNK);
  }

  #begin(): void {
    if (this.#out.length === 0) this.#out.length = CHUNK_HEAD_BYTES;
  }

  #write(socket: Socket, out: OutputBuffer): void {
    const bytes = out.bytes.subarray(0, out.length);
    const isIdle = socket.writableLength === 0;
    // Behind others it waits for long: in memory of its own size, so that the buffer stays free.
    socket.write(isIdle ? bytes : Buffer.from(bytes), this.#written);
    if (socket.writableLength === 0) this.#allTaken();
    else if (isIdle) out.detach();
    out.length = 0;
  }

  /** The system took everything at once; the socket tells so in a later turn, too late for the limit on messages. */
  #allTaken(): void {
    this.#callbacksToSkip += this.#queuedByWrite.length;
    this.#queuedByWrite.length = 0;
    this.#queued = 0;
  }

  /** The socket took one write; what it lost stays in the count. */
  readonly #written = (error?: Error | null): void => {
    if (this.#callbacksToSkip > 0) this.#callbacksToSkip--;
    else if (error === undefined || error === null) this.#queued -= this.#queuedByWrite.shift() ?? 0;
  };
}
