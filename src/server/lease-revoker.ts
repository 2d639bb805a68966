/**
 * Proposes what this member's lessor, the primary one, hands out by the clock: revocations of leases that have expired, a few at
 * a time, and checkpoints. All of it as the leader of the term in which it was handed out, so that a member which has lost its
 * leadership without knowing revokes nothing that others have renewed. What fails is handed out again.
 */

import { ERRORS, ErrorId } from "../base/errors.ts";
import { viewOf } from "../base/bytes.ts";
import { encodeId } from "../lease/lease-codec.ts";
import { RaftField } from "../proto/raft-request.ts";
import { RecordType } from "../ring/record-types.ts";
import type { Logger } from "../telemetry/logger.ts";
import { CallFailure } from "./internal-call.ts";
import { isLeaseNotFound } from "./lease-primary.ts";
import type { Router } from "./router.ts";

/** Revocations in the log or on the way there at a time; etcd's number. */
const REVOCATIONS_MAX = 16;
/** Leases that wait for one of those places. More are dropped: apply hands them out again. */
const QUEUE_MAX = 10_000;
const NOT_LEADER_TEXT = ERRORS[ErrorId.notLeader].message;
const TERM_BYTES = 8;
const ID_BYTES = 8;

interface Expired {
  readonly term: number;
  readonly low: number;
  readonly high: number;
}

/** From now on takes what the router brings. To be called before any record can come. */
export function startRevoker(router: Router, log: Logger): void {
  const revoker = new LeaseRevoker(router, log);
  router.onRecord(RecordType.leaseExpired, revoker.onExpired);
  router.onRecord(RecordType.leaseCheckpoint, revoker.onCheckpoint);
}

class LeaseRevoker {
  readonly #router: Router;
  readonly #log: Logger;
  #queue: Expired[] = [];
  #next = 0;
  #revoking = 0;

  constructor(router: Router, log: Logger) {
    this.#router = router;
    this.#log = log;
  }

  readonly onExpired = (bytes: Uint8Array, start: number, end: number): void => {
    const view = viewOf(bytes);
    const from = bytes.byteOffset + start;
    const term = view.getFloat64(from, true);
    // An older term's never get through.
    if (this.#queue.length > 0 && this.#queue[0].term !== term) this.#clear();
    for (let at = from + TERM_BYTES; at < bytes.byteOffset + end; at += ID_BYTES) {
      if (this.#queue.length - this.#next >= QUEUE_MAX) break;
      this.#queue.push({ term, low: view.getUint32(at, true), high: view.getUint32(at + 4, true) });
      this.#router.status.leasesExpired++;
    }
    this.#revokeNext();
  };

  readonly onCheckpoint = (bytes: Uint8Array, start: number, end: number): void => {
    const term = viewOf(bytes).getFloat64(bytes.byteOffset + start, true);
    const request = bytes.slice(start + TERM_BYTES, end);
    this.#router
      .request((call) => this.#router.proposeAsLeader(call, term, RaftField.leaseCheckpoint, request))
      .catch((error: unknown) => this.#log.warn("failed to checkpoint leases", { error }));
  };

  #clear(): void {
    this.#queue = [];
    this.#next = 0;
  }

  #revokeNext(): void {
    while (this.#revoking < REVOCATIONS_MAX && this.#next < this.#queue.length) {
      const lease = this.#queue[this.#next++];
      this.#revoking++;
      void this.#revoke(lease).finally(() => {
        this.#revoking--;
        this.#revokeNext();
      });
    }
    if (this.#next === this.#queue.length) this.#clear();
  }

  /** Never rejects. */
  async #revoke({ term, low, high }: Expired): Promise<void> {
    const request = encodeId(low, high);
    try {
      await this.#router.request((call) =>
        this.#router.proposeAsLeader(call, term, RaftField.leaseRevoke, request),
      );
    } catch (error) {
      // Somebody else has revoked it meanwhile.
      if (isLeaseNotFound(error) || !(error instanceof CallFailure)) return;
      // The term is over, for all of them: the next leader revokes what nobody renews there.
      if (error.message === NOT_LEADER_TEXT) return this.#clear();
      const id = high.toString(16) + low.toString(16).padStart(8, "0");
      this.#log.warn("failed to revoke lease", { "lease-id": id.replace(/^0+/, ""), error: error.message });
    }
  }
}
