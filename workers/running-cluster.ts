/** What a start asks the members of a cluster that may be running: whether it is, who they are, and which versions they have. */

import { SERVER_VERSION } from "../src/base/version.ts";
import { formatId } from "../src/cluster/identity.ts";
import type { Member } from "../src/cluster/membership.ts";
import { judgeVersions } from "../src/cluster/version.ts";
import {
  type PeerMembers,
  firstOf,
  getDowngradeEnabled,
  getMembers,
  getVersion,
} from "../src/peer/peer-client.ts";
import type { Log } from "../src/telemetry/log.ts";

/** How long a founder waits for the others to say that they know it already; mostly nobody is there yet. */
const BOOTSTRAPPED_CHECK_MS = 1000;
/** How long one member of a running cluster may take to tell its members. */
const MEMBERS_CALL_MS = 10_000;

/** True if a member at one of these URLs knows `memberId` as started: its data was lost, and it must not begin anew under its old id. */
export async function isBootstrapped(memberId: bigint, urls: readonly string[]): Promise<boolean> {
  const answers = await Promise.allSettled(
    urls.map((url) => getMembers(url, { timeoutMs: BOOTSTRAPPED_CHECK_MS })),
  );
  return answers.some(
    (answer) =>
      answer.status === "fulfilled" &&
      answer.value.members.some(({ id, clientUrls }) => id === memberId && clientUrls.length > 0),
  );
}

/** The members as the first of these URLs tells them. Rejects in etcd's words. */
export async function fetchCluster(urls: readonly string[], log: Log): Promise<PeerMembers> {
  const context = "cannot fetch cluster info from peer urls";
  for (const url of urls) {
    const address = `${url}/members`;
    try {
      const cluster = await getMembers(url, { timeoutMs: MEMBERS_CALL_MS });
      if (cluster.clusterId === 0n) log.warn("failed to parse cluster ID", { address });
      else if (cluster.members.length > 0) return cluster;
      else throw new NoMembersError();
    } catch (error) {
      if (error instanceof NoMembersError) {
        throw new Error(`${context}: failed to get raft cluster member(s) from the given URLs`, {
          cause: error,
        });
      }
      log.warn("failed to get cluster response", { address, error });
    }
  }
  throw new Error(`${context}: could not retrieve cluster information from the given URLs`);
}

/** An answer that knows no member ends the search, as in etcd. */
class NoMembersError extends Error {}

/** True if this server may join: what the members say of the cluster's version allows it. */
export async function isCompatible(
  remotes: readonly Member[],
  timeoutMs: number,
  log: Log,
): Promise<boolean> {
  const call = { timeoutMs };
  const versions = await Promise.all(
    remotes.map(async ({ id, peerUrls }) => {
      const fields = { "remote-member-id": formatId(id) };
      try {
        const { cluster } = await firstOf(peerUrls, (url) => getVersion(url, call));
        return { id: formatId(id), clusterVersion: cluster };
      } catch (error) {
        log.warn("failed to get version", { ...fields, error });
        return { id: formatId(id), clusterVersion: null };
      }
    }),
  );
  const { compatible, warnings } = judgeVersions(
    versions,
    SERVER_VERSION,
    await isDowngrading(remotes, timeoutMs, log),
  );
  for (const { message, fields } of warnings) log.warn(message, fields);
  return compatible;
}

/** What the first member says that can: it reads it linearizably, so any of them speaks for the cluster. */
async function isDowngrading(remotes: readonly Member[], timeoutMs: number, log: Log): Promise<boolean> {
  for (const { id, peerUrls } of remotes) {
    try {
      return await firstOf(peerUrls, (url) => getDowngradeEnabled(url, { timeoutMs }));
    } catch (error) {
      log.warn("failed to get downgrade enabled status", { "remote-member-id": formatId(id), error });
    }
  }
  return false;
}
