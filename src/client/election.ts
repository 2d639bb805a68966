/** The choice of one leader among sessions, and the observation of who it is. */
import { Event_EventType, type KeyValue } from "../proto/gen/kv_pb.ts";
import type { RangeResponse, ResponseHeader } from "../proto/gen/rpc_pb.ts";
import { GrpcCode } from "../base/errors.ts";
import type { Client } from "./client.ts";
import { EtcdError } from "./etcd-error.ts";
import { prefixEnd } from "./key-prefix.ts";
import { createdAt, firstOf, PATIENT, queueKey, queuePrefix, waitForTurn } from "./key-queue.ts";
import type { Session } from "./session.ts";

/** A candidacy. It is lost with the session. */
export class Election {
  /** This session's key among the candidates. */
  readonly key: Uint8Array;
  readonly #session: Session;
  readonly #prefix: Uint8Array;
  /** Revision at which the own key was created; 0 = no candidate. */
  #revision = 0n;

  constructor(session: Session, name: string | Uint8Array) {
    this.#session = session;
    this.#prefix = queuePrefix(name);
    this.key = queueKey(this.#prefix, session);
  }

  /** Resolves when this session leads, with `value` for all to see. Rejects with EtcdError, CANCELLED when `signal` fires. */
  async campaign(value: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { client, leaseId: lease } = this.#session;
    const put = { case: "requestPut", value: { key: this.key, value, lease } } as const;
    const own = { case: "requestRange", value: { key: this.key } } as const;
    const { header, succeeded, responses } = await client.kv.txn(
      { compare: [createdAt(this.key, 0n)], success: [{ request: put }], failure: [{ request: own }] },
      PATIENT,
    );
    this.#revision = header?.revision ?? 0n;
    const [existing] = responses.map(({ response }) => response);
    if (!succeeded && existing?.case === "responseRange") {
      this.#revision = existing.value.kvs[0].createRevision;
      await this.proclaim(value);
    }
    try {
      await waitForTurn(client, this.#prefix, this.#revision, signal);
    } catch (error) {
      await this.resign();
      throw error;
    }
  }

  /** Changes the value of a candidate or leader. Rejects with EtcdError if this session is none any more. */
  async proclaim(value: Uint8Array): Promise<void> {
    const { client, leaseId: lease } = this.#session;
    const put = { case: "requestPut", value: { key: this.key, value, lease } } as const;
    const condition = createdAt(this.key, this.#revision);
    const { succeeded } = await client.kv.txn({ compare: [condition], success: [{ request: put }] }, PATIENT);
    if (succeeded) return;
    throw new EtcdError(GrpcCode.failedPrecondition, "election: not leader", "election: not leader");
  }

  /** Ends the candidacy or leadership. */
  async resign(): Promise<void> {
    if (this.#revision === 0n) return;
    const remove = { case: "requestDeleteRange", value: { key: this.key } } as const;
    const condition = createdAt(this.key, this.#revision);
    this.#revision = 0n;
    await this.#session.client.kv.txn({ compare: [condition], success: [{ request: remove }] }, PATIENT);
  }
}

/** Who leads, and since when. */
export interface Leadership {
  readonly header: ResponseHeader | undefined;
  /** The leader's key and its value. */
  readonly kv: KeyValue;
}

/**
 * Iterates over the leaders of an election, the present one first, and over the values each of them proclaims. Not every short
 * leadership is seen, the last one always. Ends when `signal` fires; throws EtcdError.
 */
export async function* observeLeaders(
  client: Client,
  name: string | Uint8Array,
  signal?: AbortSignal,
): AsyncGenerator<Leadership, void, undefined> {
  const prefix = queuePrefix(name);
  for (;;) {
    if (signal?.aborted === true) return;
    const found = await client.kv.range(firstOf(prefix), PATIENT);
    const leadership = leaderOf(found) ?? (await nextLeader(client, prefix, found, signal));
    if (leadership === undefined) return;
    yield leadership;
    yield* followLeader(client, leadership, signal);
  }
}

function leaderOf({ header, kvs }: RangeResponse): Leadership | undefined {
  return kvs.length === 0 ? undefined : { header, kv: kvs[0] };
}

/** Nobody leads: waits for the first key. Undefined if the signal fires before. */
async function nextLeader(
  client: Client,
  prefix: Uint8Array,
  { header }: RangeResponse,
  signal: AbortSignal | undefined,
): Promise<Leadership | undefined> {
  const startRevision = (header?.revision ?? 0n) + 1n;
  const request = { key: prefix, rangeEnd: prefixEnd(prefix), startRevision };
  for await (const response of watchUntil(client, request, signal)) {
    const put = response.events.find(({ type }) => type === Event_EventType.PUT);
    if (put?.kv !== undefined) {
      const at = response.header;
      return { header: at && { ...at, revision: put.kv.modRevision }, kv: put.kv };
    }
  }
  return undefined;
}

/** What the leader proclaims, until its key is gone. */
async function* followLeader(
  client: Client,
  { header, kv }: Leadership,
  signal: AbortSignal | undefined,
): AsyncGenerator<Leadership, void, undefined> {
  const request = { key: kv.key, startRevision: (header?.revision ?? 0n) + 1n };
  for await (const response of watchUntil(client, request, signal)) {
    for (const event of response.events) {
      if (event.type === Event_EventType.DELETE) return;
      if (event.kv !== undefined) yield { header: response.header, kv: event.kv };
    }
  }
}

async function* watchUntil(
  client: Client,
  request: Parameters<Client["watch"]>[0],
  signal: AbortSignal | undefined,
) {
  const watcher = client.watch(request);
  const abort = (): void => watcher.cancel();
  signal?.addEventListener("abort", abort);
  try {
    if (signal?.aborted !== true) yield* watcher;
  } finally {
    signal?.removeEventListener("abort", abort);
    watcher.cancel();
  }
}
