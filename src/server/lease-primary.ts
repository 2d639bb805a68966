/**
 * The way to the primary lessor, which is the leader's: straight through this member's raft and apply threads if it leads, else
 * over HTTP to the member that does. Keep-alives and times to live are no entries; they are linearizable reads there, so that no
 * member answers for a leadership, or leases, that it has lost.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { ERRORS, ErrorId, GrpcCode } from "../base/errors.ts";
import { encodeCheckpoints, encodeId, LeaseView } from "../lease/lease-codec.ts";
import type { PeerCallOptions } from "../peer/peer-client.ts";
import { PeerCallError, postLeaseKeepAlive, postLeaseTimeToLive } from "../peer/peer-lease.ts";
import { createPeerAgent } from "../peer/peer-http.ts";
import { RaftField } from "../proto/raft-request.ts";
import { ReadKind } from "../ring/record-types.ts";
import { CallFailure } from "./internal-call.ts";
import { LeaseBatches } from "./lease-batches.ts";
import { failure } from "./reconfigurer.ts";
import type { Router } from "./router.ts";

/** Pause between two attempts to reach the leader. */
const FORWARD_PAUSE_MS = 50;
/** Connections to the leader. More make nothing quicker; requests wait for one. */
const PEER_SOCKETS_MAX = 32;
const HTTP_NOT_FOUND = 404;
const NOT_PRIMARY_TEXT = ERRORS[ErrorId.notPrimaryLessor].message;
const HAS_CHECKPOINT_TEXT = ERRORS[ErrorId.leaseHasCheckpoint].message;

export interface LeasePrimaryOptions {
  readonly router: Router;
  /** Time that a request has in all. */
  readonly requestTimeoutMs: number;
}

/** Whether an answer says that there is no such lease. */
export function isLeaseNotFound(error: unknown): boolean {
  return error instanceof CallFailure && error.grpcCode === GrpcCode.notFound;
}

/** Whether an answer says that this member is not the primary. */
export function isNotPrimary(error: { readonly message: string }): boolean {
  return error.message === NOT_PRIMARY_TEXT;
}

/** Whether a lease may be renewed only once its checkpoint is taken back. */
export function hasCheckpoint(error: { readonly message: string }): boolean {
  return error.message === HAS_CHECKPOINT_TEXT;
}

export class LeasePrimary {
  readonly #options: LeasePrimaryOptions;
  readonly #agent = createPeerAgent({ socketsMax: PEER_SOCKETS_MAX });
  readonly #batches: LeaseBatches;
  readonly #view = new LeaseView();

  constructor(options: LeasePrimaryOptions) {
    this.#options = options;
    this.#batches = new LeaseBatches({
      status: options.router.status,
      agent: this.#agent,
      requestTimeoutMs: options.requestTimeoutMs,
    });
  }

  /** Gives up the connections to other members. */
  close(): void {
    this.#agent.destroy();
  }

  /** Renews a lease wherever the primary is; resolves with its TTL in seconds, 0 if there is no such lease. Rejects with {@link CallFailure}. */
  async renew(low: number, high: number): Promise<number> {
    if (!this.#options.router.status.isLeader) {
      const batched = await this.#batches.renew(low, high);
      if (batched >= 0) return batched;
    }
    const request = encodeId(low, high);
    const seconds = await this.#atPrimary(
      () => this.renewHere(low, high),
      (url, options) => postLeaseKeepAlive(url, request, options),
    );
    return seconds ?? 0;
  }

  /** Renews a lease by this member's lessor; resolves with its TTL in seconds. Rejects with {@link CallFailure}. */
  async renewHere(low: number, high: number): Promise<number> {
    const { router } = this.#options;
    const request = encodeId(low, high);
    for (;;) {
      try {
        const answer = await router.request((call) =>
          router.read(call, ReadKind.leaseKeepAlive, true, request, 0, request.length),
        );
        this.#view.decodeKeepAlive(answer, 0, answer.length);
        return this.#view.seconds;
      } catch (error) {
        if (!(error instanceof CallFailure) || !hasCheckpoint(error)) throw error;
      }
      await this.#takeCheckpointBack(low, high);
    }
  }

  /** Resolves with a LeaseTimeToLiveResponse without header, null if there is no such lease. Rejects with {@link CallFailure}. */
  timeToLive(request: Uint8Array): Promise<Uint8Array | null> {
    return this.#atPrimary(
      () => this.timeToLiveHere(request),
      (url, options) => postLeaseTimeToLive(url, request, options),
    );
  }

  /** As {@link timeToLive}, by this member's lessor; rejects if there is no such lease. */
  timeToLiveHere(request: Uint8Array): Promise<Uint8Array> {
    const { router } = this.#options;
    return router.request((call) =>
      router.read(call, ReadKind.leaseTimeToLive, true, request, 0, request.length),
    );
  }

  /** The next leader must not believe it. */
  async #takeCheckpointBack(low: number, high: number): Promise<void> {
    const { router } = this.#options;
    const payload = encodeCheckpoints([low], [high], [0], 1);
    await router.request((call) =>
      router.proposeAsLeader(call, router.status.term, RaftField.leaseCheckpoint, payload),
    );
  }

  /** Asks here if this member leads, else at the leader, until the time is over. Null: no such lease. */
  async #atPrimary<T>(
    here: () => Promise<T>,
    there: (url: string, options: PeerCallOptions) => Promise<T>,
  ): Promise<T | null> {
    const { router, requestTimeoutMs } = this.#options;
    const { status } = router;
    const endMs = performance.now() + requestTimeoutMs;
    for (let leftMs = requestTimeoutMs; leftMs > 0; leftMs = endMs - performance.now()) {
      const isKnown = await status.until(
        () => status.isLeader || status.member(status.leaderId) !== undefined,
        leftMs,
      );
      if (!isKnown) throw failure(ErrorId.noLeader);
      try {
        if (status.isLeader) return await here();
        const peerUrls = status.member(status.leaderId)?.peerUrls ?? [];
        const answer = await this.#askAt(peerUrls, endMs, there);
        if (answer !== undefined) return answer;
      } catch (error) {
        if (isLeaseNotFound(error)) return null;
        if (!(error instanceof CallFailure) || !isNotPrimary(error)) throw error;
      }
      await sleep(FORWARD_PAUSE_MS);
    }
    throw failure(ErrorId.timeout);
  }

  /** Undefined when no URL gave an answer that counts. */
  async #askAt<T>(
    peerUrls: readonly string[],
    endMs: number,
    there: (url: string, options: PeerCallOptions) => Promise<T>,
  ): Promise<T | null | undefined> {
    for (const url of peerUrls) {
      const timeoutMs = Math.max(1, endMs - performance.now());
      try {
        return await there(url, { timeoutMs, agent: this.#agent });
      } catch (error) {
        if (error instanceof PeerCallError && error.status === HTTP_NOT_FOUND) return null;
      }
    }
    return undefined;
  }
}
