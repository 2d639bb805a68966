/**
 * What a test of faults does to watches and leases: writers, watches that are resumed, and leases of every kind run while members
 * are killed. Afterwards each watch must have told every acknowledged change exactly once, all of them the same, and each lease
 * must have lived as long as it was promised.
 */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { create } from "@bufbuild/protobuf";
import { KV, Lease, RequestOpSchema } from "../../src/proto/gen/rpc_pb.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { ResumedWatch, type SeenEvent } from "../support/resumed-watch.ts";
import { waitFor } from "../support/wait.ts";

const WRITERS = 6;
const WATCHES = 4;
const DEADLINE_MS = 3_000;
const PAUSE_MS = 20;
const DELIVERY_MS = 30_000;
/** A lease that is renewed may be without a member for this long, and for an election. */
const KEPT_TTL_SECONDS = 15;
const RENEWAL_MS = 500;
const SHORT_TTL_SECONDS = 3;
/** A lease is gone this long after its time at the latest: an election, its grace, and what a busy machine adds. */
const LATE_MS_MAX = 15_000;

/** A change that was acknowledged. */
interface Acknowledged {
  readonly revision: number;
  readonly keys: readonly string[];
  readonly isDelete: boolean;
}

interface ShortLease {
  readonly key: string;
  /** When it was asked for: its time begins later. */
  readonly askedMs: number;
}

/** Runs beside the faults of a test. */
export class WatchLoad {
  readonly #addresses: () => readonly string[];
  readonly #acknowledged: Acknowledged[] = [];
  readonly #watches: ResumedWatch[];
  readonly #clients = new Map<string, EtcdClient>();
  readonly #loops: Array<Promise<void>> = [];
  readonly #shortLeases: ShortLease[] = [];
  #kept = 0n;
  #renewals = 0;
  #serial = 0;
  #tries = 0;
  #stopping = false;

  constructor(addresses: () => readonly string[]) {
    this.#addresses = addresses;
    this.#watches = Array.from(
      { length: WATCHES },
      (_, first) => new ResumedWatch({ addresses, first, prefix: "w/", from: 1 }),
    );
    for (let i = 0; i < WRITERS; i++) this.#loops.push(this.#write(i));
  }

  /** A lease that is renewed from now on, and its key. */
  async keepLease(): Promise<void> {
    this.#kept = await this.#grant(KEPT_TTL_SECONDS, "w/kept");
    const renewing = this.#renew();
    // What it found is said at the end.
    renewing.catch(() => undefined);
    this.#loops.push(renewing);
  }

  /** A lease that nobody renews. */
  async shortLease(): Promise<void> {
    const key = `w/short/${this.#shortLeases.length}`;
    const askedMs = performance.now();
    await this.#grant(SHORT_TTL_SECONDS, key);
    this.#shortLeases.push({ key, askedMs });
  }

  /** Resolves once `count` more changes have been acknowledged. */
  async moreWrites(count: number): Promise<void> {
    const until = this.#acknowledged.length + count;
    await waitFor(`${count} more writes`, DELIVERY_MS, () =>
      this.#acknowledged.length >= until ? true : undefined,
    );
  }

  /** Ends it, without checks: the test has failed. */
  async abandon(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#watches.map((watch) => watch.stop()));
    for (const client of this.#clients.values()) client.close();
  }

  /** Ends the load, waits for what is still to come, and checks everything. */
  async finish(t: TestContext): Promise<void> {
    // From here on nothing is lost any more, so the last of the short leases has its time and the grace.
    const endedMs = performance.now();
    this.#stopping = true;
    await Promise.all(this.#loops);
    await this.#allExpired();
    const last = await this.#retry((client) => put(client, "w/last", "", 0n));
    await Promise.all(this.#watches.map((watch) => watch.reaches(last, DELIVERY_MS)));
    // What the store itself remembers.
    const fresh = new ResumedWatch({ addresses: this.#addresses, first: 0, prefix: "w/", from: 1 });
    await fresh.reaches(last, DELIVERY_MS);
    await Promise.all([fresh, ...this.#watches].map((watch) => watch.stop()));
    for (const client of this.#clients.values()) client.close();
    for (const watch of this.#watches) {
      assert.deepEqual(watch.faults, []);
      assert.deepEqual(watch.events.map(told), fresh.events.map(told));
    }
    this.#assertAcknowledged(fresh.events);
    this.#assertLeases(this.#watches[0].events, endedMs);
    const opened = this.#watches.map((watch) => watch.opened).join(", ");
    t.diagnostic(
      `${this.#acknowledged.length} changes, ${fresh.events.length} events, watches opened ${opened} times, ${this.#renewals} renewals, ${this.#shortLeases.length} leases expired`,
    );
  }

  #assertAcknowledged(events: readonly SeenEvent[]): void {
    const seen = new Map<string, number>();
    for (const event of events) {
      const name = changeOf(event);
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
    for (const { revision, keys, isDelete } of this.#acknowledged)
      for (const key of keys)
        assert.equal(seen.get(changeOf({ revision, isDelete, key })), 1, `${key} at ${revision}`);
    const puts = new Set<string>();
    for (const { key, isDelete } of events) {
      if (isDelete || !key.startsWith("w/load")) continue;
      assert.ok(!puts.has(key), `${key} was put once and told twice`);
      puts.add(key);
    }
  }

  #assertLeases(events: readonly SeenEvent[], endedMs: number): void {
    const end = (key: string) => events.find((event) => event.key === key && event.isDelete);
    assert.equal(end("w/kept"), undefined, "a lease that was renewed is gone");
    for (const { key, askedMs } of this.#shortLeases) {
      const event = end(key);
      assert.ok(event, `${key} was not told to be gone`);
      const lived = event.atMs - askedMs;
      assert.ok(lived >= SHORT_TTL_SECONDS * 1000, `${key} lived ${lived} ms`);
      assert.ok(event.atMs <= Math.max(endedMs, askedMs) + SHORT_TTL_SECONDS * 1000 + LATE_MS_MAX);
    }
  }

  /** Waits until the keys of all short leases are gone. */
  async #allExpired(): Promise<void> {
    const request = { key: Buffer.from("w/short/"), rangeEnd: Buffer.from("w/short0"), countOnly: true };
    await waitFor("the short leases to expire", SHORT_TTL_SECONDS * 1000 + LATE_MS_MAX, async () => {
      const { count } = await this.#retry((client) => client.call(KV.method.range, request));
      return count === 0n ? true : undefined;
    });
  }

  async #grant(seconds: number, key: string): Promise<bigint> {
    const { ID } = await this.#retry((client) =>
      client.call(Lease.method.leaseGrant, { TTL: BigInt(seconds) }),
    );
    await this.#retry((client) => put(client, key, "", ID));
    return ID;
  }

  async #renew(): Promise<void> {
    while (!this.#stopping) {
      try {
        const { TTL } = await this.#client().callStream(Lease.method.leaseKeepAlive, { ID: this.#kept });
        assert.equal(TTL, BigInt(KEPT_TTL_SECONDS), "a lease that was renewed in time is not known");
        this.#renewals++;
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, RENEWAL_MS));
    }
  }

  /** Every key is put once, and some are deleted: what got no answer is never tried again. */
  async #write(writer: number): Promise<void> {
    let last: string | undefined;
    while (!this.#stopping) {
      const serial = this.#serial++;
      const key = `w/load/${writer}/${serial}`;
      const client = this.#client();
      try {
        if (serial % 5 === 0 && last !== undefined) {
          const doomed = last;
          last = undefined;
          const { header } = await client.call(KV.method.deleteRange, { key: Buffer.from(doomed) });
          this.#acknowledge(Number(header?.revision), [doomed], true);
        } else if (serial % 3 === 0) {
          this.#acknowledge(await putBoth(client, [key, `${key}/b`]), [key, `${key}/b`], false);
        } else {
          this.#acknowledge(await put(client, key, `${serial}`, 0n), [key], false);
          last = key;
        }
      } catch {
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  #acknowledge(revision: number, keys: readonly string[], isDelete: boolean): void {
    this.#acknowledged.push({ revision, keys, isDelete });
  }

  /** Until a member answers. */
  async #retry<T>(call: (client: EtcdClient) => Promise<T>): Promise<T> {
    return waitFor("an answer", DELIVERY_MS, async () => {
      try {
        return await call(this.#client());
      } catch {
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        return undefined;
      }
    });
  }

  /** A connection to one of the members, in turn. */
  #client(): EtcdClient {
    const addresses = this.#addresses();
    const address = addresses[this.#tries++ % Math.max(1, addresses.length)] ?? "127.0.0.1:1";
    let client = this.#clients.get(address);
    if (client === undefined)
      this.#clients.set(address, (client = new EtcdClient(address, { deadlineMs: DEADLINE_MS })));
    return client;
  }
}

function told({ value, ...event }: SeenEvent): string {
  return `${changeOf(event)} ${value}`;
}

function changeOf({ revision, isDelete, key }: Omit<SeenEvent, "atMs" | "value">): string {
  return `${revision} ${isDelete ? "delete" : "put"} ${key}`;
}

async function put(client: EtcdClient, key: string, value: string, lease: bigint): Promise<number> {
  const request = { key: Buffer.from(key), value: Buffer.from(value), lease };
  return Number((await client.call(KV.method.put, request)).header?.revision);
}

/** Two keys in one revision. */
async function putBoth(client: EtcdClient, keys: readonly string[]): Promise<number> {
  const success = keys.map((key) =>
    create(RequestOpSchema, {
      request: { case: "requestPut", value: { key: Buffer.from(key), value: Buffer.from("both") } as never },
    }),
  );
  return Number((await client.call(KV.method.txn, { success })).header?.revision);
}
