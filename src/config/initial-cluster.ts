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
  if (discovers(flags)) return "";
  if (flags.name === "default") return DEFAULT_INITIAL_CLUSTER;
  return flags.initialAdvertisePeerUrls.map((url) => `${flags.name}=${url.text}`).join(",");
}

type DiscoveryFlags = Pick<
  FlagConfig,
  "discovery" | "discoverySrv" | "discoverySrvName" | "discoveryEndpoints"
>;

function discovers({
  discovery,
  discoverySrv,
  discoverySrvName,
  discoveryEndpoints,
}: DiscoveryFlags): boolean {
  return discovery !== "" || discoverySrv !== "" || discoverySrvName !== "" || discoveryEndpoints.length > 0;
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
 * Why this member cannot found the cluster that its flags describe, or undefined. For a member without a log only: one that has
 * a log knows its cluster from there, and ignores the flags, as etcd does.
 */
export function findFoundingProblem(config: Config): string | undefined {
  if (discovers(config))
    return "clusters that are found by discovery are not supported yet: name the members in --initial-cluster";
  if (config.initialClusterState === "existing") {
    return "--initial-cluster-state=existing: joining a running cluster is not supported yet, and there is no log of a member here";
  }
  const problem = findInitialClusterProblem(config);
  if (problem !== undefined) return problem;
  const names = [...parseInitialCluster(config.initialCluster).keys()];
  if (names.length === 1) return undefined;
  return `--initial-cluster names ${names.length} members (${names.join(", ")}): clusters of several members are not supported yet`;
}

/** Why the flags do not describe a cluster of which this member is part, or undefined. */
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
