/**
 * v3 discovery: founders who do not know each other meet in the key space of another etcd cluster, under a token.
 *
 * ```
 *   /_etcd/registry/<token>/_config/size          how many found the cluster, written by the operator beforehand
 *   /_etcd/registry/<token>/members/<hex id>      name=url[,name=url]; the first `size` by create revision count
 * ```
 *
 * The order of joining: look whether there is room, register, wait until there are enough. Whoever comes too late is refused.
 */

import { formatId } from "./identity.ts";

const REGISTRY = "/_etcd/registry";
/** How often it is looked who has come: members of a new cluster start by hand or by a script, seconds apart. */
const WAIT_MS = 1000;
/** After a failure the pause doubles, from 2 s up to 2^8 s. */
const RETRY_SECONDS_LOG2_MAX = 8;

/** A key of the discovery cluster. */
export interface RegistryEntry {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
}

/** The discovery cluster. Calls reject when it cannot be reached; they are made again. */
export interface Registry {
  get(key: string): Promise<string | undefined>;
  list(prefix: string): Promise<readonly RegistryEntry[]>;
  put(key: string, value: string): Promise<void>;
}

export interface DiscoveryOptions {
  readonly token: string;
  readonly memberId: bigint;
  /** `name=url[,name=url]` of this member. */
  readonly self: string;
  readonly registry: Registry;
  /** Rejects when the member is told to stop meanwhile. */
  readonly sleep: (milliseconds: number) => Promise<void>;
  readonly log: (level: "info" | "warn", message: string, fields: Record<string, unknown>) => void;
}

/** A refusal that trying again does not change. */
export class DiscoveryError extends Error {
  override readonly name = "DiscoveryError";
}

/**
 * Registers this member and waits for the others. Returns all founders in the form of `--initial-cluster`.
 * @throws DiscoveryError when the token is unknown, or the cluster is full without this member
 */
export async function joinByDiscovery(options: DiscoveryOptions): Promise<string> {
  const { token, memberId, self, registry, log } = options;
  await retried(options, "cluster status check", () => checkRoom(options));
  const memberKey = `${REGISTRY}/${token}/members/${formatId(memberId)}`;
  await retried(options, "register member itself", () => registry.put(memberKey, self));
  log("info", "register member itself successfully", { memberKey, memberInfo: self });
  let founders = await retried(options, "cluster status check", () => checkRoom(options));
  if (founders.members.length < founders.size) {
    log("info", "waiting for peers from discovery service", {
      clusterSize: founders.size,
      "found-peers": founders.members.length,
    });
  }
  while (founders.members.length < founders.size) {
    await options.sleep(WAIT_MS);
    founders = await retried(options, "cluster status check", () => checkRoom(options));
  }
  log("info", "found all needed peers from discovery service", {
    clusterSize: founders.size,
    "found-peers": founders.members.length,
  });
  return founders.members
    .slice(0, founders.size)
    .map(({ value }) => value)
    .join(",");
}

interface Founders {
  readonly size: number;
  /** By create revision. */
  readonly members: readonly RegistryEntry[];
}

/** Who has registered. Throws `DiscoveryError` when this member is not among them and there is no room for it. */
async function checkRoom({ token, memberId, registry, log }: DiscoveryOptions): Promise<Founders> {
  const size = await readSize(registry, `${REGISTRY}/${token}/_config/size`);
  const prefix = `${REGISTRY}/${token}/members`;
  const members: RegistryEntry[] = [];
  for (const entry of await registry.list(prefix)) {
    const member = { ...entry, key: entry.key.trim(), value: entry.value.trim() };
    if (member.value.includes("=")) members.push(member);
    else {
      log("warn", "invalid peer info returned from discovery service", {
        memberKey: member.key,
        memberInfo: member.value,
      });
    }
  }
  members.sort((a, b) => a.createRevision - b.createRevision);
  const place = members.findIndex(({ key }) => key === `${prefix}/${formatId(memberId)}`);
  if (place >= size || (place === -1 && members.length >= size)) {
    throw new DiscoveryError("discovery: cluster is full");
  }
  return { size, members };
}

async function readSize(registry: Registry, key: string): Promise<number> {
  const text = await registry.get(key);
  if (text === undefined) throw new DiscoveryError("discovery: size key not found");
  const size = /^\+?\d{1,9}$/.test(text) ? Number(text) : 0;
  if (size <= 0) throw new DiscoveryError("discovery: size key is bad");
  return size;
}

/** Tries until it succeeds, or fails for good. */
async function retried<T>(options: DiscoveryOptions, reason: string, attempt: () => Promise<T>): Promise<T> {
  for (let retry = 1; ; retry++) {
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof DiscoveryError) throw error;
      const seconds = 2 ** Math.min(retry, RETRY_SECONDS_LOG2_MAX);
      options.log("warn", "retry connecting to discovery service", {
        reason,
        backoff: `${seconds}s`,
        error: (error as Error).message,
      });
      await options.sleep(seconds * 1000);
    }
  }
}
