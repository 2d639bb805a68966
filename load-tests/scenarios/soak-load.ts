/**
 * The load of a soak: requests of all kinds at a constant rate, watchers, leases that are kept alive, replaced and forgotten, compaction.
 * Every change is one event of its own revision, so that the watchers can tell that none is missing: nobody else may write meanwhile.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Prng } from "../../src/base/prng.ts";
import { KV, Lease, type LeaseKeepAliveResponse } from "../../src/proto/gen/rpc_pb.ts";
import type { BidiStream, EtcdClient } from "../../test/support/etcd-client.ts";
import type { Cleanup } from "../../test/support/temp-dir.ts";
import { waitFor } from "../../test/support/wait.ts";
import { writeRevisions } from "../data-sets.ts";
import {
  compareAndPutRequest,
  keyName,
  prefixRange,
  putRequest,
  requestBody,
  type RequestBody,
} from "../requests.ts";
import { Counter, Watchers } from "../watchers.ts";
import { OpenLoop } from "./open-loop.ts";
import type { Target } from "./target.ts";

const PREFIX = "soak/";
const KEY_PREFIX = `${PREFIX}keys/`;
const LEASE_PREFIX = `${PREFIX}leases/`;
const SEED = 1;
const PAGE_KEYS = 100;
const CONNECTIONS_A_MEMBER = 3;
const LEASE_TTL_SECONDS = 30;
/** A third of the TTL, as etcd's clients do it. */
const KEEP_ALIVE_MS = 10_000;
/** One lease after the other gets a successor. */
const RENEWAL_MS = 1_000;
const DRAIN_MS = 60_000;
const CATCH_UP_MS = 60_000;

/** Out of 100 requests. */
const MIX = { put: 40, get: 35, list: 10, txn: 10, delete: 5 };

export interface SoakLoadOptions {
  readonly target: Target;
  readonly cleanup: Cleanup;
  readonly perSecond: number;
  readonly keys: number;
  readonly watchers: number;
  readonly leases: number;
  readonly compactionSeconds: number;
}

/** A soak's load, from {@link SoakLoad.start} to {@link SoakLoad.stop}. */
export class SoakLoad {
  readonly loop: OpenLoop;
  /** Rejects with the first thing that is not as it must be. */
  readonly failed: Promise<never>;
  readonly #options: SoakLoadOptions;
  readonly #watchers: readonly Watchers[];
  readonly #leases: SoakLeases;
  readonly #compaction: NodeJS.Timeout;
  readonly #firstRevision: number;
  #compactTo = 0;
  #eventsBefore = 0;
  #fail: (error: Error) => void = () => undefined;

  private constructor(
    options: SoakLoadOptions,
    parts: { loop: OpenLoop; watchers: readonly Watchers[]; leases: SoakLeases; firstRevision: number },
  ) {
    this.#options = options;
    this.loop = parts.loop;
    this.#watchers = parts.watchers;
    this.#leases = parts.leases;
    this.#firstRevision = parts.firstRevision;
    const broken = new Promise<never>((_, reject) => (this.#fail = reject));
    const failures = [broken, parts.loop.failed, parts.leases.failed];
    this.failed = Promise.race([...failures, ...parts.watchers.map((watchers) => watchers.failed)]);
    this.failed.catch(() => undefined);
    this.#compaction = setInterval(
      () => void this.#compact().catch(this.#fail),
      options.compactionSeconds * 1000,
    );
  }

  /** Writes all keys, then begins. */
  static async start(options: SoakLoadOptions): Promise<SoakLoad> {
    const { target, cleanup, keys, perSecond } = options;
    const { client, address } = target.members[0];
    await client.call(KV.method.deleteRange, prefixRange(PREFIX));
    await writeRevisions({ address }, { prefix: KEY_PREFIX, keys, revisions: keys });
    const firstRevision = (await target.revision()) + 1;
    const watchers = await Promise.all(
      target.members.map((member) => watch(member.address, options.watchers, firstRevision)),
    );
    cleanup.after(() => Promise.all(watchers.map((thread) => thread.end())));
    const connections = await target.connect(cleanup, CONNECTIONS_A_MEMBER * target.members.length);
    const leases = new SoakLeases(client);
    await leases.start(options.leases);
    const loop = new OpenLoop({ connections, perSecond, next: mixOf(keys) });
    return new SoakLoad(options, { loop, watchers, leases, firstRevision });
  }

  /** Events of all watchers since the last call. */
  takeEvents(): number {
    const now = this.#watchers.reduce((sum, watchers) => sum + watchers.count(Counter.events), 0);
    const since = now - this.#eventsBefore;
    this.#eventsBefore = now;
    return since;
  }

  /** Ends the load. Rejects if an answer, an event or a lease is missing then. */
  async stop(): Promise<void> {
    clearInterval(this.#compaction);
    await this.loop.stop(DRAIN_MS);
    await this.#leases.stop();
    await Promise.race([this.#assertAllTold(), this.failed]);
  }

  async #assertAllTold(): Promise<void> {
    const { target, watchers: perMember } = this.#options;
    // Leases that were forgotten may still expire: the goal moves with them.
    await waitFor("all events at all watchers", CATCH_UP_MS, async () => {
      await delay(RENEWAL_MS);
      const due = perMember * ((await target.revision()) - this.#firstRevision + 1);
      return this.#watchers.every((watchers) => watchers.count(Counter.events) === due) ? true : undefined;
    });
  }

  /** To where the store was one interval ago. */
  async #compact(): Promise<void> {
    const { target } = this.#options;
    const before = this.#compactTo;
    this.#compactTo = await target.revision();
    if (before === 0 || before === this.#compactTo) return;
    await target.members[0].client.call(KV.method.compact, { revision: BigInt(before) });
  }
}

/** `count` watchers of everything, on one member. They check the revisions themselves. */
async function watch(address: string, count: number, startRevision: number): Promise<Watchers> {
  const { rangeEnd } = prefixRange(PREFIX);
  const task = { address, connections: 1, watchers: count, key: PREFIX, rangeEnd, startRevision };
  const watchers = await Watchers.connect(task);
  watchers.tell("create");
  await watchers.reached(Counter.created, count);
  return watchers;
}

/** Requests are made beforehand, so that the generator does not spend its time on protobuf. */
function mixOf(count: number): () => RequestBody {
  const prng = new Prng(SEED);
  const keys = Array.from({ length: count }, (_, index) => keyName(KEY_PREFIX, index));
  const { rangeEnd } = prefixRange(KEY_PREFIX);
  const bodies = {
    put: keys.map((key) => putRequest(key)),
    get: keys.map((key) => requestBody(KV.method.range, { key })),
    list: keys.map((key) => requestBody(KV.method.range, { key, rangeEnd, limit: BigInt(PAGE_KEYS) })),
    txn: keys.map(compareAndPutRequest),
    delete: keys.map((key) => requestBody(KV.method.deleteRange, { key })),
  };
  const kinds = Object.entries(MIX).flatMap(([kind, share]) =>
    Array.from({ length: share }, () => bodies[kind as keyof typeof MIX]),
  );
  return () => prng.pick(prng.pick(kinds));
}

/** Leases with a key each. Every second one of them is replaced; it is revoked or, every other time, forgotten and expires. */
class SoakLeases {
  /** Rejects when a lease ends that is kept alive. */
  readonly failed: Promise<never>;
  readonly #client: EtcdClient;
  readonly #stream: BidiStream<
    typeof Lease.method.leaseKeepAlive.input,
    typeof Lease.method.leaseKeepAlive.output
  >;
  readonly #alive: bigint[] = [];
  /** Leases that were let go while a keep-alive could be on its way. */
  readonly #former = new Set<bigint>();
  readonly #timers: NodeJS.Timeout[] = [];
  #renewal: Promise<void> = Promise.resolve();
  #serial = 0;
  #isStopping = false;
  #fail: (error: Error) => void = () => undefined;

  constructor(client: EtcdClient) {
    this.#client = client;
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    this.failed.catch(() => undefined);
    this.#stream = client.stream(Lease.method.leaseKeepAlive, (answer) => this.#onKeptAlive(answer));
    void this.#stream.ended.then(({ message }) => {
      if (!this.#isStopping) this.#fail(new Error(`the keep-alive stream has ended: ${message}`));
    });
  }

  async start(count: number): Promise<void> {
    for (let i = 0; i < count; i++) this.#alive.push(await this.#grant());
    if (count === 0) return;
    this.#timers.push(
      setInterval(() => {
        for (const ID of this.#alive) this.#stream.send({ ID });
      }, KEEP_ALIVE_MS),
      setInterval(() => {
        this.#renewal = this.#renewal.then(() => this.#replaceOne()).catch(this.#fail);
      }, RENEWAL_MS),
    );
  }

  /** Revokes all that are kept alive. Those that were forgotten expire by themselves. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const timer of this.#timers) clearInterval(timer);
    await this.#renewal;
    this.#stream.finish();
    for (const ID of this.#alive) await this.#client.call(Lease.method.leaseRevoke, { ID });
  }

  async #grant(): Promise<bigint> {
    const { ID } = await this.#client.call(Lease.method.leaseGrant, { TTL: BigInt(LEASE_TTL_SECONDS) });
    const key = keyName(LEASE_PREFIX, this.#serial++);
    await this.#client.call(KV.method.put, { key, value: Buffer.from("on a lease"), lease: ID });
    return ID;
  }

  async #replaceOne(): Promise<void> {
    const ID = this.#alive.shift() as bigint;
    this.#former.add(ID);
    this.#alive.push(await this.#grant());
    if (this.#serial % 2 === 0) await this.#client.call(Lease.method.leaseRevoke, { ID });
    setTimeout(() => this.#former.delete(ID), 2 * KEEP_ALIVE_MS).unref();
  }

  #onKeptAlive({ ID, TTL }: LeaseKeepAliveResponse): void {
    if (TTL <= 0n && !this.#former.has(ID))
      this.#fail(new Error(`lease ${ID.toString(16)} has ended although it is kept alive`));
  }
}
