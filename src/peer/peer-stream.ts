/**
 * A GET to a peer whose answer may never end, read straight from the socket: one buffer a connection takes every read, and what lies in
 * it is handed on before the next. node:http would make a new 64 KiB buffer and a chain of stream events of each read; on streams that
 * bring a few hundred bytes thousands of times a second those are most of what the raft thread spends.
 */

import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import type { Socket } from "node:net";
import { BODY_ENDED, BODY_MALFORMED, ChunkedBody } from "./chunked-body.ts";
import { HEADER_BYTES_MAX, connectPeer } from "./peer-http.ts";

/** One read; a longer message comes in several. */
const READ_BYTES = 64 * 1024;

/** What becomes of the request. Nothing is called any more after `closed`. */
export interface PeerStreamEvents {
  /** The head of the answer. */
  answered(status: number, headers: IncomingHttpHeaders): void;
  /** Content, borrowed until this returns. */
  data(bytes: Uint8Array, start: number, end: number): void;
  /** The answer is complete (null), or nothing more comes of it. Once, after which the socket is gone too. */
  closed(error: Error | null): void;
}

/** How the content ends: with its last chunk, after so many bytes, or with the connection. */
type Framing = ChunkedBody | { left: number };

export class PeerStream {
  readonly #events: PeerStreamEvents;
  readonly #socket: Socket;
  /** Head of the answer as far as it has come; null behind it. */
  #head: Buffer | null = Buffer.alloc(0);
  #framing: Framing = { left: Number.POSITIVE_INFINITY };
  #isComplete = false;

  /** Dials at once; throws on a bad URL. */
  constructor(url: string, path: string, headers: OutgoingHttpHeaders, events: PeerStreamEvents) {
    this.#events = events;
    const { socket, host } = connectPeer(url, {
      // No Buffer: whoever keeps a part of it by slice() is to get a copy.
      buffer: new Uint8Array(READ_BYTES),
      callback: (count, bytes) => {
        this.#read(bytes, count);
        return true;
      },
    });
    this.#socket = socket;
    let failure: Error | null = null;
    socket.on("timeout", () => this.destroy(new Error("i/o timeout")));
    socket.on("error", (error) => (failure = error));
    socket.once("close", () => {
      events.closed(this.#isComplete ? null : (failure ?? new Error("unexpected EOF")));
    });
    const lines = Object.entries({ Host: host, ...headers }).map(
      ([name, value]) => `${name}: ${String(value)}\r\n`,
    );
    socket.write(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1");
  }

  /** While paused nothing more is read from the socket; what was read is handed on. */
  pause(paused: boolean): void {
    if (paused) this.#socket.pause();
    else this.#socket.resume();
  }

  /** The connection is given up when it is silent for so long; 0 = never. */
  setTimeout(milliseconds: number): void {
    this.#socket.setTimeout(milliseconds);
  }

  destroy(error?: Error): void {
    this.#socket.destroy(error);
  }

  #read(bytes: Uint8Array, count: number): void {
    if (this.#socket.destroyed) return;
    let at = 0;
    if (this.#head !== null) {
      at = this.#takeHead(this.#head, bytes, count);
      if (at < 0) return;
    }
    if (at < count && !this.#isComplete) this.#takeBody(bytes, at, count);
  }

  /** Returns where the content begins, or -1 if the head is not complete or the connection was given up. */
  #takeHead(before: Buffer, bytes: Uint8Array, count: number): number {
    const head = Buffer.concat([before, bytes.subarray(0, count)]);
    const end = head.indexOf("\r\n\r\n", Math.max(0, before.length - 3), "latin1");
    if (end < 0) {
      this.#head = head;
      if (head.length > HEADER_BYTES_MAX) this.destroy(new Error("header block too long"));
      return -1;
    }
    this.#head = null;
    const parsed = parseHead(head.toString("latin1", 0, end));
    if (parsed === null) {
      this.destroy(new Error("malformed HTTP response"));
      return -1;
    }
    const { status, headers } = parsed;
    if (headers["transfer-encoding"] !== undefined)
      this.#framing = new ChunkedBody((chunk, from, to) => this.#content(chunk, from, to));
    else if (headers["content-length"] !== undefined)
      this.#framing = { left: Number(headers["content-length"]) };
    this.#events.answered(status, headers);
    if (!(this.#framing instanceof ChunkedBody) && this.#framing.left === 0) this.#complete();
    return this.#socket.destroyed ? -1 : end + 4 - before.length;
  }

  #takeBody(bytes: Uint8Array, start: number, end: number): void {
    const framing = this.#framing;
    if (framing instanceof ChunkedBody) {
      const what = framing.push(bytes, start, end);
      if (what === BODY_MALFORMED) this.destroy(new Error("malformed chunk"));
      else if (what === BODY_ENDED) this.#complete();
      return;
    }
    const count = Math.min(framing.left, end - start);
    framing.left -= count;
    this.#content(bytes, start, start + count);
    if (framing.left === 0) this.#complete();
  }

  #content(bytes: Uint8Array, start: number, end: number): void {
    if (!this.#socket.destroyed) this.#events.data(bytes, start, end);
  }

  #complete(): void {
    this.#isComplete = true;
    this.#socket.destroy();
  }
}

/** Status and headers of an answer; null if it is none, or its content is coded in a way that nobody uses here. */
function parseHead(text: string): { status: number; headers: IncomingHttpHeaders } | null {
  const [statusLine, ...lines] = text.split("\r\n");
  const match = /^HTTP\/1\.[01] ([2-5]\d\d)(?: |$)/.exec(statusLine);
  if (match === null) return null;
  const headers: IncomingHttpHeaders = {};
  for (const line of lines) {
    const field = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    if (field === null) return null;
    headers[field[1].toLowerCase()] = field[2];
  }
  const coding = headers["transfer-encoding"];
  const length = headers["content-length"];
  if (coding !== undefined && coding.toLowerCase() !== "chunked") return null;
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return null;
  return { status: Number(match[1]), headers };
}
