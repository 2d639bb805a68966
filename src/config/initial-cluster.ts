/** `--initial-cluster`: which members a new cluster begins with. */
import { ConfigError } from "./config-error.ts";
import type { Config } from "./config.ts";
import type { FlagConfig } from "./flag-table.ts";
import { quoteGo } from "./go-values.ts";
import { parseUrl } from "./urls.ts";

/** etcd's default, kept as it is when only other flags were changed. */
const DEFAULT_INITIAL_CLUSTER = "default=http://localhost:2380";

/** The flag's effective value: nothing with discovery, this member alone under its name when only the name was set. */
export function resolveInitialCluster(flags: FlagConfig, { given }: { given: boolean }): string {
  if (given) return flags.initialCluster;
  const discovers =
    flags.discovery !== "" ||
    flags.discoverySrv !== "" ||
    flags.discoverySrvName !== "" ||
    flags.discoveryEndpoints.length > 0;
  if (discovers) return "";
  if (flags.name === "default") return DEFAULT_INITIAL_CLUSTER;
  return flags.initialAdvertisePeerUrls.map((url) => `${flags.name}=${url.text}`).join(",");
}

/**
 * Reads `name=url,name=url,...`; a name may stand several times. Peer URLs by member name, sorted.
 * @throws ConfigError if an entry is broken
 */
export function parseInitialCluster(text: string): Map<string, string[]> {
  const urls = new Map<string, string[]>();
  for (const entry of text.split(",")) {
    if (entry === "") continue;
    const at = entry.indexOf("=");
    if (at <= 0 || at === entry.length - 1) throw new ConfigError(`empty URL given for ${quoteGo(entry)}`);
    const name = entry.slice(0, at);
    const url = parseUrl(entry.slice(at + 1)).text;
    urls.set(name, [...(urls.get(name) ?? []), url].sort());
  }
  return urls;
}

/**
 * Why this member cannot found or join the cluster that its flags describe, or undefined. For a data directory that is still
 * empty only: later the flags are ignored.
 */
export function findInitialClusterProblem(config: Config): string | undefined {
  if (config.initialCluster === "") return "initial cluster unset and no discovery URL found";
  const members = parseInitialCluster(config.initialCluster);
  const own = members.get(config.name);
  if (own === undefined) {
    return `couldn't find local name ${quoteGo(config.name)} in the initial cluster configuration`;
  }
  const all = [...members.values()].flat();
  if (new Set(all).size !== all.length) {
    return `initial cluster ${config.initialCluster} has duplicate url`;
  }
  return findAdvertiseMismatch(config, own);
}

function findAdvertiseMismatch(config: Config, own: readonly string[]): string | undefined {
  const advertised = config.initialAdvertisePeerUrls.map((url) => url.text);
  const missing = own.filter((url) => !advertised.includes(url)).map((url) => `${config.name}=${url}`);
  if (missing.length > 0) {
    return `--initial-cluster has ${missing.join(",")} but missing from --initial-advertise-peer-urls=${advertised.join(",")}`;
  }
  const extra = advertised.filter((url) => !own.includes(url));
  return extra.length === 0
    ? undefined
    : `--initial-advertise-peer-urls has ${extra.join(",")} but missing from --initial-cluster=${config.initialCluster}`;
}
