/**
 * HTTP/1.1 beside gRPC: versions, health, metrics, debug values and profiles.
 *
 * Owns a `http.Server` and its timeouts. Holds no data: everything that it tells comes from the functions of {@link HttpDeps}.
 * Never listens by itself: the gRPC transport hands it the connections that do not speak HTTP/2, and the start sequence the
 * listeners of `--listen-client-http-urls` and `--listen-metrics-urls`.
 *
 * Read next: `health.ts`, `access-control.ts`, `pprof.ts`.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";

import { SERVER_VERSION } from "../../base/version.ts";
import type { Logger, LogThreshold } from "../../telemetry/logger.ts";
import type { Scrape } from "../../telemetry/metrics.ts";
import { answerAccess, type AccessRules } from "./access-control.ts";
import { serveDebugVars } from "./debug-vars.ts";
import { CHECKS, serveChecks, serveHealth, type HealthDeps } from "./health.ts";
import type { Pprof, ThreadProfiles } from "./pprof.ts";
import { allowGet, sendNotFound, sendText } from "./responses.ts";

/** What the endpoints ask for. All functions are called on the main thread. */
export interface HttpDeps extends HealthDeps, AccessRules {
  readonly logger: Logger;
  /** `major.minor.patch` that the cluster agreed on; undefined until then. */
  clusterVersion(): string | undefined;
  /** Schema version of the database; undefined until it is known. */
  storageVersion(): string | undefined;
  scrapeMetrics(): Promise<Scrape>;
  /** Shown as `raft.status` in `/debug/vars`; plain JSON. */
  raftStatus(): unknown;
  /** `--enable-pprof`: what `/debug/pprof/` and `/config/local/log` need; null = they do not exist. */
  readonly debugging: Debugging | null;
}

/** For those who look for a fault. */
export interface Debugging {
  /** Profiles of the threads; called with the first request for one. */
  loadProfiles(): Promise<ThreadProfiles>;
  readonly threshold: LogThreshold;
}

/** `client`: everything, behind host whitelist and CORS. `metrics`: health and metrics only. */
export type HttpSurface = "client" | "metrics";

/** Bounds in ms against clients that hold a connection without using it. */
export interface HttpTimeouts {
  /** From the connection, or the last answer, to the end of the next request's head. */
  readonly headMs: number;
  /** From there to the end of its body. */
  readonly requestMs: number;
  /** An idle connection is kept this long for the next request. */
  readonly idleMs: number;
  /** How often the first two are looked at. */
  readonly checkMs: number;
}

const TIMEOUTS: HttpTimeouts = { headMs: 30_000, requestMs: 60_000, idleMs: 60_000, checkMs: 10_000 };

type Endpoint = (request: IncomingMessage, response: ServerResponse, url: URL) => void | Promise<void>;

/**
 * A server that answers on the connections given to it by `server.emit("connection", socket)`, or on a port after
 * `server.listen`. Bytes that were read from such a socket before have to be put back with `socket.unshift`.
 */
export function createHttp1Handler(
  deps: HttpDeps,
  { surface = "client", timeouts = TIMEOUTS }: { surface?: HttpSurface; timeouts?: HttpTimeouts } = {},
): Server {
  // `import ... from "node:http"` would load undici for the module's named exports: 27 ms and 13 MB that nobody uses.
  const { createServer } = process.getBuiltinModule("node:http");
  const endpoints = createEndpoints(deps, surface);
  const options = {
    headersTimeout: timeouts.headMs,
    requestTimeout: timeouts.requestMs,
    keepAliveTimeout: timeouts.idleMs,
    connectionsCheckingInterval: timeouts.checkMs,
  };
  const server = createServer(options, (request, response) => {
    void serve({ deps, surface, endpoints }, request, response);
  });
  // Who has ended its side behind its request (`nc -N`) is answered all the same, as by etcd. Node has no option for it.
  Object.assign(server, { httpAllowHalfOpen: true });
  // Node begins to look after the timeouts when a server starts to listen, and this one may never do so.
  server.emit("listening");
  return server;
}

interface Routing {
  readonly deps: HttpDeps;
  readonly surface: HttpSurface;
  readonly endpoints: ReadonlyMap<string, Endpoint>;
}

async function serve(
  { deps, surface, endpoints }: Routing,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    if (surface === "client" && answerAccess(deps, request, response)) return;
    const url = parseTarget(request.url ?? "/");
    // The JSON gateway will take everything under /v3/ from here.
    const endpoint = url && (endpoints.get(url.pathname) ?? endpoints.get(parentOf(url.pathname)));
    if (url === undefined || endpoint === undefined) sendNotFound(response);
    else await endpoint(request, response, url);
  } catch (error) {
    deps.logger.error("failed to answer an HTTP request", { path: request.url, error });
    if (response.headersSent) response.destroy();
    else sendText(response, 500, "Internal Server Error\n");
  }
}

/** Only the path and the query matter, whatever host the request names. */
function parseTarget(target: string): URL | undefined {
  const path = target.startsWith("/") ? `http://localhost${target}` : target;
  return URL.parse(path) ?? undefined;
}

/** `/a/b/` of `/a/b/c`: an endpoint whose path ends so takes everything below it. */
function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

function createEndpoints(deps: HttpDeps, surface: HttpSurface): Map<string, Endpoint> {
  const endpoints = new Map<string, Endpoint>([
    ["/health", (request, response, url) => serveHealth(deps, { request, response, url })],
    ["/metrics", (request, response) => serveMetrics(deps, request, response)],
  ]);
  for (const type of ["livez", "readyz"] as const) {
    const add = (path: string, names: readonly string[]): void => {
      endpoints.set(path, (request, response, url) => {
        return serveChecks(deps, { type, names, exchange: { request, response, url } });
      });
    };
    add(`/${type}`, CHECKS[type]);
    for (const name of CHECKS[type]) add(`/${type}/${name}`, [name]);
  }
  if (surface === "client") {
    endpoints.set("/version", (request, response) => serveVersion(deps, request, response));
    endpoints.set("/debug/vars", (request, response) => serveDebugVars(deps, request, response));
    if (deps.debugging !== null) addDebugging(endpoints, deps, deps.debugging);
  }
  return endpoints;
}

/** Hardly anybody looks for a fault: what it takes is loaded then. */
function addDebugging(endpoints: Map<string, Endpoint>, { logger }: HttpDeps, debugging: Debugging): void {
  let loaded: Promise<Pprof> | undefined;
  const load = async (): Promise<Pprof> => {
    const { Pprof } = await import("./pprof.ts");
    return new Pprof({ logger, profiles: await debugging.loadProfiles() });
  };
  const servePprof: Endpoint = async (request, response, url) => {
    return (await (loaded ??= load())).serve({ request, response, url });
  };
  endpoints.set("/debug/pprof", servePprof).set("/debug/pprof/", servePprof);
  endpoints.set("/config/local/log", async (request, response) => {
    const { serveLogLevel } = await import("./log-level.ts");
    await serveLogLevel({ logger, threshold: debugging.threshold }, request, response);
  });
}

function serveVersion(deps: HttpDeps, request: IncomingMessage, response: ServerResponse): void {
  if (!allowGet(request, response)) return;
  const versions = {
    etcdserver: SERVER_VERSION,
    etcdcluster: deps.clusterVersion() ?? "not_decided",
    storage: deps.storageVersion() ?? "unknown",
  };
  sendText(response, 200, JSON.stringify(versions), "application/json");
}

async function serveMetrics(
  deps: HttpDeps,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { contentType, body } = await deps.scrapeMetrics();
  sendText(response, 200, body, contentType);
}
