/** What a member does when it has a leader and before clients may come: publish its name, and decide the cluster's version. */

import { ERRORS, ErrorId } from "../base/errors.ts";
import { CLUSTER_VERSION } from "../base/version.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { RaftField } from "../proto/raft-request.ts";
import { CallFailure } from "./internal-call.ts";
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

/**
 * Proposes both and waits until they are applied, however long the replay of the log before them takes. Returns the cluster
 * version. Rejects with `CallFailure` when the member stops.
 */
export async function publishMember(router: Router, options: PublishOptions): Promise<string> {
  const published = propose(router, RaftField.clusterMemberAttrSet, encodeAttributes(options));
  if (options.clusterVersion !== "") {
    await published;
    return options.clusterVersion;
  }
  const version = new MessageBuilder().string(1, CLUSTER_VERSION).finish();
  await Promise.all([published, propose(router, RaftField.clusterVersionSet, version)]);
  return CLUSTER_VERSION;
}

/** A proposal that timed out is made again: applied twice, it changes nothing. */
async function propose(router: Router, field: number, payload: Uint8Array): Promise<void> {
  const timedOut = ERRORS[ErrorId.timeout]?.message;
  for (;;) {
    try {
      await router.request((call) => router.propose(call, field, payload, 0, payload.length));
      return;
    } catch (error) {
      if (!(error instanceof CallFailure) || error.message !== timedOut) throw error;
    }
  }
}
