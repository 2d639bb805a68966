/**
 * The one place that turns a peer URL into a socket: requests to peers and the listener's server are made here, and nowhere
 * else. Peer TLS belongs into these functions (node:https takes the same options); until then `https` and `unixs` are refused.
 */

import type * as http from "node:http";
import { type OnReadOpts, type Socket, connect } from "node:net";

/** `import ... from "node:http"` would load undici for the module's named exports: 27 ms and 13 MB a thread that nobody uses. */
const { Agent, createServer, request: httpRequest } = process.getBuiltinModule("node:http");

/** Connecting may take so long: etcd's 1 s + election time-out of 1 s. */
export const DIAL_TIMEOUT_MS = 2000;
/**
 * Idle connections are given up before the peer does it after 5 s; a request on a connection that the peer just closed would be
 * lost.
 */
const IDLE_CONNECTION_MS = 4000;
const TCP_KEEP_ALIVE_MS = 30_000;
const IDLE_CONNECTIONS_MAX = 1024;
/** Header block of a request or response; etcd's is a few hundred bytes, most of them peer URLs. */
export const HEADER_BYTES_MAX = 64 * 1024;

/** Where a peer URL leads to. */
export interface PeerAddress {
  readonly host: string;
  readonly port: number;
  /** Path of a Unix socket; empty for TCP. */
  readonly socketPath: string;
  readonly secure: boolean;
}

/** Reads `http(s)://host:port` and `unix(s)://path`; throws on anything else. */
export function parsePeerUrl(url: string): PeerAddress {
  const unix = /^(unixs?):\/\/(.+)$/.exec(url);
  if (unix !== null) return { host: "", port: 0, socketPath: unix[2], secure: unix[1] === "unixs" };
  const { protocol, hostname, port } = new URL(url);
  if (protocol !== "http:" && protocol !== "https:") throw new Error(`peer URL scheme must be http: ${url}`);
  const secure = protocol === "https:";
  const host = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
  return { host, port: port === "" ? (secure ? 443 : 80) : Number(port), socketPath: "", secure };
}

/** Connections that are kept for the next request, for everything but streams. */
export function createPeerAgent({ socketsMax = Infinity } = {}): http.Agent {
  return new Agent({
    keepAlive: true,
    maxSockets: socketsMax,
    maxFreeSockets: IDLE_CONNECTIONS_MAX,
    timeout: IDLE_CONNECTION_MS,
    scheduling: "lifo",
  });
}

export interface PeerRequestOptions {
  readonly method: string;
  /** Appended to the URL, which has no path of its own. */
  readonly path: string;
  readonly headers: http.OutgoingHttpHeaders;
  /** Connections to use; false = one of its own. */
  readonly agent: http.Agent | false;
  readonly dialTimeoutMs?: number;
}

/** Begins a request to a peer. Fails, by its `error` event, when no connection comes about in time. Throws on a bad URL. */
export function openPeerRequest(url: string, options: PeerRequestOptions): http.ClientRequest {
  const address = addressOf(url);
  const request = httpRequest({
    ...(address.socketPath === ""
      ? { host: address.host, port: address.port }
      : { socketPath: address.socketPath, host: "localhost" }),
    method: options.method,
    path: options.path,
    headers: options.headers,
    agent: options.agent,
    maxHeaderSize: HEADER_BYTES_MAX,
  });
  const timeoutMs = options.dialTimeoutMs ?? DIAL_TIMEOUT_MS;
  request.once("socket", (socket) => prepareSocket(socket, timeoutMs, (error) => request.destroy(error)));
  return request;
}

/**
 * Dials a peer, for a connection that is read without node:http. Fails, by its `error` event, when none comes about in time. Throws on
 * a bad URL. `host` is what the Host header says.
 */
export function connectPeer(url: string, onread: OnReadOpts): { socket: Socket; host: string } {
  const { host, port, socketPath } = addressOf(url);
  const socket = connect(socketPath === "" ? { host, port, onread } : { path: socketPath, onread });
  prepareSocket(socket, DIAL_TIMEOUT_MS, (error) => socket.destroy(error));
  if (socketPath !== "") return { socket, host: "localhost" };
  return { socket, host: `${host.includes(":") ? `[${host}]` : host}:${port}` };
}

function addressOf(url: string): PeerAddress {
  const address = parsePeerUrl(url);
  if (address.secure) throw new Error(`peer TLS is not supported yet: ${url}`);
  return address;
}

function prepareSocket(socket: Socket, timeoutMs: number, giveUp: (error: Error) => void): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS);
  if (!socket.connecting) return;
  const timer = setTimeout(() => giveUp(new Error("dial timeout")), timeoutMs);
  socket.once("connect", () => clearTimeout(timer));
  socket.once("close", () => clearTimeout(timer));
}

/** The server of a peer listener, not listening yet. */
export function createPeerServer(secure: boolean, onRequest: http.RequestListener): http.Server {
  if (secure) throw new Error("peer TLS is not supported yet");
  return createServer(
    {
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
      maxHeaderSize: HEADER_BYTES_MAX,
      // The headers must come in time, the body may take as long as it moves (see the server's socket timeout).
      headersTimeout: 5000,
      requestTimeout: 0,
      connectionsCheckingInterval: 1000,
    },
    onRequest,
  );
}
