/** A lock that one session of a cluster holds at a time. */
import { GrpcCode } from "../base/errors.ts";
import { EtcdError } from "./etcd-error.ts";
import { createdAt, firstOf, PATIENT, queueKey, queuePrefix, waitForTurn } from "./key-queue.ts";
import type { Session } from "./session.ts";

/**
 * A named lock. It is lost with the session: who holds it must look at {@link Session.ended}, or make {@link key}'s existence a
 * condition of what it protects.
 */
export class Mutex {
  /** This session's key in the lock's queue. */
  readonly key: Uint8Array;
  readonly #session: Session;
  readonly #prefix: Uint8Array;

  constructor(session: Session, name: string | Uint8Array) {
    this.#session = session;
    this.#prefix = queuePrefix(name);
    this.key = queueKey(this.#prefix, session);
  }

  /**
   * Waits for the lock. Resolves with the revision at which it was held. Rejects with EtcdError, with the key gone again: CANCELLED
   * when `signal` fires, NOT_FOUND when the session has ended meanwhile.
   */
  async lock(signal?: AbortSignal): Promise<bigint> {
    const { client, leaseId: lease } = this.#session;
    const own = { case: "requestRange", value: { key: this.key } } as const;
    const first = { case: "requestRange", value: firstOf(this.#prefix) } as const;
    const put = { case: "requestPut", value: { key: this.key, lease } } as const;
    const { header, succeeded, responses } = await client.kv.txn(
      {
        compare: [createdAt(this.key, 0n)],
        success: [{ request: put }, { request: first }],
        failure: [{ request: own }, { request: first }],
      },
      PATIENT,
    );
    const [ownKvs, firstKvs] = responses.map(({ response }) =>
      response.case === "responseRange" ? response.value.kvs : [],
    );
    const revision = header?.revision ?? 0n;
    const ownRevision = succeeded ? revision : (ownKvs[0]?.createRevision ?? 0n);
    if (firstKvs.length === 0 || firstKvs[0].createRevision === ownRevision) return revision;
    return this.#wait(ownRevision, signal);
  }

  async #wait(ownRevision: bigint, signal: AbortSignal | undefined): Promise<bigint> {
    const { client } = this.#session;
    let answer;
    try {
      await waitForTurn(client, this.#prefix, ownRevision, signal);
      answer = await client.kv.range({ key: this.key }, PATIENT);
    } catch (error) {
      await this.unlock();
      throw error;
    }
    // Meanwhile the lease may have ended, and taken the key along.
    if (answer.kvs.length === 0) {
      throw new EtcdError(GrpcCode.notFound, "session expired", "mutex: session is expired");
    }
    return answer.header?.revision ?? 0n;
  }

  /** Gives the lock, or the place in its queue, back. Rejects with EtcdError. */
  async unlock(): Promise<void> {
    await this.#session.client.kv.deleteRange({ key: this.key }, PATIENT);
  }
}
