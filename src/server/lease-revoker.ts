/**
 * Proposes what this member's lessor, the primary one, hands out by the clock: revocations of leases that have expired, a few at
 * a time, and checkpoints. All of it as the leader of the term in which it was handed out, so that a member which has lost its
 * leadership without knowing revokes nothing that others have renewed. A revocation that fails is handed out again; a checkpoint is
 * not, and its lease is not renewed until it is through: it is proposed until it is in the log, or the term is over.
 */

import { setTimeout as sleep } from "node:timers/promises";
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
/** Pause before a checkpoint that found no room is proposed again. */
const CHECKPOINT_PAUSE_MS = 100;
/** Answers to what is certainly not in the log. */
const NOT_PROPOSED_TEXTS = new Set(
  [ErrorId.requestTooManyRequests, ErrorId.proposalDropped].map((id) => ERRORS[id].message),
);
const NOT_LEADER_TEXT = ERRORS[ErrorId.notLeader].message;
const TERM_BYTES = 8;
const ID_BYTES = 8;

interface Expired {
  readonly term: number;
  readonly low: number;
  readonly high: number;
}

/** From now on takes what the router brings. To be called before any record can come. */
export function startRevoker(
  router: Router,
  log: Logger,
  pause: (ms: number) => Promise<unknown> = sleep,
): void {
  const revoker = new LeaseRevoker(router, log, pause);
  router.onRecord(RecordType.leaseExpired, revoker.onExpired);
  router.onRecord(RecordType.leaseCheckpoint, revoker.onCheckpoint);
}

class LeaseRevoker {
  readonly #router: Router;
  readonly #log: Logger;
  readonly #pause: (ms: number) => Promise<unknown>;
  #queue: Expired[] = [];
  #next = 0;
  #revoking = 0;

  constructor(router: Router, log: Logger, pause: (ms: number) => Promise<unknown>) {
    this.#router = router;
    this.#log = log;
    this.#pause = pause;
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
    void this.#checkpoint(term, bytes.slice(start + TERM_BYTES, end));
  };

  /** Never rejects. The first attempt is made at once: what is proposed after this call comes behind it in the log. */
  async #checkpoint(term: number, request: Uint8Array): Promise<void> {
    const router = this.#router;
    for (;;) {
      try {
        await router.request((call) =>
          router.proposeAsLeader(call, term, RaftField.leaseCheckpoint, request),
        );
        return;
      } catch (error) {
        const text = (error as Error).message;
        if (text === NOT_LEADER_TEXT || router.status.term !== term) return;
        // Whatever else failed may be in the log, and must not be there twice: what was renewed in between would be forgotten.
        if (!NOT_PROPOSED_TEXTS.has(text))
          return this.#log.warn("failed to checkpoint leases", { error: text });
      }
      await this.#pause(CHECKPOINT_PAUSE_MS);
    }
  }

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
