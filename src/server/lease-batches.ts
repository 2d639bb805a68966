/**
 * Keep-alives of a member that does not lead, gathered on their way to the leader: a request a keep-alive, as etcd has it, costs
 * both sides a hundred times more than the renewal. Only members of this program take batches; for others, and for whatever goes
 * wrong, the caller goes the single way.
 */

import type { Agent } from "node:http";
import { PeerCallError } from "../peer/peer-client.ts";
import { postLeaseKeepAlives } from "../peer/peer-lease.ts";
import type { MemberStatus } from "./member-status.ts";

/** Keep-alives in one request; an id takes up to 13 bytes, and a peer takes bodies of 64 KiB. */
const BATCH_MAX = 1000;
/** Requests under way; the next batch gathers meanwhile. */
const BATCHES_MAX = 4;
const HTTP_NOT_FOUND = 404;

/** {@link LeaseBatches.renew}: ask the single way. */
export const ASK_SINGLY = -1;

interface Waiting {
  readonly low: number;
  readonly high: number;
  readonly resolve: (seconds: number) => void;
}

export interface LeaseBatchesOptions {
  readonly status: MemberStatus;
  readonly agent: Agent;
  readonly requestTimeoutMs: number;
}

export class LeaseBatches {
  readonly #options: LeaseBatchesOptions;
  #waiting: Waiting[] = [];
  #underWay = 0;
  #scheduled = false;
  /** The leader that takes no batches. */
  #single = 0n;

  constructor(options: LeaseBatchesOptions) {
    this.#options = options;
  }

  /** Has the leader renew a lease; resolves with its TTL in seconds, 0 if there is no such lease, or {@link ASK_SINGLY}. */
  renew(low: number, high: number): Promise<number> {
    const { leaderId } = this.#options.status;
    if (leaderId === 0n || leaderId === this.#single) return Promise.resolve(ASK_SINGLY);
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#waiting.push({ low, high, resolve });
    this.#schedule();
    return promise;
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0 || this.#underWay >= BATCHES_MAX) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const batch = this.#waiting.splice(0, BATCH_MAX);
      this.#underWay++;
      void this.#send(batch).finally(() => {
        this.#underWay--;
        this.#schedule();
      });
      this.#schedule();
    });
  }

  /** Never rejects. */
  async #send(batch: readonly Waiting[]): Promise<void> {
    const { status, agent, requestTimeoutMs } = this.#options;
    const leaderId = status.leaderId;
    const [url] = status.member(leaderId)?.peerUrls ?? [];
    let seconds: readonly number[] = [];
    try {
      if (url !== undefined && leaderId !== status.memberId)
        seconds = await postLeaseKeepAlives(url, batch, { timeoutMs: requestTimeoutMs, agent });
    } catch (error) {
      if (error instanceof PeerCallError && error.status === HTTP_NOT_FOUND) this.#single = leaderId;
    }
    for (const [index, { resolve }] of batch.entries()) resolve(seconds[index] ?? ASK_SINGLY);
  }
}
