/** The registry of v3 discovery on a real cluster, reached with the `--discovery-*` flags. */

import { Client } from "../src/client/client.ts";
import type { Registry } from "../src/cluster/v3-discovery.ts";
import type { Config } from "../src/config/config.ts";

/** Connects. Call `close` in the end. */
export async function openRegistry(config: Config): Promise<Registry & { close(): void }> {
  const hasTlsFiles = [config.discoveryCert, config.discoveryKey, config.discoveryCacert].some(
    (file) => file !== "",
  );
  const client = await Client.connect({
    endpoints: config.discoveryEndpoints,
    dialTimeoutMs: config.discoveryDialTimeoutMs,
    callTimeoutMs: config.discoveryRequestTimeoutMs,
    keepaliveTimeMs: config.discoveryKeepaliveTimeMs,
    keepaliveTimeoutMs: config.discoveryKeepaliveTimeoutMs,
    user: parseUser(config.discoveryUser, config.discoveryPassword),
    tls:
      hasTlsFiles || !config.discoveryInsecureTransport
        ? {
            certFile: config.discoveryCert,
            keyFile: config.discoveryKey,
            caFile: config.discoveryCacert,
            insecureSkipVerify: config.discoveryInsecureSkipTlsVerify,
          }
        : undefined,
  });
  return {
    async get(key) {
      const { kvs } = await client.kv.range({ key: Buffer.from(key) });
      return kvs[0] && Buffer.from(kvs[0].value).toString("utf8");
    },
    async list(prefix) {
      const { kvs } = await client.kv.range({ key: Buffer.from(prefix), rangeEnd: prefixEnd(prefix) });
      return kvs.map(({ key, value, createRevision }) => ({
        key: Buffer.from(key).toString("utf8"),
        value: Buffer.from(value).toString("utf8"),
        createRevision: Number(createRevision),
      }));
    },
    async put(key, value) {
      await client.kv.put({ key: Buffer.from(key), value: Buffer.from(value) });
    },
    close: () => client.close(),
  };
}

/** `--discovery-user` may hold the password, behind a colon. */
function parseUser(user: string, password: string): { name: string; password: string } | undefined {
  if (user === "") return undefined;
  const colon = user.indexOf(":");
  if (password !== "" || colon === -1) return { name: user, password };
  return { name: user.slice(0, colon), password: user.slice(colon + 1) };
}

/** The first key behind all that begin with `prefix`, which ends with a letter. */
function prefixEnd(prefix: string): Uint8Array {
  const end = Buffer.from(prefix);
  end[end.length - 1]++;
  return end;
}
