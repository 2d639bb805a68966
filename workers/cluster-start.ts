/**
 * How a member without a log comes to its cluster: it founds one with others, or it joins one that runs. Asks DNS, a discovery
 * cluster and the other members; nothing is written here. What is decided by what they say: `src/cluster`.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { type PlannedCluster, otherPeerUrls, planCluster } from "../src/cluster/founding.ts";
import { formatId } from "../src/cluster/identity.ts";
import { describeCluster, hasTooManyLearners, matchMembers } from "../src/cluster/joining.ts";
import type { ResolveHost } from "../src/cluster/peer-urls.ts";
import { type SrvResolver, findSrvMembers } from "../src/cluster/srv-discovery.ts";
import { DiscoveryError, joinByDiscovery } from "../src/cluster/v3-discovery.ts";
import type { Config } from "../src/config/config.ts";
import {
  findAdvertiseProblem,
  findMemberProblem,
  formatMember,
  parseInitialCluster,
} from "../src/config/initial-cluster.ts";
import type { FoundingMember } from "../src/raft/bootstrap.ts";
import type { Log } from "../src/telemetry/log.ts";
import { whenAborted } from "./abort.ts";
import type { RemoteMember } from "./control.ts";
import { patientResolver, srvResolver } from "./dns.ts";

/** What a member without a log begins with. */
export interface ClusterStart {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  /** The cluster runs; otherwise this member is one of its founders. */
  readonly joining: boolean;
  /** Empty when joining. */
  readonly foundingMembers: readonly FoundingMember[];
  /** The others of a running cluster; empty when founding. */
  readonly remotes: readonly RemoteMember[];
}

export interface ClusterStartOptions {
  readonly config: Config;
  readonly log: Log;
  /** Ends the search: the member is to stop. */
  readonly stop: AbortSignal;
  /** Default: the system's. */
  readonly resolver?: SrvResolver;
  readonly resolveHost?: ResolveHost;
}

/** Finds the cluster. Rejects with etcd's words for what does not fit, or with the signal's reason. */
export async function findCluster(options: ClusterStartOptions): Promise<ClusterStart> {
  const { config, stop } = options;
  stop.throwIfAborted();
  const start = config.initialClusterState === "existing" ? join(options) : found(options);
  // Calls in progress end by their time limits; nobody waits for them.
  start.catch(() => undefined);
  return Promise.race([start, whenAborted(stop)]);
}

async function found(options: ClusterStartOptions): Promise<ClusterStart> {
  const { config, log, stop } = options;
  const { urls, token } = await planned(options);
  const resolveHost = options.resolveHost ?? patientResolver(log, stop);
  refuseIf(await findAdvertiseProblem(config, urls.get(config.name) ?? [], resolveHost));
  refuseIf(findMemberProblem(config, urls, [...urls].map(([name, list]) => formatMember(name, list)).join()));
  const plan = planCluster(urls, token, sha1);
  const self = ownMember(plan, config);
  const others = otherPeerUrls(plan.members, config.name);
  if (others.length > 0) {
    // A member that is alone starts without what speaks with others.
    const { isBootstrapped } = await import("./running-cluster.ts");
    refuseIf(
      (await isBootstrapped(self.id, others))
        ? `member ${formatId(self.id)} has already been bootstrapped`
        : undefined,
    );
  }
  const { clusterId, members } =
    config.discoveryEndpoints.length > 0 ? await discovered(options, self) : plan;
  return { memberId: self.id, clusterId, joining: false, foundingMembers: members, remotes: [] };
}

async function join(options: ClusterStartOptions): Promise<ClusterStart> {
  const { config, log, stop } = options;
  const { fetchCluster, isCompatible } = await import("./running-cluster.ts");
  const { urls, token } = await planned(options);
  const plan = planCluster(urls, token, sha1);
  const existing = await fetchCluster(otherPeerUrls(plan.members, config.name), log);
  const resolveHost = options.resolveHost ?? patientResolver(log, stop);
  const matched = await matchMembers(plan.members, existing.members, resolveHost);
  if (matched.problem !== undefined) {
    const cluster = describeCluster(existing.clusterId, existing.members);
    throw new Error(`error validating peerURLs ${cluster}: ${matched.problem}`);
  }
  const memberId = matched.idByName.get(config.name) ?? 0n;
  const remotes = existing.members.filter(({ id }) => id !== memberId);
  if (!(await isCompatible(remotes, config.requestTimeoutMs, log))) {
    throw new Error("incompatible with current running cluster");
  }
  if (hasTooManyLearners(existing.members, config.learnersMax)) {
    throw new Error("membership: too many learner members in cluster");
  }
  return {
    memberId,
    clusterId: existing.clusterId,
    joining: true,
    foundingMembers: [],
    remotes: remotes.map(({ id, peerUrls }) => ({ id, peerUrls })),
  };
}

/** The founders by name, as the flags or DNS name them; with v3 discovery this member alone. */
async function planned(
  options: ClusterStartOptions,
): Promise<{ urls: ReadonlyMap<string, readonly string[]>; token: string }> {
  const { config } = options;
  if (config.discoveryEndpoints.length > 0) {
    const own = config.initialAdvertisePeerUrls.map((url) => url.text);
    return { urls: new Map([[config.name, own]]), token: config.discoveryToken };
  }
  const text = config.discoverySrv === "" ? config.initialCluster : await searchDns(options);
  const urls = parseInitialCluster(text);
  if (config.discoverySrv !== "" && !urls.has(config.name)) {
    throw new Error(`cannot find local etcd member ${JSON.stringify(config.name)} in SRV records`);
  }
  return { urls, token: config.initialClusterToken };
}

async function searchDns({ config, log, resolver }: ClusterStartOptions): Promise<string> {
  const advertisedUrls = config.initialAdvertisePeerUrls.map((url) => url.text);
  const found = await findSrvMembers(
    {
      domain: config.discoverySrv,
      serviceName: config.discoverySrvName,
      memberName: config.name,
      advertisedUrls,
    },
    resolver ?? srvResolver,
  );
  for (const { scheme, service, members, problem } of found) {
    log.info(`get cluster for ${service} SRV`, {
      "service-scheme": scheme,
      "service-name": service,
      "server-name": config.name,
      "discovery-srv": config.discoverySrv,
      "advertise-peer-urls": advertisedUrls,
      "found-cluster": members,
      ...(problem === undefined ? {} : { error: problem }),
    });
  }
  const problems = found.flatMap(({ problem }) => problem ?? []);
  if (problems.length > 0) log.warn("failed to resolve during SRV discovery", { error: problems.join("\n") });
  const members = found.flatMap((each) => each.members);
  if (members.length === 0) throw new Error(problems.join("\n") || "no SRV records found");
  for (const node of members) log.info("got bootstrap from DNS for etcd-server", { node });
  return members.join(",");
}

/** The founders that have met this one by v3 discovery. */
async function discovered(options: ClusterStartOptions, self: FoundingMember): Promise<PlannedCluster> {
  const { config, log } = options;
  log.info("Bootstrapping cluster using v3 discovery.", {});
  const text = await discover(options, self);
  const urls = parseInitialCluster(text);
  refuseIf(findMemberProblem(config, urls, text)?.replace(/^initial/, "discovery"));
  return planCluster(urls, config.discoveryToken, sha1);
}

async function discover(options: ClusterStartOptions, self: FoundingMember): Promise<string> {
  const { config, log, stop } = options;
  const fields = {
    "discovery-token": config.discoveryToken,
    "discovery-endpoints": config.discoveryEndpoints.join(","),
  };
  // The gRPC client costs memory and time, so only those who use it pay.
  const { openRegistry } = await import("./discovery-registry.ts");
  const registry = await openRegistry(config);
  try {
    const cluster = await joinByDiscovery({
      token: config.discoveryToken,
      memberId: self.id,
      self: formatMember(self.name, self.peerUrls),
      registry,
      sleep: (milliseconds) => sleep(milliseconds, undefined, { signal: stop }),
      log: (level, message, more) => log[level](message, { ...fields, ...more }),
    });
    log.info("discovery joined cluster successfully", { ...fields, cluster });
    return cluster;
  } catch (error) {
    if (error instanceof DiscoveryError) {
      log.error("discovery failed to join cluster", { ...fields, error });
      throw new Error(`failed to join discovery cluster (${error.message})`, { cause: error });
    }
    throw error;
  } finally {
    registry.close();
  }
}

function ownMember({ members }: PlannedCluster, config: Config): FoundingMember {
  const member = members.find(({ name }) => name === config.name);
  if (member === undefined) throw new Error(`member ${config.name} is not in its own cluster`);
  return member;
}

function refuseIf(problem: string | undefined): void {
  if (problem !== undefined) throw new Error(problem);
}

function sha1(bytes: Uint8Array): Uint8Array {
  return process.getBuiltinModule("node:crypto").createHash("sha1").update(bytes).digest();
}
