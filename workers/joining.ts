/** What a member does between its threads' start and its first client: it compares its data, finds the version, and publishes itself. */

import type { Config } from "../src/config/config.ts";
import type { MemberIdentity } from "../src/proto/response-header.ts";
import { publishMember } from "../src/server/publish.ts";
import type { Router } from "../src/server/router.ts";
import { VersionMonitor } from "../src/server/version-monitor.ts";
import type { Log } from "../src/telemetry/log.ts";

/** Longest wait of a new cluster's leader for its version before it serves. */
const VERSION_WAIT_MS = 1000;

export interface Joining {
  readonly router: Router;
  readonly identity: MemberIdentity;
  readonly config: Config;
  readonly log: Log;
}

/** Feature gate InitialCorruptCheck: a member with data compares it with the others' before it takes part. */
export async function checkData({ router, identity, config, log }: Joining): Promise<void> {
  const { requestTimeoutMs } = config;
  const { checkAtStart } = await import("../src/server/corruption-check.ts");
  const { MemberCorruptionHost } = await import("../src/server/corruption-host.ts");
  // Apply tells who the members are with its first record.
  await router.status.until(() => router.status.members.length > 0, requestTimeoutMs);
  await checkAtStart(new MemberCorruptionHost({ router, identity, requestTimeoutMs, log }));
}

/** Watches the members' versions, and decides the cluster's where this one leads, until it is stopped. */
export function startVersionMonitor({ router, config, log }: Joining): VersionMonitor {
  const timeoutMs = config.requestTimeoutMs;
  const versions = new VersionMonitor({
    router,
    log,
    downgradeCheckMs: config.downgradeCheckTimeMs,
    versionOf: async ({ peerUrls }) => {
      // A member that is alone starts without what speaks with others.
      const { firstOf, getVersion } = await import("../src/peer/peer-client.ts");
      return (await firstOf(peerUrls, (url) => getVersion(url, { timeoutMs }))).server;
    },
  });
  versions.start();
  return versions;
}

/** Waits for a leader, and publishes this member: only then may clients come. */
export async function joinCluster({ router, identity, config, log }: Joining): Promise<void> {
  await publishMember(router, {
    memberId: identity.memberId,
    name: config.name,
    clientUrls: config.advertiseClientUrls.map((url) => url.text),
    log,
  });
  // A leader decides the version in these moments; clients of a new cluster should not see it without one.
  const { status } = router;
  await status.until(() => status.clusterVersion !== "" || !status.isLeader, VERSION_WAIT_MS);
}
