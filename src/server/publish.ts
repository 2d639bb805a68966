/** What a member does when it has a leader and before clients may come: publish its name, and decide the cluster's version. */

import { CLUSTER_VERSION } from "../base/version.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { RaftField } from "../proto/raft-request.ts";
import type { Router } from "./router.ts";

export interface PublishOptions {
  readonly memberId: bigint;
  readonly name: string;
  readonly clientUrls: readonly string[];
  /** As applied so far; empty while undecided. */
  readonly clusterVersion: string;
}

/** ClusterMemberAttrSetRequest {1 member_ID, 2 attributes {1 name, 2 client_urls}}. */
function encodeAttributes(options: PublishOptions): Uint8Array {
  const attributes = new MessageBuilder().string(1, options.name).strings(2, options.clientUrls);
  return new MessageBuilder().uint64(1, options.memberId).message(2, attributes).finish();
}

/** Proposes both and waits until they are applied. Returns the cluster version. Rejects with `CallFailure`. */
export async function publishMember(router: Router, options: PublishOptions): Promise<string> {
  const attributes = encodeAttributes(options);
  const published = router.request((call) => {
    router.propose(call, RaftField.clusterMemberAttrSet, attributes, 0, attributes.length);
  });
  if (options.clusterVersion !== "") {
    await published;
    return options.clusterVersion;
  }
  const version = new MessageBuilder().string(1, CLUSTER_VERSION).finish();
  const decided = router.request((call) => {
    router.propose(call, RaftField.clusterVersionSet, version, 0, version.length);
  });
  await Promise.all([published, decided]);
  return CLUSTER_VERSION;
}
