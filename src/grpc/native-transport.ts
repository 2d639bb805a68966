/** Our own server transport: listens, tells HTTP/2 from HTTP/1.1, and keeps the connections. TLS would wrap the listener here. */
import type { Server as HttpServer } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

import { CLIENT_PREFACE } from "../http2/http2.ts";
import { HANDSHAKE_MS_MAX } from "../http2/limits.ts";
import { NativeConnection } from "./native-connection.ts";
import { NativeShared } from "./native-shared.ts";
import type {
  CallTracer,
  CallWatcher,
  GrpcCounters,
  ServerTransport,
  ServiceTable,
  TransportLimits,
} from "./service.ts";
import { sniff, SNIFF_HTTP2, SNIFF_MORE } from "./sniff.ts";

/** How often timeouts are looked at, at most and at least, in ms. */
const TICK_MS_MAX = 1_000;
const TICK_MS_MIN = 10;
/** TCP keepalive of client sockets, as etcd sets it. */
const TCP_KEEPALIVE_MS = 30_000;

/** Where to listen: TCP (port 0 picks one) or a Unix socket. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** What both transports are started with. */
export interface ListenOptions {
  readonly services: ServiceTable;
  readonly limits: TransportLimits;
  /** Where calls are counted; those of paths that are not in it are not. */
  readonly counters?: GrpcCounters;
  /** Without, no call is traced. */
  readonly tracer?: CallTracer;
  /** Told of slow calls. */
  readonly watcher?: CallWatcher;
  readonly listeners: readonly ListenAddress[];
  /** Gets every socket that does not begin with HTTP/2's preface; without it such sockets are closed. */
  readonly http1: HttpServer | null;
  /** Told of every accepted socket, before a byte is read. */
  readonly onConnection?: (socket: Socket) => void;
}

/** A transport that listens. */
export interface ListeningTransport extends ServerTransport {
  /** The addresses bound, in the order of the options. */
  addresses(): ListenAddress[];
}

/** Starts the native transport. Rejects, with nothing left listening, if an address cannot be bound. */
export async function listenNative(options: ListenOptions): Promise<ListeningTransport> {
  const transport = new NativeTransport(options);
  try {
    for (const address of options.listeners) await transport.listen(address);
  } catch (error) {
    await transport.drain(0);
    throw error;
  }
  return transport;
}

class NativeTransport implements ListeningTransport {
  readonly #options: ListenOptions;
  readonly #shared: NativeShared;
  readonly #servers: Server[] = [];
  readonly #connections = new Set<NativeConnection>();
  /** Sockets that have not shown their protocol. */
  readonly #silentSockets = new Set<Socket>();
  /** Those and the ones that speak HTTP/1.1. */
  readonly #otherSockets = new Set<Socket>();
  readonly #tickTimer: NodeJS.Timeout;
  #paused = false;
  #drained: Promise<void> | undefined = undefined;
  /** Set while a drain waits for the sockets. */
  #onAllClosed: (() => void) | undefined = undefined;

  constructor(options: ListenOptions) {
    this.#options = options;
    this.#shared = new NativeShared(options, () => this.#giveUpLargest());
    // A server that does not listen itself tracks no connections: without this event its header and request timeouts
    // would not hold, and idle connections could not be told from busy ones on drain.
    if (options.http1?.listening === false) options.http1.emit("listening");
    this.#tickTimer = setInterval(() => this.#tick(), tickMs(options.limits)).unref();
  }

  async listen(address: ListenAddress): Promise<void> {
    const server = createServer({
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEPALIVE_MS,
      allowHalfOpen: true, // for HTTP/1.1
    });
    server.on("connection", (socket) => this.#onSocket(socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(address, () => {
        server.off("error", reject);
        resolve();
      });
    });
    // Accepting may fail for want of file descriptors; the listener goes on.
    server.on("error", () => {});
    this.#servers.push(server);
  }

  addresses(): ListenAddress[] {
    return this.#servers.map((server) => {
      const address = server.address() as AddressInfo | string;
      return typeof address === "string" ? { path: address } : { host: address.address, port: address.port };
    });
  }

  flush(): void {
    this.#shared.flush();
  }

  setPaused(paused: boolean): void {
    this.#paused = paused;
    for (const connection of this.#connections) connection.setPaused(paused);
  }

  drain(graceMs: number): Promise<void> {
    this.#drained ??= this.#drain(graceMs);
    return this.#drained;
  }

  async #drain(graceMs: number): Promise<void> {
    const listenersClosed = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)));
    this.setPaused(false);
    const allClosed = new Promise<void>((resolve) => (this.#onAllClosed = resolve));
    for (const connection of this.#connections) connection.drain();
    for (const socket of this.#silentSockets) socket.destroy();
    this.#options.http1?.closeIdleConnections();
    const deadline = setTimeout(() => this.#destroyAll(), graceMs);
    this.#checkAllClosed();
    await allClosed;
    clearTimeout(deadline);
    await Promise.all(listenersClosed);
    clearInterval(this.#tickTimer);
  }

  #destroyAll(): void {
    for (const connection of this.#connections) connection.destroy();
    for (const socket of this.#otherSockets) socket.destroy();
  }

  #checkAllClosed(): void {
    if (this.#connections.size === 0 && this.#otherSockets.size === 0) this.#onAllClosed?.();
  }

  #tick(): void {
    const nowMs = performance.now();
    for (const connection of this.#connections) connection.tick(nowMs);
    if (this.#drained !== undefined) this.#options.http1?.closeIdleConnections();
  }

  /** Too much waits for clients altogether: the connection that has most of it pays. */
  #giveUpLargest(): void {
    let largest: NativeConnection | undefined;
    for (const connection of this.#connections) {
      if (largest === undefined || connection.http2.sender.pendingBytes > largest.http2.sender.pendingBytes)
        largest = connection;
    }
    largest?.giveUp();
  }

  #onSocket(socket: Socket): void {
    this.#options.onConnection?.(socket);
    this.#otherSockets.add(socket);
    this.#silentSockets.add(socket);
    socket.once("close", () => {
      this.#otherSockets.delete(socket);
      this.#silentSockets.delete(socket);
      this.#checkAllClosed();
    });
    const late = setTimeout(() => socket.destroy(), HANDSHAKE_MS_MAX).unref();
    let seen: Buffer = Buffer.alloc(0);
    const ignore = (): void => {};
    const onEnd = (): void => void socket.destroy();
    const onData = (chunk: Buffer): void => {
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const protocol = sniff(seen);
      if (protocol === SNIFF_MORE) return;
      clearTimeout(late);
      this.#silentSockets.delete(socket);
      socket.off("data", onData);
      socket.off("error", ignore);
      socket.off("end", onEnd);
      if (protocol === SNIFF_HTTP2) this.#startHttp2(socket, seen);
      else this.#startHttp1(socket, seen);
    };
    socket.on("data", onData);
    socket.on("error", ignore);
    socket.on("end", onEnd);
  }

  #startHttp2(socket: Socket, seen: Buffer): void {
    this.#otherSockets.delete(socket);
    socket.once("end", () => socket.end());
    const connection = new NativeConnection(this.#shared, socket, (closed) => {
      this.#connections.delete(closed);
      this.#checkAllClosed();
    });
    this.#connections.add(connection);
    if (this.#drained !== undefined) connection.drain();
    if (this.#paused) connection.setPaused(true);
    connection.receive(seen, CLIENT_PREFACE.length);
  }

  #startHttp1(socket: Socket, seen: Buffer): void {
    const http1 = this.#options.http1;
    if (http1 === null) {
      socket.destroy();
      return;
    }
    socket.pause();
    http1.emit("connection", socket);
    socket.unshift(seen);
    socket.resume();
  }
}

/** A quarter of the shortest keepalive time, within bounds. */
function tickMs(limits: TransportLimits): number {
  const times = [limits.keepaliveIntervalMs, limits.keepaliveTimeoutMs].filter((ms) => ms > 0);
  return Math.max(TICK_MS_MIN, Math.min(TICK_MS_MAX, ...times.map((ms) => ms / 4)));
}
