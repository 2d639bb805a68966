/**
 * Can this member listen as its URLs say? Asked before the data is opened, so that a second start by mistake leaves no trace in it, and
 * that nobody who asked for TLS is served, or puts data, in clear.
 */
import { createServer } from "node:net";
import type { ListenUrl } from "../src/config/urls.ts";

/**
 * Refuses URLs of TLS, which does not exist yet, and listens on each TCP address for a moment. Rejects with the address and the cause.
 * Another program may still take one before the member serves: the error is then the listener's own, and the data has a start more in
 * its log.
 */
export async function probeAddresses(urls: readonly ListenUrl[]): Promise<void> {
  const secure = urls.find(({ scheme }) => scheme === "https" || scheme === "unixs");
  if (secure) throw new Error(`cannot listen on ${secure.text}: TLS is not supported yet`);
  for (const url of urls) if (!url.scheme.startsWith("unix")) await probe(url);
}

function probe(url: ListenUrl): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error) => {
      reject(new Error(`cannot listen on ${url.text}: ${error.message}`, { cause: error }));
    });
    server.listen({ host: url.host, port: url.port }, () => server.close(() => resolve()));
  });
}
