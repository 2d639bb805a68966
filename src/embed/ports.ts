/** Ports of 127.0.0.1 for members that have not been given any. */
import { type AddressInfo, createServer, type Server } from "node:net";

/**
 * `count` different ports that nobody listens on. A member has to say where it will be before it listens, so they are let go again:
 * another process could take one in the milliseconds between, and the start would fail and say so.
 */
export async function findFreePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listenAnywhere));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function listenAnywhere(): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port: 0 }, () => resolve(server));
  });
}
