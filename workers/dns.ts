/** Host names, by the system's resolver. The only place that asks DNS. */

import { lookup, resolveSrv } from "node:dns/promises";
import { isIP } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { ResolveHost } from "../src/cluster/peer-urls.ts";
import type { SrvResolver } from "../src/cluster/srv-discovery.ts";
import type { Log } from "../src/telemetry/log.ts";

/** How long a name may have no address: where members start together, their names may appear a little later than they do. */
const RESOLVE_MS_MAX = 30_000;
const RETRY_MS = 1000;

/** Asks once. */
async function lookupHost(host: string): Promise<string> {
  return isIP(host) === 0 ? (await lookup(host)).address : host;
}

/** SRV records and addresses, asked once. */
export const srvResolver: SrvResolver = {
  resolveSrv: async (name) => (await resolveSrv(name)).map(({ name: target, port }) => ({ target, port })),
  resolveHost: lookupHost,
};

/** Asks until the name has an address, for 30 s over all its calls. */
export function patientResolver(log: Log, stop: AbortSignal): ResolveHost {
  const deadlineMs = performance.now() + RESOLVE_MS_MAX;
  return async (host) => {
    for (;;) {
      try {
        return await lookupHost(host);
      } catch (error) {
        log.warn("failed to resolve URL Host", { host, "retry-interval": "1s", error });
        if (performance.now() + RETRY_MS > deadlineMs) throw error;
      }
      await sleep(RETRY_MS, undefined, { signal: stop });
    }
  };
}
