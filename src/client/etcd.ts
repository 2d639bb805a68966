/**
 * The client for programs: keys and values as text or bytes, entries, conditions and events as plain objects. Made of
 * {@link Client}, which has every call with all its fields ({@link Etcd.client}).
 *
 * Whether a call is repeated after an error is the client's affair: never a write that may have reached a member.
 */
import { RangeRequest_SortOrder, RangeRequest_SortTarget } from "../proto/gen/rpc_pb.ts";
import { Client, type ClientOptions } from "./client.ts";
import { Election, observeLeaders } from "./election.ts";
import { bytesOf, Entry, entryOf, type Keys, rangeOf, type Text } from "./entry.ts";
import { Mutex } from "./mutex.ts";
import { Session } from "./session.ts";
import { compareOf, requestOf, resultOf, type Transaction, type TransactionResult } from "./transaction.ts";
import { Watch } from "./watch-events.ts";

export interface PutOptions {
  /** The key ends with this lease. */
  readonly leaseId?: bigint;
}

export interface GetOptions {
  /** Reads what was there at this revision. Default: what is there now. */
  readonly revision?: number;
  /** Answered by the member that was asked, which may be behind the others. */
  readonly serializable?: boolean;
}

export interface ListOptions extends GetOptions {
  /** At most so many. */
  readonly limit?: number;
  /** By key. Default `ascending`. */
  readonly order?: "ascending" | "descending";
  /** Without values. */
  readonly keysOnly?: boolean;
}

export interface WatchOptions {
  /** First revision to see. Default: what comes from now on. */
  readonly fromRevision?: number;
  /** Events have what was there before. */
  readonly previous?: boolean;
}

export interface HoldOptions {
  /** How long it outlives this process, at most. Default 60. */
  readonly ttlSeconds?: number;
  /** Ends the wait: it rejects with EtcdError CANCELLED. */
  readonly signal?: AbortSignal;
}

/** A lease that is kept alive until it is given up. Keys put with its {@link id} end with it. */
export class Lease implements AsyncDisposable {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  get id(): bigint {
    return this.#session.leaseId;
  }

  /** Resolves when it is not kept alive any more: given up, or lost. */
  get ended(): Promise<void> {
    return this.#session.ended;
  }

  /** Gives it up: its keys are deleted. Rejects with EtcdError. */
  revoke(): Promise<void> {
    return this.#session.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.revoke();
  }
}

/** A lock that is held. It is lost when {@link ended} resolves. */
export class Lock extends Lease {
  /** Exists as long as the lock is held: make it a condition of what the lock protects. */
  readonly key: Uint8Array;

  constructor(session: Session, key: Uint8Array) {
    super(session);
    this.key = key;
  }

  /** Gives it to the next one. Rejects with EtcdError. */
  release(): Promise<void> {
    return this.revoke();
  }
}

/** A leadership that was won. It is lost when {@link ended} resolves. */
export class Leadership extends Lease {
  readonly #election: Election;

  constructor(session: Session, election: Election) {
    super(session);
    this.#election = election;
  }

  /** Changes what others see of this leader. Rejects with EtcdError. */
  proclaim(value: Text): Promise<void> {
    return this.#election.proclaim(bytesOf(value));
  }

  /** Lets the next one lead. Rejects with EtcdError. */
  async resign(): Promise<void> {
    await this.#election.resign();
    await this.revoke();
  }
}

/** A connection to a cluster, from `connect`. All calls reject with EtcdError. */
export class Etcd implements AsyncDisposable {
  /** Every call with all its fields, and those that are not here: members, maintenance, users. */
  readonly client: Client;

  constructor(client: Client) {
    this.client = client;
  }

  /** Sets a key. Returns the revision that this made. */
  async put(key: Text, value: Text, { leaseId = 0n }: PutOptions = {}): Promise<number> {
    const { header } = await this.client.kv.put({ key: bytesOf(key), value: bytesOf(value), lease: leaseId });
    return Number(header?.revision);
  }

  /** One key, or null if it is not there. */
  async get(key: Text, { revision = 0, serializable = false }: GetOptions = {}): Promise<Entry | null> {
    const { kvs } = await this.client.kv.range({
      key: bytesOf(key),
      revision: BigInt(revision),
      serializable,
    });
    return entryOf(kvs[0]);
  }

  /** Many keys. */
  async list(keys: Keys, options: ListOptions = {}): Promise<Entry[]> {
    const { revision = 0, serializable = false, limit = 0, keysOnly = false, order } = options;
    const { ASCEND, DESCEND } = RangeRequest_SortOrder;
    const { kvs } = await this.client.kv.range({
      ...rangeOf(keys),
      revision: BigInt(revision),
      serializable,
      limit: BigInt(limit),
      keysOnly,
      sortOrder: order === "descending" ? DESCEND : ASCEND,
      sortTarget: RangeRequest_SortTarget.KEY,
    });
    return kvs.map((kv) => new Entry(kv));
  }

  /** How many keys there are. */
  async count(keys: Keys): Promise<number> {
    return Number((await this.client.kv.range({ ...rangeOf(keys), countOnly: true })).count);
  }

  /** Deletes keys. Returns how many there were. */
  async delete(keys: Keys): Promise<number> {
    return Number((await this.client.kv.deleteRange(rangeOf(keys))).deleted);
  }

  /** Does several things at once, if conditions are true. @throws TypeError for a condition that compares not one property */
  async transaction(transaction: Transaction): Promise<TransactionResult> {
    const { header, succeeded, responses } = await this.client.kv.txn({
      compare: (transaction.if ?? []).map(compareOf),
      success: (transaction.do ?? []).map(requestOf),
      failure: (transaction.else ?? []).map(requestOf),
    });
    return { succeeded, revision: Number(header?.revision), results: responses.map(resultOf) };
  }

  /** Watches keys. Begins at once; `await watch.started` before writing what it is to see. */
  watch(keys: Keys, { fromRevision = 0, previous = false }: WatchOptions = {}): Watch {
    const { key, rangeEnd } = rangeOf(keys);
    return new Watch(
      this.client.watch({ key, rangeEnd, startRevision: BigInt(fromRevision), prevKv: previous }),
    );
  }

  /** Grants a lease and keeps it alive. */
  async lease(ttlSeconds: number): Promise<Lease> {
    return new Lease(await Session.open(this.client, ttlSeconds));
  }

  /** Waits for a lock, which all clients of etcd have under this name, and holds it. */
  async lock(name: Text, { ttlSeconds, signal }: HoldOptions = {}): Promise<Lock> {
    const session = await Session.open(this.client, ttlSeconds);
    const mutex = new Mutex(session, name);
    try {
      await mutex.lock(signal);
    } catch (error) {
      await session.close();
      throw error;
    }
    return new Lock(session, mutex.key);
  }

  /** Waits to lead in an election, with `value` for all to see. */
  async campaign(name: Text, value: Text, { ttlSeconds, signal }: HoldOptions = {}): Promise<Leadership> {
    const session = await Session.open(this.client, ttlSeconds);
    const election = new Election(session, name);
    try {
      await election.campaign(bytesOf(value), signal);
    } catch (error) {
      await session.close();
      throw error;
    }
    return new Leadership(session, election);
  }

  /** The leaders of an election, the present one first, and what they proclaim. Ends when `signal` fires. */
  async *leaders(name: Text, signal?: AbortSignal): AsyncGenerator<Entry, void, undefined> {
    for await (const { kv } of observeLeaders(this.client, name, signal)) yield new Entry(kv);
  }

  /** Ends calls in progress and all connections. */
  close(): void {
    this.client.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }
}

/** What `connect` of `src/index.ts` does. */
export async function connectTo(
  endpoints: string | readonly string[],
  options: Omit<ClientOptions, "endpoints">,
): Promise<Etcd> {
  const list = typeof endpoints === "string" ? [endpoints] : endpoints;
  return new Etcd(await Client.connect({ ...options, endpoints: list }));
}
