/** What a member does when there is a leader, and before clients may come: it publishes its name and client URLs. */

import { setTimeout as sleep } from "node:timers/promises";
import { ERRORS, ErrorId } from "../base/errors.ts";
import { MessageBuilder } from "../proto/message-builder.ts";
import { RaftField } from "../proto/raft-request.ts";
import type { Logger } from "../telemetry/logger.ts";
import { CallFailure } from "./internal-call.ts";
import type { Router } from "./router.ts";

/** Pause after a proposal that failed: what is refused at once (a leader that goes) is refused again a moment later. */
const RETRY_MS = 100;

export interface PublishOptions {
  readonly memberId: bigint;
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly log: Logger;
}

/** ClusterMemberAttrSetRequest {1 member_ID, 2 attributes {1 name, 2 client_urls}}. */
function encodeAttributes(options: PublishOptions): Uint8Array {
  const attributes = new MessageBuilder().string(1, options.name).strings(2, options.clientUrls);
  return new MessageBuilder().uint64(1, options.memberId).message(2, attributes).finish();
}

function isPublished(router: Router, { memberId, name, clientUrls }: PublishOptions): boolean {
  const member = router.status.member(memberId);
  return member?.name === name && member.clientUrls.join(" ") === clientUrls.join(" ");
}

/**
 * Proposes it, again and again until it is applied, however long there is no leader or the replay of the log before it takes:
 * applied twice, it changes nothing. Rejects with `CallFailure` only when the member stops.
 */
export async function publishMember(router: Router, options: PublishOptions): Promise<void> {
  const payload = encodeAttributes(options);
  const fields = {
    "local-member-id": options.memberId,
    "local-member-attributes": `{Name:${options.name} ClientURLs:[${options.clientUrls.join(" ")}]}`,
  };
  // A member that is far behind may get its own entry inside a snapshot: nobody answers it then, but the membership shows it.
  const shown = Promise.withResolvers<void>();
  const look = (): void => void (isPublished(router, options) && shown.resolve());
  if (!isPublished(router, options)) router.status.listeners.add(look);
  try {
    while (!(await publishOnce(router, payload, shown.promise, options.log, fields))) await sleep(RETRY_MS);
  } finally {
    router.status.listeners.delete(look);
  }
  options.log.info("published local member to cluster through raft", fields);
}

/** False if it has to be tried again. */
async function publishOnce(
  router: Router,
  payload: Uint8Array,
  shown: Promise<void>,
  log: Logger,
  fields: object,
): Promise<boolean> {
  const answer = router.request((call) =>
    router.propose(call, RaftField.clusterMemberAttrSet, payload, 0, payload.length),
  );
  try {
    await Promise.race([answer, shown]);
    answer.catch(() => undefined);
    return true;
  } catch (error) {
    if (!(error instanceof CallFailure)) throw error;
    if (error.message === ERRORS[ErrorId.stopped].message) {
      log.warn("stopped publish because server is stopping", { ...fields });
      throw error;
    }
    log.warn("failed to publish local member to cluster through raft", { ...fields, error });
    return false;
  }
}
