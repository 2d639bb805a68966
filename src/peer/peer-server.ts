/**
 * The peer listeners: one server a URL of --listen-peer-urls. A connection on which nothing moves for 5 s is closed, as etcd does
 * by its deadlines, so half-open connections and bodies that stall cost no more than that; streams move by link heartbeats.
 */

import { rmSync } from "node:fs";
import type { RequestListener, Server } from "node:http";
import { CONNECTIONS_MAX, type PeerTiming } from "./peer-limits.ts";
import { createPeerServer, parsePeerUrl } from "./peer-http.ts";

export class PeerServer {
  readonly #servers: Server[] = [];

  /** Listens on all URLs; rejects, listening on none, if one of them cannot be had. */
  static async listen(
    urls: readonly string[],
    timing: PeerTiming,
    onRequest: RequestListener,
  ): Promise<PeerServer> {
    const server = new PeerServer();
    try {
      for (const url of urls) server.#servers.push(await listenOn(url, timing, onRequest));
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  /** Ports listened on, by URL; 0 for a Unix socket. */
  get ports(): readonly number[] {
    return this.#servers.map((server) => {
      const address = server.address();
      return typeof address === "object" && address !== null ? address.port : 0;
    });
  }

  /** Closes listeners and all connections. */
  async close(): Promise<void> {
    await Promise.all(this.#servers.map(closeServer));
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function listenOn(url: string, timing: PeerTiming, onRequest: RequestListener): Promise<Server> {
  const address = parsePeerUrl(url);
  const server = createPeerServer(address.secure, onRequest);
  server.maxConnections = CONNECTIONS_MAX;
  server.keepAliveTimeout = timing.idleTimeoutMs;
  // Without a listener for the event, the socket is destroyed.
  server.setTimeout(timing.idleTimeoutMs);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  if (address.socketPath === "") server.listen(address.port, address.host, resolve);
  else {
    rmSync(address.socketPath, { force: true });
    server.listen(address.socketPath, resolve);
  }
  await promise;
  server.off("error", reject);
  return server;
}
