/**
 * The client of an etcd cluster: typed calls over @grpc/grpc-js, for the command line tools and for tests.
 *
 * It owns one channel an endpoint, the login token, and the streams of watches and of leases that are kept alive. It never
 * retries a write that may have reached a member: a call is sent again only if it changes nothing, or if it never left. It stops
 * with {@link Client.close}, which ends calls in progress. Off the hot path of the server: nothing in src/server imports it.
 *
 * Read next: endpoint-pool.ts (which endpoint a call goes to), unary.ts (one attempt), retry.ts (when to try again),
 * watch-stream.ts and lease-keeper.ts (the streams), session.ts, mutex.ts and election.ts (what is built of them).
 */
import type {
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { GrpcCode } from "../base/errors.ts";
import { API_VERSION } from "../base/version.ts";
import {
  Auth,
  Cluster,
  KV,
  Lease,
  type LeaseKeepAliveResponse,
  Maintenance,
  type SnapshotResponse,
  Watch,
} from "../proto/gen/rpc_pb.ts";
import type { TlsOptions } from "./credentials.ts";
import { Endpoint } from "./endpoint.ts";
import { EndpointPool } from "./endpoint-pool.ts";
import { EtcdError } from "./etcd-error.ts";
import { KeepAliveStream, keepAliveOnce, type LeaseKeeper } from "./lease-keeper.ts";
import { ATTEMPTS_MAX, backoffMs, isRetryable, isTokenRefused } from "./retry.ts";
import { readServerStream } from "./server-stream.ts";
import { type OpenStream, StreamCall, type StreamHandlers } from "./stream-call.ts";
import { unaryAttempt } from "./unary.ts";
import { type WatchOptions, WatchStream } from "./watch-stream.ts";
import type { Watcher } from "./watcher.ts";

const DIAL_TIMEOUT_MS_DEFAULT = 2000;
/** Headers of streams that are to end when the member they go to loses its leader. */
const REQUIRE_LEADER = { hasleader: "true" };

/** Default of {@link ClientOptions.requestBytesMax}: etcd's clients send no more than 2 MiB. */
export const REQUEST_BYTES_MAX_DEFAULT = 2 * 1024 * 1024;

/** How to reach a cluster, and as whom. */
export interface ClientOptions {
  /** `host:port`, `http(s)://host:port`, `unix(s):path`; at least one. */
  readonly endpoints: readonly string[];
  /** Certificates for endpoints that ask for TLS, by scheme or by having no scheme. Undefined: those without one are plain. */
  readonly tls?: TlsOptions | undefined;
  readonly user?: { readonly name: string; readonly password: string } | undefined;
  /** Time {@link Client.connect} has for the login. Default 2 s. */
  readonly dialTimeoutMs?: number | undefined;
  /** Deadline of calls that name none. Default: none. */
  readonly callTimeoutMs?: number | undefined;
  /** Ping after so long without traffic; raised to 10 s, as gRPC for Go does, or servers answer `too_many_pings`. 0 = off. */
  readonly keepaliveTimeMs?: number | undefined;
  /** The connection is given up if a ping is not answered within this. */
  readonly keepaliveTimeoutMs?: number | undefined;
  /** Longest request in bytes; 0 or undefined = {@link REQUEST_BYTES_MAX_DEFAULT}. */
  readonly requestBytesMax?: number | undefined;
  /** Longest response in bytes; 0 or undefined = 2^31 - 1. */
  readonly responseBytesMax?: number | undefined;
  /** Connections that no other client of this process shares; for tests of load. */
  readonly ownConnection?: boolean | undefined;
  /** Told of every attempt that failed, also of one that is not repeated. */
  readonly onAttemptFailed?: ((attempt: FailedAttempt) => void) | undefined;
}

/** One failed attempt of a call, for a log line. */
export interface FailedAttempt {
  /** Where it went, as the endpoint was given; undefined if none could be reached. */
  readonly endpoint: string | undefined;
  /** `/package.Service/Method` */
  readonly method: string;
  /** From 0. */
  readonly attempt: number;
  readonly error: EtcdError;
}

/** What one call may set differently. */
export interface CallOptions {
  /** Deadline for all attempts together; Infinity = none. Default: the client's. */
  readonly timeoutMs?: number | undefined;
  /** Only this endpoint, which may be one the client was not created with. */
  readonly endpoint?: string | undefined;
  /** Headers besides the token and the API version. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** The unary methods of a service: a request (fields may be left out) in, the response out. Rejects with {@link EtcdError}. */
export type UnaryCalls<S extends DescService> = {
  readonly [K in keyof S["method"] as S["method"][K]["methodKind"] extends "unary" ? K : never]: (
    request?: MessageInitShape<S["method"][K]["input"]>,
    options?: CallOptions,
  ) => Promise<MessageShape<S["method"][K]["output"]>>;
};

/** A connection to a cluster. Created by {@link Client.connect}. */
export class Client {
  readonly kv: UnaryCalls<typeof KV>;
  readonly lease: UnaryCalls<typeof Lease>;
  readonly cluster: UnaryCalls<typeof Cluster>;
  readonly maintenance: UnaryCalls<typeof Maintenance>;
  readonly auth: UnaryCalls<typeof Auth>;

  readonly #options: ClientOptions;
  readonly #pool: EndpointPool;
  /** Pools of one for {@link CallOptions.endpoint}, by endpoint. Bounded by the endpoints the caller ever names. */
  readonly #direct = new Map<string, EndpointPool>();
  readonly #watches: { readonly any: WatchStream; readonly leader: WatchStream };
  readonly #keepAlives: KeepAliveStream;
  /** Sent with every call once the login gave one; empty where the cluster has no authentication. */
  #token = "";

  private constructor(options: ClientOptions) {
    if (options.endpoints.length === 0) throw optionsError("etcdclient: no available endpoints");
    const requestMax = options.requestBytesMax ?? 0;
    const responseMax = options.responseBytesMax ?? 0;
    if (responseMax > 0 && requestMax > responseMax) {
      const limits = `recv limit (${responseMax} bytes) must be greater than send limit (${requestMax} bytes)`;
      throw optionsError(`gRPC message ${limits}`);
    }
    this.#options = options;
    this.#pool = this.#createPool(options.endpoints);
    this.kv = this.#bind(KV);
    this.lease = this.#bind(Lease);
    this.cluster = this.#bind(Cluster);
    this.maintenance = this.#bind(Maintenance);
    this.auth = this.#bind(Auth);
    const { watch } = Watch.method;
    this.#watches = {
      any: new WatchStream((handlers) => this.#openStream(watch, {}, handlers)),
      leader: new WatchStream((handlers) => this.#openStream(watch, REQUIRE_LEADER, handlers)),
    };
    const firstAnswerMs = (options.dialTimeoutMs ?? DIAL_TIMEOUT_MS_DEFAULT) + 1000;
    this.#keepAlives = new KeepAliveStream(this.#openKeepAlive, firstAnswerMs);
  }

  /**
   * Creates a client and logs in if a user is given. Without a user nothing is sent, so an unreachable cluster shows
   * with the first call. Throws EtcdError if the login fails, Error if the options or certificate files are bad.
   */
  static async connect(options: ClientOptions): Promise<Client> {
    const client = new Client(options);
    try {
      await client.#login(performance.now() + (options.dialTimeoutMs ?? DIAL_TIMEOUT_MS_DEFAULT));
    } catch (error) {
      client.close();
      throw error;
    }
    return client;
  }

  /** Ends calls in progress and closes all connections. */
  close(): void {
    this.#watches.any.close();
    this.#watches.leader.close();
    this.#keepAlives.close();
    this.#pool.close();
    for (const pool of this.#direct.values()) pool.close();
  }

  /**
   * Watches keys. The watch goes on over lost connections, at another member if need be, and every event comes once and in order.
   * With `requireLeader` it ends with an error when the member it is at has no leader; otherwise it then waits.
   */
  watch(options: WatchOptions, { requireLeader = false } = {}): Watcher {
    return (requireLeader ? this.#watches.leader : this.#watches.any).watch(options);
  }

  /** Asks for a progress notification in all watches (those with the same `requireLeader`). */
  requestWatchProgress({ requireLeader = false } = {}): void {
    (requireLeader ? this.#watches.leader : this.#watches.any).requestProgress();
  }

  /** Renews a lease whenever a third of its time is over, until it is gone or {@link LeaseKeeper.cancel} is called. */
  keepAlive(leaseId: bigint): LeaseKeeper {
    return this.#keepAlives.keep(leaseId);
  }

  /** Renews a lease once. Rejects with EtcdError, NOT_FOUND if there is no such lease. */
  keepAliveOnce(leaseId: bigint): Promise<LeaseKeepAliveResponse> {
    return keepAliveOnce(this.#openKeepAlive, leaseId);
  }

  /**
   * Reads a member's database as parts of a file, with its SHA-256 as the last. It is read as fast as it is iterated over, and
   * throws EtcdError if it breaks: a snapshot cannot be resumed. Without `timeoutMs` it may take as long as it takes.
   */
  async *snapshot(options: CallOptions = {}): AsyncGenerator<SnapshotResponse, void, undefined> {
    const deadlineMs = performance.now() + (options.timeoutMs ?? Infinity);
    const pool = options.endpoint === undefined ? this.#pool : this.#directPool(options.endpoint);
    yield* readServerStream({
      endpoint: await pool.pick(deadlineMs),
      method: Maintenance.method.snapshot,
      request: create(Maintenance.method.snapshot.input),
      metadata: this.#metadata(options),
      deadlineMs,
    });
  }

  /** Calls any unary method, with retries. Rejects with {@link EtcdError}. */
  async call<M extends DescMethodUnary>(
    method: M,
    request?: MessageInitShape<M["input"]>,
    options: CallOptions = {},
  ): Promise<MessageShape<M["output"]>> {
    const timeoutMs = options.timeoutMs ?? this.#options.callTimeoutMs ?? Infinity;
    const message = create<M["input"]>(method.input, request);
    return this.#callUntil(performance.now() + timeoutMs, method, message, options);
  }

  async #callUntil<M extends DescMethodUnary>(
    deadlineMs: number,
    method: M,
    request: MessageShape<M["input"]>,
    options: CallOptions,
  ): Promise<MessageShape<M["output"]>> {
    const pool = options.endpoint === undefined ? this.#pool : this.#directPool(options.endpoint);
    const path = pathOf(method);
    for (let attempt = 0; ; attempt++) {
      await sleepUntil(backoffMs(attempt, pool.size), deadlineMs);
      let endpoint: Endpoint | undefined;
      try {
        endpoint = await pool.pick(deadlineMs);
        const metadata = this.#metadata(options);
        const requestBytesMax = this.#options.requestBytesMax || REQUEST_BYTES_MAX_DEFAULT;
        return await unaryAttempt({ endpoint, method, path, request, metadata, deadlineMs, requestBytesMax });
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        this.#options.onAttemptFailed?.({ endpoint: endpoint?.name, method: path, attempt, error });
        if (attempt + 1 >= ATTEMPTS_MAX || performance.now() >= deadlineMs) throw error;
        const canLogin = this.#options.user !== undefined && path !== AUTHENTICATE_PATH;
        if (canLogin && isTokenRefused(error)) await this.#login(deadlineMs);
        else if (!isRetryable(method, error, pool.size)) throw error;
      }
    }
  }

  readonly #openKeepAlive: OpenStream<typeof Lease.method.leaseKeepAlive> = (handlers) =>
    this.#openStream(Lease.method.leaseKeepAlive, REQUIRE_LEADER, handlers);

  async #openStream<M extends DescMethodBiDiStreaming>(
    method: M,
    headers: Readonly<Record<string, string>>,
    handlers: StreamHandlers<M>,
  ): Promise<StreamCall<M>> {
    return new StreamCall({
      endpoint: await this.#pool.pick(Infinity),
      method,
      path: pathOf(method),
      metadata: this.#metadata({ metadata: headers }),
      handlers: { onMessage: handlers.onMessage, onEnd: (error) => this.#endStream(error, handlers.onEnd) },
    });
  }

  /** A refused token is replaced first; for the stream this is a lost connection like others. */
  #endStream(error: EtcdError, onEnd: (error: EtcdError) => void): void {
    if (this.#options.user === undefined || !isTokenRefused(error)) return onEnd(error);
    const deadlineMs = performance.now() + (this.#options.dialTimeoutMs ?? DIAL_TIMEOUT_MS_DEFAULT);
    void this.#login(deadlineMs).then(
      () => onEnd(new EtcdError(GrpcCode.unavailable, error.message)),
      (failure: unknown) => onEnd(failure instanceof EtcdError ? failure : error),
    );
  }

  /** Fetches a token. A cluster without authentication is no error: it needs none. */
  async #login(deadlineMs: number): Promise<void> {
    const user = this.#options.user;
    if (user === undefined || user.name === "" || user.password === "") return;
    this.#token = "";
    const request = create(Auth.method.authenticate.input, { name: user.name, password: user.password });
    try {
      this.#token = (await this.#callUntil(deadlineMs, Auth.method.authenticate, request, {})).token;
    } catch (error) {
      if (error instanceof EtcdError && error.message === "etcdserver: authentication is not enabled") return;
      throw error;
    }
  }

  #metadata(options: CallOptions): Metadata {
    const metadata = new Metadata();
    metadata.set("client-api-version", API_VERSION);
    if (this.#token !== "") metadata.set("token", this.#token);
    for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
    return metadata;
  }

  #directPool(name: string): EndpointPool {
    let pool = this.#direct.get(name);
    if (pool === undefined) this.#direct.set(name, (pool = this.#createPool([name])));
    return pool;
  }

  #createPool(names: readonly string[]): EndpointPool {
    return new EndpointPool(names.map((name) => new Endpoint(name, this.#options)));
  }

  #bind<S extends DescService>(service: S): UnaryCalls<S> {
    const calls: Record<string, unknown> = {};
    for (const method of service.methods) {
      if (method.methodKind !== "unary") continue;
      calls[method.localName] = (request?: object, options?: CallOptions) =>
        this.call(method as DescMethodUnary, request as never, options);
    }
    return calls as UnaryCalls<S>;
  }
}

/** Options that no client can be made of; the text stands for itself. */
function optionsError(text: string): EtcdError {
  return new EtcdError(GrpcCode.unknown, text, text);
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** The login itself: a refused token is no reason to repeat it. */
const AUTHENTICATE_PATH = "/etcdserverpb.Auth/Authenticate";

/** Waits, but no longer than until the deadline (the attempt that follows then reports it). */
async function sleepUntil(delayMs: number, deadlineMs: number): Promise<void> {
  const ms = Math.min(delayMs, deadlineMs - performance.now());
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
}
