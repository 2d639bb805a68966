/** A lease that lives as long as its owner: what locks and candidacies hang on. */
import type { Client } from "./client.ts";
import { EtcdError } from "./etcd-error.ts";
import type { LeaseKeeper } from "./lease-keeper.ts";

/** Default of {@link Session.open}'s `ttlSeconds`. */
export const SESSION_TTL_SECONDS_DEFAULT = 60;

/** A granted lease and whoever keeps it alive. Keys put with it are gone when the owner is. */
export class Session {
  readonly client: Client;
  readonly leaseId: bigint;
  readonly #keeper: LeaseKeeper;

  private constructor(client: Client, leaseId: bigint) {
    this.client = client;
    this.leaseId = leaseId;
    this.#keeper = client.keepAlive(leaseId);
  }

  /** Grants a lease and keeps it alive. Rejects with EtcdError. */
  static async open(client: Client, ttlSeconds = SESSION_TTL_SECONDS_DEFAULT): Promise<Session> {
    // As long as the call takes: without a lease there is nothing to fall back on.
    const { ID } = await client.lease.leaseGrant({ TTL: BigInt(ttlSeconds) }, { timeoutMs: Infinity });
    return new Session(client, ID);
  }

  /** Resolves when the lease is not kept any more: it is lost, or the session was closed. */
  get ended(): Promise<void> {
    return this.#keeper.ended;
  }

  /** Ends the session and revokes its lease, and with it deletes its keys. A lease that is gone already is no error. */
  async close(): Promise<void> {
    this.#keeper.cancel();
    try {
      await this.client.lease.leaseRevoke({ ID: this.leaseId });
    } catch (error) {
      if (!(error instanceof EtcdError && error.message === LEASE_NOT_FOUND)) throw error;
    }
  }
}

const LEASE_NOT_FOUND = "etcdserver: requested lease not found";
