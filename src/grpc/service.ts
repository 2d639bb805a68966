/**
 * The service table: what a service sees of an RPC, the same on our transport and on grpc-js.
 * Both transports call the handler's methods on the main thread, never concurrently.
 */

import { type Histogram, openMeters } from "../base/meters.ts";

/** How many messages each side sends. */
export type MethodKind = "unary" | "serverStreaming" | "clientStreaming" | "bidi";

/** One RPC in progress. Created by the transport; lives until its handler ended it or `onCancel` was called. */
export interface Call {
  /** Slot for the handler's own state. */
  state: unknown;
  /** `/package.Service/Method` */
  readonly path: string;
  /**
   * Absolute deadline in ms of `performance.now()`, Infinity without `grpc-timeout`. The transport itself ends the call then; an answer
   * that is on its way has a second more.
   */
  readonly deadlineMs: number;
  /** Peer address, `host:port`; a Unix socket's has none, and is `@:` with a number. Different for every connection that is open. */
  readonly remote: string;
  /** Set while the call is sampled for tracing; absent or null otherwise. */
  readonly trace?: CallTrace | null;
  /** True once the client cancelled, the deadline passed or the connection broke; sends are ignored from then on. */
  readonly cancelled: boolean;
  /** First value of a request header (lower-case name), decoded on demand. */
  metadata(name: string): string | undefined;

  /**
   * Sends one whole message: copies `bytes[start, end)`. On a unary call this is followed by {@link end} at once; the transport
   * joins headers, message and trailers in one write.
   */
  sendMessage(bytes: Uint8Array, start: number, end: number): void;
  /** Begins a message of which the bytes come in pieces through {@link sendPart}. */
  startMessage(totalBytes: number): void;
  /**
   * Next bytes of the message begun by {@link startMessage} (copied). Returns how many bytes of this call now wait for
   * flow control or the socket; the handler's `onDrain` is called whenever that number has fallen to 0.
   */
  sendPart(bytes: Uint8Array, start: number, end: number): number;
  /** Bytes sent by the handler that still wait for flow control or the socket. */
  pendingBytes(): number;
  /**
   * Stops reading the connection of this call, until the function that it returns is called: too much of what the client sends waits already.
   * What was read is still delivered. Absent where no socket is behind the call, or it cannot be stopped (grpc-js).
   */
  pauseReading?(): () => void;
  /** Ends the call with a gRPC status. Trailers only, if nothing was sent. */
  end(grpcCode: number, message: string): void;
}

/** The trace that a sampled call is part of; its tracer made it. */
export interface CallTrace {
  /** Trace id (16 bytes) and the id of the call's own span (8). */
  readonly context: Uint8Array;
  /** Milliseconds of the clock that trace times are of. */
  nowMs(): number;
  /** The call has got its status. Once a call, by the transport. */
  ended(grpcCode: number): void;
}

/** Decides which calls are sampled for tracing. */
export interface CallTracer {
  /**
   * The trace of a call whose handler is about to see it, or null: not sampled.
   * @param traceparent the W3C header, if the client sent one
   */
  begin(call: Call, traceparent: string | undefined): CallTrace | null;
}

/** A method's implementation: one long-lived object a method, no closure a call. */
export interface MethodHandler {
  readonly path: string;
  readonly kind: MethodKind;
  /**
   * Unary only: answers may be long, and come without waiting for anything but the server. The transport then keeps requests back
   * while the client does not read what it was answered. Never for a method that may wait for another call (a lock).
   */
  readonly paced?: boolean;
  /** Streaming kinds: headers have arrived. Unary calls skip it. */
  onOpen?(call: Call): void;
  /**
   * One request message in `bytes[start, end)`, borrowed until return. For unary and server-streaming methods the transport
   * has checked that there is exactly one, and calls this once the client half-closed.
   */
  onMessage(call: Call, bytes: Uint8Array, start: number, end: number): void;
  /** Client and bidi streaming: the client sends no more. */
  onHalfClose?(call: Call): void;
  /** The call ended without the handler's {@link Call.end}: cancel, deadline, lost connection. */
  onCancel?(call: Call): void;
  /** See {@link Call.sendPart}. */
  onDrain?(call: Call): void;
}

/** All methods of a server, by path. */
export type ServiceTable = ReadonlyMap<string, MethodHandler>;

/** Counts of one method. The transports add to them; they only grow. */
export interface MethodCounters {
  /** Calls that reached the handler. */
  started: number;
  messagesReceived: number;
  messagesSent: number;
  /** Length of those messages, without prefixes and compression. */
  bytesReceived: number;
  bytesSent: number;
  /** Calls that reached the handler and ended, by gRPC code. */
  readonly handledByCode: Float64Array;
  /** Calls that reached the handler, by the `client-api-version` that they name. */
  readonly versions: Map<string, VersionCount>;
  /** Seconds from the start of a call to its end; null = not noted. */
  readonly durations: Histogram | null;
}

/** Calls of clients of one version. */
export interface VersionCount {
  calls: number;
}

/** Versions told apart; clients may name any. */
const VERSIONS_MAX = 32;
const NO_VERSION = "unknown";

/** Where calls are counted whose `client-api-version` is this. */
export function versionCount(
  { versions }: Pick<MethodCounters, "versions">,
  version = NO_VERSION,
): VersionCount {
  const known = versions.get(version);
  if (known !== undefined) return known;
  if (versions.size >= VERSIONS_MAX && version !== NO_VERSION) return versionCount({ versions });
  const count = { calls: 0 };
  versions.set(version, count);
  return count;
}

/** Codes of gRPC: 0 to 16. */
const GRPC_CODES = 17;

/** The Prometheus libraries' buckets, in seconds. */
const DURATION_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

/** Counters that stand at zero. With `timed`, durations are noted. */
export function createMethodCounters(timed = false): MethodCounters {
  return {
    started: 0,
    messagesReceived: 0,
    messagesSent: 0,
    bytesReceived: 0,
    bytesSent: 0,
    handledByCode: new Float64Array(GRPC_CODES),
    versions: new Map(),
    durations: timed ? openMeters({ durations: DURATION_BOUNDS }).durations : null,
  };
}

/** Counters of the methods of a server, by path. */
export type GrpcCounters = ReadonlyMap<string, MethodCounters>;

/** What both transports need of the configuration. */
export interface TransportLimits {
  /** Longest request message; longer ones get RESOURCE_EXHAUSTED `grpc: received message larger than max (%d vs. %d)`. */
  readonly receiveBytesMax: number;
  readonly concurrentStreamsMax: number;
  /** Bytes of request messages that have not come to their end, of all connections together; 512 MiB unless set. Ours only. */
  readonly assemblyBytesTotalMax?: number;
  /** `--grpc-keepalive-min-time`: closer pings earn GOAWAY `too_many_pings`. */
  readonly keepaliveMinTimeMs: number;
  /** `--grpc-keepalive-interval`: server ping on an idle connection; 0 = off. */
  readonly keepaliveIntervalMs: number;
  /** `--grpc-keepalive-timeout`: wait for the ping's ack before closing; 0 = off. */
  readonly keepaliveTimeoutMs: number;
}

/** How a unary call ended, for {@link CallWatcher}. The answer's bytes are borrowed. */
export interface EndedCall {
  /** Status of the call, also of one that ended without its handler. */
  readonly grpcCode: number;
  /** When its first frame was read (grpc-js: its whole request), and when it was answered: ms of `performance.now()`. */
  readonly startedMs: number;
  readonly endedMs: number;
  /** The answer `answer[start, end)`: empty of a call that failed, or that was answered in parts. */
  readonly answer: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** Length of the answer, whichever way it was sent. */
  readonly answerBytes: number;
}

/** Told of unary calls that took long. */
export interface CallWatcher {
  /** Beyond how many ms a call is told of: looked at once a batch. Infinity: none. */
  thresholdMs(): number;
  /** A call that took longer has come to its end, whoever ended it; borrowed. Its status may still have to be sent. */
  onSlow(call: Call, ended: EndedCall): void;
}

/** A running server transport (ours or grpc-js). */
export interface ServerTransport {
  /** Writes out everything queued by `Call` methods since the last flush: one socket write a connection. Called once a batch. */
  flush(): void;
  /**
   * Stops or resumes reading all client sockets (ring backpressure). Requests already read are still delivered.
   */
  setPaused(paused: boolean): void;
  /** GOAWAY on every connection, waits for the calls in progress up to `graceMs`, then closes. Resolves when all sockets are closed. */
  drain(graceMs: number): Promise<void>;
}
