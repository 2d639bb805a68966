/** One endpoint: what its name means, and the channel to it. */
import { ChannelCredentials, Client as GrpcClient, connectivityState } from "@grpc/grpc-js";
import type { ClientOptions } from "./client.ts";
import { createTlsCredentials } from "./credentials.ts";

/** gRPC for Go never pings more often, and servers close connections that do (`too_many_pings`). */
const KEEPALIVE_TIME_MS_MIN = 10_000;

/** Default of the longest response: the longest gRPC can express. */
const RESPONSE_BYTES_MAX_DEFAULT = 2 ** 31 - 1;

/** How an endpoint's scheme decides about TLS. */
type TlsRule = "never" | "always" | "ifConfigured";

/** Where an endpoint is, in the words of grpc-js, and whether it speaks TLS. */
export interface EndpointAddress {
  /** A grpc-js target. */
  readonly target: string;
  /** Host of the certificate. */
  readonly serverName: string;
  readonly tls: TlsRule;
}

/** Reads `host:port`, `http(s)://host:port`, `unix(s):path` and `unix(s)://path`. */
export function parseEndpoint(name: string): EndpointAddress {
  const unix = /^(unixs?):(?:\/\/)?(.*)$/s.exec(name);
  if (unix !== null) {
    const path = unix[2];
    const tls = unix[1] === "unixs" ? "always" : "ifConfigured";
    return { target: `unix:${path}`, serverName: path.slice(path.lastIndexOf("/") + 1), tls };
  }
  const url = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)/i.exec(name);
  const authority = url === null ? name : url[2];
  const scheme = url?.[1]?.toLowerCase();
  const tls = scheme === "https" ? "always" : scheme === "http" ? "never" : "ifConfigured";
  return { target: `dns:${authority}`, serverName: hostOf(authority), tls };
}

function hostOf(authority: string): string {
  const bracketed = /^\[(.*)\]/.exec(authority);
  return bracketed !== null ? bracketed[1] : authority.replace(/:\d*$/, "");
}

/** One endpoint and its channel, which connects when first used and again whenever it is lost. */
export class Endpoint {
  /** As the user wrote it. */
  readonly name: string;
  readonly client: GrpcClient;

  constructor(name: string, options: ClientOptions) {
    this.name = name;
    const address = parseEndpoint(name);
    const secure = address.tls === "always" || (address.tls === "ifConfigured" && options.tls !== undefined);
    const credentials = secure
      ? createTlsCredentials(options.tls ?? {})
      : ChannelCredentials.createInsecure();
    this.client = new GrpcClient(
      address.target,
      credentials,
      channelOptions(options, secure ? address : undefined),
    );
  }

  /** Connected and able to take a call now. Starts connecting if it is idle. */
  isReady(): boolean {
    return this.client.getChannel().getConnectivityState(true) === connectivityState.READY;
  }

  /** Resolves when the connection's state is another than now, or at the deadline (ms of `performance.now()`). */
  async stateChange(deadlineMs: number): Promise<void> {
    const channel = this.client.getChannel();
    const state = channel.getConnectivityState(true);
    const deadline =
      deadlineMs === Infinity ? Infinity : new Date(Date.now() + deadlineMs - performance.now());
    await new Promise<void>((resolve) => channel.watchConnectivityState(state, deadline, () => resolve()));
  }

  /** Why there is no connection. Asked by a call that changes nothing, since grpc-js tells it to a failing call only. */
  async connectionError(): Promise<string> {
    if (this.client.getChannel().getConnectivityState(false) !== connectivityState.TRANSIENT_FAILURE)
      return "";
    return new Promise((resolve) => {
      const identity = (bytes: Buffer) => bytes;
      const options = { deadline: new Date(Date.now() + CONNECTION_ERROR_WAIT_MS) };
      const path = "/grpc.health.v1.Health/Check";
      this.client.makeUnaryRequest(path, identity, identity, Buffer.alloc(0), options, (error) => {
        resolve(error === null ? "" : connectionErrorOf(error.details));
      });
    });
  }

  close(): void {
    this.client.close();
  }
}

/** The part of grpc-js' text that says what is wrong. */
function connectionErrorOf(details: string): string {
  return /Last error: (?:Error: )?(.*?)\. Resolution note: /s.exec(details)?.[1] ?? details;
}

/** A channel that has failed answers at once; this bounds the wait if it happens to reconnect in that moment. */
const CONNECTION_ERROR_WAIT_MS = 50;

function channelOptions(
  options: ClientOptions,
  secure: EndpointAddress | undefined,
): Record<string, string | number> {
  const channel: Record<string, string | number> = {
    "grpc.max_receive_message_length": options.responseBytesMax || RESPONSE_BYTES_MAX_DEFAULT,
    // The client itself checks the length of requests, with Go's text.
    "grpc.max_send_message_length": -1,
    // Members of a cluster are reached directly; grpc-js would send even loopback through a proxy.
    "grpc.enable_http_proxy": 0,
    "grpc.service_config_disable_resolution": 1,
  };
  if (options.ownConnection === true) channel["grpc.use_local_subchannel_pool"] = 1;
  const keepaliveTimeMs = options.keepaliveTimeMs ?? 0;
  if (keepaliveTimeMs > 0) {
    channel["grpc.keepalive_time_ms"] = Math.max(keepaliveTimeMs, KEEPALIVE_TIME_MS_MIN);
    channel["grpc.keepalive_timeout_ms"] = options.keepaliveTimeoutMs ?? 20_000;
  }
  const serverName = options.tls?.serverName || (isUnix(secure) ? secure.serverName : "");
  if (secure !== undefined && serverName !== "") channel["grpc.ssl_target_name_override"] = serverName;
  return channel;
}

/** A socket's path says nothing about the certificate's name; elsewhere grpc-js takes the host, which may be an address. */
function isUnix(address: EndpointAddress | undefined): address is EndpointAddress {
  return address !== undefined && address.target.startsWith("unix:");
}
