/**
 * A client that uses leases: grants one after the other, puts keys on them, keeps them alive for a while through whichever member it likes,
 * and then asks for their end or forgets them.
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ErrorId, GrpcCode } from "../../src/base/errors.ts";
import type { Prng } from "../../src/base/prng.ts";
import { encodeGrant, encodeId } from "../../src/lease/lease-codec.ts";
import {
  DeleteRangeRequestSchema,
  LeaseGrantResponseSchema,
  PutRequestSchema,
} from "../../src/proto/gen/rpc_pb.ts";
import { RaftField } from "../../src/proto/raft-request.ts";
import { CallFailure } from "../../src/server/internal-call.ts";
import type { LeaseChecker } from "./lease-checker.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Answer, SimulatedMain } from "./simulated-main.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";

const TTL_SECONDS = [2, 3, 5, 8, 12] as const;
/** Leases of one client at a time. */
const LEASES_MAX = 4;
const KEYS = 6;
const KEEP_ALIVES_MAX = 12;
const RETRY_MS = 150;
/** Longest time to another member and its answer's way back. */
const FORWARD_MS_MAX = 20;

export interface LeaseClientOptions {
  readonly process: number;
  readonly scheduler: Scheduler;
  readonly random: Prng;
  readonly network: SimulatedNetwork;
  readonly checker: LeaseChecker;
  readonly members: () => readonly SimulatedMain[];
  /** Mean time between two grants, ms. */
  readonly thinkMs: number;
}

interface HeldLease {
  readonly id: bigint;
  readonly low: number;
  readonly high: number;
  readonly ttlSeconds: number;
  keepAlives: number;
}

export class SimulatedLeaseClient {
  paused = false;
  readonly #options: LeaseClientOptions;
  #count = 0;
  #held = 0;

  constructor(options: LeaseClientOptions) {
    this.#options = options;
  }

  start(): void {
    const { scheduler, random, thinkMs } = this.#options;
    scheduler.after(random.below(2 * thinkMs), null, () => {
      if (!this.paused && this.#held < LEASES_MAX) this.#grant();
      this.start();
    });
  }

  #main(): SimulatedMain | null {
    const mains = this.#options.members();
    return mains.length === 0 ? null : this.#options.random.pick(mains);
  }

  #grant(): void {
    const { process, random, scheduler, checker } = this.#options;
    const main = this.#main();
    if (main === null) return;
    const high = process;
    const low = ++this.#count;
    const id = (BigInt(high) << 32n) | BigInt(low);
    const ttlSeconds = random.pick(TTL_SECONDS);
    const lease: HeldLease = { id, low, high, ttlSeconds, keepAlives: random.below(KEEP_ALIVES_MAX) };
    const [askedMs, askedFastestMs] = [scheduler.nowMs, checker.fastestMs];
    checker.asked(id);
    this.#held++;
    const payload = encodeGrant(ttlSeconds, low, high);
    main.request({ field: RaftField.leaseGrant, readKind: 0, payload }, true, ({ bytes }) => {
      // Nobody knows whether it was granted: then it ends by itself.
      if (bytes === null) return void this.#held--;
      const granted = Number(fromBinary(LeaseGrantResponseSchema, bytes).TTL);
      checker.acknowledged(id, granted, askedMs, askedFastestMs, true);
      for (let key = random.below(4); key > 0; key--) this.#put(lease);
      this.#next(lease);
    });
  }

  /** Puts a key on the lease, or takes one from wherever it is. */
  #put({ id }: HeldLease): void {
    const { random } = this.#options;
    const key = new TextEncoder().encode(`s-lease-${random.below(KEYS)}`);
    const ignore = (): void => undefined;
    const main = this.#main();
    if (main === null) return;
    if (random.chance(0.1)) {
      const payload = toBinary(DeleteRangeRequestSchema, create(DeleteRangeRequestSchema, { key }));
      main.request({ field: RaftField.deleteRange, readKind: 0, payload }, true, ignore);
      return;
    }
    const lease = random.chance(0.1) ? 0n : id;
    const payload = toBinary(PutRequestSchema, create(PutRequestSchema, { key, lease }));
    main.request({ field: RaftField.put, readKind: 0, payload }, true, ignore);
  }

  /** What comes next in a lease's life. */
  #next(lease: HeldLease): void {
    const { random, scheduler } = this.#options;
    if (this.paused || lease.keepAlives === 0) return this.#finish(lease);
    lease.keepAlives--;
    const waitMs = (lease.ttlSeconds * 1000 * (20 + random.below(60))) / 100;
    scheduler.after(waitMs, null, () => {
      if (this.paused) return this.#finish(lease);
      if (random.chance(0.3)) this.#put(lease);
      this.#keepAlive(lease);
    });
  }

  #finish(lease: HeldLease): void {
    const { random } = this.#options;
    this.#held--;
    if (random.chance(0.3)) this.#revoke(lease);
  }

  #revoke({ id, low, high }: HeldLease): void {
    const { checker } = this.#options;
    const main = this.#main();
    if (main === null) return;
    checker.revokeAsked(id);
    const payload = encodeId(low, high);
    main.request({ field: RaftField.leaseRevoke, readKind: 0, payload }, true, ({ errorId }: Answer) => {
      if (errorId === ErrorId.leaseNotFound) checker.notFound(id);
    });
  }

  #keepAlive(lease: HeldLease): void {
    const { scheduler, checker } = this.#options;
    const { id } = lease;
    const [askedMs, askedFastestMs] = [scheduler.nowMs, checker.fastestMs];
    this.#askPrimary(lease)
      .then(
        (ttlSeconds) => {
          checker.acknowledged(id, ttlSeconds, askedMs, askedFastestMs, false);
          this.#next(lease);
        },
        (error: unknown) => {
          if (!(error instanceof CallFailure) || error.grpcCode !== GrpcCode.notFound)
            return this.#retry(lease);
          checker.notFound(id);
          this.#held--;
        },
      )
      .catch((error: unknown) => scheduler.fail(error as Error));
  }

  #retry(lease: HeldLease): void {
    this.#options.scheduler.after(RETRY_MS, null, () => {
      if (this.paused) this.#finish(lease);
      else this.#keepAlive(lease);
    });
  }

  /** By way of any member. Rejects when there is no answer. */
  #askPrimary({ low, high }: HeldLease): Promise<number> {
    const { network, random, members } = this.#options;
    const asked = this.#main();
    const primary = members().find(({ memberId }) => memberId === asked?.leaderId);
    if (asked === null || primary === undefined) return Promise.reject(new Error("no leader"));
    if (asked === primary) return this.#renewAt(primary, low, high, 0);
    const [there, back] = [
      network.isCut(asked.memberId, primary.memberId),
      network.isCut(primary.memberId, asked.memberId),
    ];
    if (there) return Promise.reject(new Error("the leader is out of reach"));
    const renewed = this.#renewAt(primary, low, high, random.below(FORWARD_MS_MAX));
    // The answer may be lost on its way.
    return back ? renewed.then(() => Promise.reject(new Error("lost"))) : renewed;
  }

  #renewAt(primary: SimulatedMain, low: number, high: number, delayMs: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const lost = (): void => reject(new Error("the member has died"));
      primary.onDeath.add(lost);
      primary.inProcess(delayMs, () => {
        void primary.leases
          .renewHere(low, high)
          .then(resolve, reject)
          .finally(() => primary.onDeath.delete(lost));
      });
    });
  }
}
