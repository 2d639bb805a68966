/** An ApplyMachine with in-memory surroundings, and how tests talk to it. */
import { ApplyMachine, type SpaceOptions } from "../../src/apply/apply-machine.ts";
import { type LeaseHooks, NO_LEASES, type RequestHook } from "../../src/apply/apply-interfaces.ts";
import { type MemoryAnswer, MemoryBucketSink, MemoryResponseSink } from "../../src/apply/memory-sinks.ts";
import { ProposerIds } from "../../src/apply/proposer-ids.ts";
import type { MvccStore } from "../../src/mvcc/store.ts";
import { raftRequestBytes, writeRaftRequest } from "../../src/proto/raft-request.ts";

export const CLUSTER_ID = 0x7fba5cedf14096efn;
export const MEMBER_ID = 0xaf277c1dfad997d2n;
export const TERM = 3;
const CREDIT_BYTES = 64 * 1024;
const CREDITS_MAX = 10_000;
const PREFIX = Number(MEMBER_ID & 0xffffn);

/** Leases that exist, and which keys are attached to them. */
export class TestLeases implements LeaseHooks {
  /** Lease by key id. */
  readonly keys = new Map<number, string>();
  readonly #ids: ReadonlySet<bigint>;

  constructor(ids: Iterable<bigint>) {
    this.#ids = new Set(ids);
  }
  get attachedKeys(): number {
    return this.keys.size;
  }
  has(low: number, high: number): boolean {
    return this.#ids.has(toInt64(low, high));
  }
  attach(low: number, high: number, keyId: number): void {
    if ((low | high) === 0) this.keys.delete(keyId);
    else this.keys.set(keyId, String(toInt64(low, high)));
  }
  detach(keyId: number): void {
    if (!this.keys.delete(keyId)) throw new Error(`key ${keyId} is not attached`);
  }
  /** Lease by key, ascending. */
  byKey(store: MvccStore): Array<[key: string, lease: string]> {
    const bytes = new Uint8Array(4096);
    const list = Array.from(this.keys, ([id, lease]): [string, string] => [
      String.fromCharCode(...bytes.subarray(0, store.copyKey(id, bytes, 0))),
      lease,
    ]);
    return list.toSorted(([a], [b]) => (a < b ? -1 : 1));
  }
}

function toInt64(low: number, high: number): bigint {
  return BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low));
}

/** Knows nothing. */
export const NO_REQUESTS: RequestHook = {
  applyRequest: () => false,
  applyV2Request: () => {},
  applyConfChange: () => {},
  applyEmptyEntry: () => {},
};

export class MachineFixture {
  readonly sink = new MemoryResponseSink();
  readonly buckets = new MemoryBucketSink();
  readonly store: MvccStore;
  readonly machine: ApplyMachine;
  index = 0;
  requestId = 1000;

  constructor(
    store: MvccStore,
    leases: LeaseHooks = NO_LEASES,
    requests: RequestHook = NO_REQUESTS,
    space?: SpaceOptions,
  ) {
    this.store = store;
    this.machine = new ApplyMachine({
      store,
      clusterId: CLUSTER_ID,
      memberId: MEMBER_ID,
      responses: this.sink,
      buckets: this.buckets,
      leaseHooks: leases,
      requests,
      consistentIndex: 0,
      consistentTerm: TERM,
      ids: new ProposerIds({ memberId: MEMBER_ID, bootId: 1000, bootIndex: 0, bootTerm: 0 }),
      ...(space === undefined ? {} : { space }),
    });
  }

  /** Applies one request as an entry of this process; returns its request id. */
  apply(field: number, payload: Uint8Array): number {
    const id = ++this.requestId;
    const high = PREFIX * 0x10000;
    const entry = new Uint8Array(raftRequestBytes(field, payload.length, id, high));
    writeRaftRequest(entry, 0, field, payload, 0, payload.length, id, high);
    this.machine.applyEntry(++this.index, TERM, 0, entry, 0, entry.length);
    return id;
  }

  read(kind: number, payload: Uint8Array): number {
    const id = ++this.requestId;
    this.machine.read(id, kind, payload, 0, payload.length);
    return id;
  }

  /** The answer, after all slices it takes; gives credit whenever it is used up, as a client that reads on. */
  answer(id: number): MemoryAnswer {
    for (let credits = 0; credits < CREDITS_MAX; credits++) {
      while (this.machine.runSlice());
      const answer = this.sink.answers.get(id);
      if (answer !== undefined && (answer.announced < 0 || answer.bytes.length === answer.announced))
        return this.sink.take(id);
      this.machine.credit(id, CREDIT_BYTES);
    }
    throw new Error(`request ${id} has no whole answer after all its credit`);
  }
}
