/** One HTTP/2 client socket: reads into the connection's state machine, and writes its output, one write in flight at a time. */
import type { Socket } from "node:net";

import { Connection } from "../http2/connection.ts";
import { CANCEL } from "../http2/http2.ts";
import { LINGER_MS_MAX, OUTPUT_BYTES_HIGH, OUTPUT_BYTES_PAUSE } from "../http2/limits.ts";
import { OutputQueue } from "../http2/output-queue.ts";
import { AssemblyBudget } from "./assembly-budget.ts";
import { CallPacer } from "./call-pacer.ts";
import type { NativeShared } from "./native-shared.ts";
import { ResponseBlocks } from "./response-blocks.ts";

export class NativeConnection {
  readonly shared: NativeShared;
  readonly socket: Socket;
  readonly http2: Connection;
  readonly blocks: ResponseBlocks;
  readonly pacer: CallPacer;
  /** `host:port` of the client, see {@link Call.remote}. */
  readonly remote: string;
  /** Time of the socket event being handled, in ms. */
  nowMs: number;
  /** Counts what its calls put together. */
  readonly assembling: AssemblyBudget;
  readonly #output: OutputQueue;
  readonly #views: Uint8Array[] = [];
  readonly #onClose: (connection: NativeConnection) => void;
  /** In the list of the next flush, or in a socket event that ends with one. */
  #dirty = false;
  #writing = false;
  #reading = true;
  /** By {@link setPaused}. */
  #serverPaused = false;
  /** By {@link pauseReading}. */
  #pauses = 0;
  /** When the socket was ended, or Infinity. */
  #endedMs = Infinity;

  /** `onClose` is called once, when the socket is closed. */
  constructor(shared: NativeShared, socket: Socket, onClose: (connection: NativeConnection) => void) {
    this.shared = shared;
    this.socket = socket;
    this.#onClose = onClose;
    this.remote =
      socket.remoteAddress === undefined
        ? `@:${shared.nextUnnamed++}`
        : `${socket.remoteAddress}:${socket.remotePort ?? 0}`;
    this.nowMs = performance.now();
    this.#output = new OutputQueue(shared.chunks);
    this.http2 = new Connection({
      output: this.#output,
      createStream: () => shared.acquireCall(this),
      concurrentStreamsMax: shared.limits.concurrentStreamsMax,
      keepalive: shared.limits,
      pendingTotal: shared.pendingTotal,
      nowMs: this.nowMs,
    });
    this.blocks = new ResponseBlocks(this.http2.encoder);
    this.assembling = new AssemblyBudget(shared.assembled);
    this.pacer = new CallPacer(shared.parked, this.http2.sender, this.#output);
    socket.on("data", this.#onData);
    socket.on("error", this.#onError);
    socket.on("close", this.#onSocketClose);
  }

  /** Output is about to be written: it leaves with the next flush. */
  touch(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.shared.markDirty(this);
  }

  /** Handles bytes that were read before this object took the socket. */
  receive(bytes: Uint8Array, start: number): void {
    this.#dirty = true;
    this.nowMs = performance.now();
    this.shared.beginBatch(this.nowMs);
    this.http2.receive(bytes, start, bytes.length, this.nowMs);
    this.flush();
    if (this.#writing) this.#updateReading();
  }

  /** Timeouts and keepalive. */
  tick(nowMs: number): void {
    this.nowMs = nowMs;
    this.http2.tick(nowMs);
    this.flush();
    if (nowMs - this.#endedMs > LINGER_MS_MAX) this.socket.destroy();
  }

  /** Begins a graceful end. */
  drain(): void {
    this.http2.drain();
    this.flush();
  }

  /** The client does not read what it asked for: ends every call, and the connection with a GOAWAY. */
  giveUp(): void {
    this.http2.failSlowReader();
    this.flush();
  }

  /** Ends every call and the socket at once. */
  destroy(): void {
    this.http2.abortStreams(CANCEL);
    this.socket.destroy();
  }

  /** Writes out what is ready, unless a write is in flight: then it follows that one. */
  flush(): void {
    if (this.pacer.parked > 0 && !this.#serverPaused) {
      this.#dirty = true;
      this.pacer.resume();
    }
    this.#dirty = false;
    if (this.#writing) return;
    this.http2.checkLimits();
    if (this.#output.readyBytes === 0) {
      this.#endIfFinished();
    } else if (this.socket.destroyed) {
      this.#output.discard();
    } else {
      this.#write();
    }
  }

  #write(): void {
    this.#writing = true;
    const views = this.#views;
    this.#output.take(views);
    const last = views.length - 1;
    if (last > 0) {
      this.socket.cork();
      for (let i = 0; i < last; i++) this.socket.write(views[i]);
    }
    this.socket.write(views[last], this.#onWritten);
    if (last > 0) this.socket.uncork();
    views.length = 0;
    this.#updateReading();
  }

  /** Stops or resumes reading for the sake of the server. */
  setPaused(paused: boolean): void {
    this.#serverPaused = paused;
    this.#updateReading();
    if (!paused) this.flush();
  }

  /** Stops reading for the sake of one of its calls, until the function that it returns is called. */
  pauseReading(): () => void {
    this.#pauses++;
    this.#updateReading();
    return () => {
      this.#pauses--;
      this.#updateReading();
    };
  }

  /**
   * A client that reads nothing while it goes on sending is not read either, until the socket has taken what is in flight. Only
   * then: as long as the socket takes output, the client's WINDOW_UPDATE frames must be read.
   */
  #updateReading(): void {
    const unsent = this.#output.queuedBytes;
    const stuck = unsent >= OUTPUT_BYTES_PAUSE || (unsent >= OUTPUT_BYTES_HIGH && this.pacer.parked > 0);
    const reading = !this.#serverPaused && this.#pauses === 0 && !(stuck && this.#writing);
    if (reading === this.#reading) return;
    this.#reading = reading;
    if (reading) this.socket.resume();
    else this.socket.pause();
  }

  #endIfFinished(): void {
    if (!this.http2.finished || this.#endedMs !== Infinity) return;
    this.#endedMs = performance.now();
    this.socket.end();
  }

  readonly #onWritten = (): void => {
    this.#writing = false;
    this.#output.written();
    if (!this.http2.finished) this.http2.onWritable();
    this.flush();
    this.#updateReading();
  };

  readonly #onData = (chunk: Buffer): void => {
    this.receive(chunk, 0);
  };

  readonly #onError = (): void => {
    // "close" follows; a client that went away is not worth a word.
  };

  readonly #onSocketClose = (): void => {
    this.http2.abortStreams(CANCEL);
    this.#output.discard();
    this.#onClose(this);
  };
}
