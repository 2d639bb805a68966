/** `--initial-cluster`: which members a new cluster begins with. */
import { hasDuplicateUrl } from "../cluster/founding.ts";
import { type ResolveHost, findUrlDifference } from "../cluster/peer-urls.ts";
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
 * Why this member cannot begin with its flags, or undefined: as far as they tell alone. For a member without a log only: one that
 * has a log knows its cluster from there, and ignores the flags, as etcd does.
 */
export function findInitialClusterProblem(config: Config): string | undefined {
  if (config.discovery !== "") {
    return (
      "the v2 discovery service (--discovery) is not supported: it is deprecated in etcd 3.6 and gone in 3.7; " +
      "use --discovery-token and --discovery-endpoints"
    );
  }
  if (discovers(config)) return undefined;
  if (config.initialCluster === "") return "initial cluster unset and no discovery URL found";
  return findMemberProblem(config, parseInitialCluster(config.initialCluster), config.initialCluster);
}

/** Why these founders cannot include this member, or undefined. */
export function findMemberProblem(
  config: Pick<Config, "name">,
  members: ReadonlyMap<string, readonly string[]>,
  text: string,
): string | undefined {
  if (!members.has(config.name)) {
    return `couldn't find local name ${quoteGo(config.name)} in the initial cluster configuration`;
  }
  return hasDuplicateUrl(members) ? `initial cluster ${text} has duplicate url` : undefined;
}

/**
 * Why `--initial-cluster` (`own` are this member's URLs in it) and `--initial-advertise-peer-urls` do not mean the same listeners,
 * or undefined.
 */
export async function findAdvertiseProblem(
  config: Pick<Config, "name" | "initialAdvertisePeerUrls">,
  own: readonly string[],
  resolve: ResolveHost,
): Promise<string | undefined> {
  const advertised = config.initialAdvertisePeerUrls.map((url) => url.text);
  const difference = await findUrlDifference(advertised, own, resolve);
  if (difference === undefined) return undefined;
  const list = advertised.join(",");
  const missing = own.filter((url) => !advertised.includes(url)).map((url) => `${config.name}=${url}`);
  if (missing.length > 0) {
    return `--initial-cluster has ${missing.join(",")} but missing from --initial-advertise-peer-urls=${list} (${difference})`;
  }
  const extra = advertised.filter((url) => !own.includes(url));
  const named = formatMember(config.name, advertised);
  return `--initial-advertise-peer-urls has ${extra.join(",")} but missing from --initial-cluster=${named}`;
}

/** One member in the form of `--initial-cluster`. */
export function formatMember(name: string, urls: readonly string[]): string {
  return urls.map((url) => `${name}=${url}`).join(",");
}
