/**
 * Ports of 127.0.0.1 that nobody listens on. They lie below those that the kernel gives to outgoing connections: a member listens seconds
 * after its port was chosen, and by then one of the many connections of a test run might have it.
 */
import { createServer, type Server } from "node:net";

// Linux gives 32,768 and above to outgoing connections: all slices end below.
const FIRST_PORT = 10_000;
const SLICE_PORTS = 100;
const SLICES = 220;

// Test files run in processes of their own, side by side.
const first = FIRST_PORT + (process.pid % SLICES) * SLICE_PORTS;
let taken = 0;

/** `count` different free ports. All are held open together before any is let go. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = new Map<number, Server>();
  for (let tries = 0; servers.size < count; tries++) {
    if (tries === 2 * SLICE_PORTS) throw new Error(`no free port from ${first} on`);
    const port = first + (taken++ % SLICE_PORTS);
    const server = servers.has(port) ? null : await listenOn(port);
    if (server !== null) servers.set(port, server);
  }
  await Promise.all([...servers.values()].map((server) => new Promise((done) => server.close(done))));
  return [...servers.keys()];
}

/** Null if somebody listens there. */
function listenOn(port: number): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(null);
      else reject(error);
    });
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
