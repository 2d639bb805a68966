/**
 * The Election service: the leader is who holds the key created first under `name/`, and what it says is the key's value. Loaded with
 * the first call (concurrency-methods.ts).
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { ErrorId } from "../base/errors.ts";
import { Event_EventType, type KeyValue } from "../proto/gen/kv_pb.ts";
import type { ResponseHeader } from "../proto/gen/rpc_pb.ts";
import {
  CampaignRequestSchema,
  CampaignResponseSchema,
  LeaderRequestSchema,
  LeaderResponseSchema,
  type LeaderKey,
  ProclaimRequestSchema,
  ProclaimResponseSchema,
  ResignRequestSchema,
  ResignResponseSchema,
} from "../proto/gen/v3election_pb.ts";
import {
  abortFailure,
  createdAt,
  decodeRequest,
  deleteOp,
  foundBy,
  headOp,
  type KeyQueue,
  prefixRange,
  putOp,
  queueKey,
  queuePrefix,
  rangeOp,
} from "./key-queue.ts";
import { failure } from "./reconfigurer.ts";

/** Answers a CampaignRequest once the client leads. When it goes away before, its key goes, too. */
export async function campaign(queue: KeyQueue, request: Uint8Array): Promise<Uint8Array> {
  const { name, lease, value } = decodeRequest(CampaignRequestSchema, request);
  const session = await queue.session(lease);
  const prefix = queuePrefix(name);
  const key = queueKey(prefix, session);
  const entered = await queue.txn({
    compare: [createdAt(key, 0n)],
    success: [putOp(key, value, session)],
    failure: [rangeOp({ key })],
  });
  const { header } = entered;
  const present = foundBy(entered.responses[0]);
  const rev = entered.succeeded ? header?.revision : present?.createRevision;
  if (rev === undefined) throw failure(ErrorId.electionNotLeader);
  try {
    // A session that comes again has the place that it had, and says something new.
    if (present !== undefined && Buffer.compare(present.value, value) !== 0)
      await announce(queue, key, rev, value, session);
    await queue.waitForTurn(prefix, key, rev, ErrorId.electionNotLeader);
    if (queue.isAborted) throw abortFailure();
  } catch (error) {
    if (queue.isAborted) await withdraw(queue, key, rev).catch(() => undefined);
    throw error;
  }
  const leader = { name, key, rev, lease: session };
  return toBinary(
    CampaignResponseSchema,
    create(CampaignResponseSchema, { ...(header && { header }), leader }),
  );
}

/** Answers a ProclaimRequest: the leader says something new. */
export async function proclaim(queue: KeyQueue, request: Uint8Array): Promise<Uint8Array> {
  const { leader, value } = decodeRequest(ProclaimRequestSchema, request);
  const { key, rev, lease } = expectLeader(leader);
  const header = await announce(queue, key, rev, value, await queue.session(lease));
  return toBinary(ProclaimResponseSchema, create(ProclaimResponseSchema, { ...(header && { header }) }));
}

/** Answers a ResignRequest: the next in the queue leads. Not an error when another one does already. */
export async function resign(queue: KeyQueue, request: Uint8Array): Promise<Uint8Array> {
  const { leader } = decodeRequest(ResignRequestSchema, request);
  const { key, rev } = expectLeader(leader);
  const header = await withdraw(queue, key, rev);
  return toBinary(ResignResponseSchema, create(ResignResponseSchema, { ...(header && { header }) }));
}

/** Answers a LeaderRequest with who leads now. */
export async function leader(queue: KeyQueue, request: Uint8Array): Promise<Uint8Array> {
  const { name } = decodeRequest(LeaderRequestSchema, request);
  const { header, responses } = await queue.read([headOp(queuePrefix(name))]);
  const kv = foundBy(responses[0]);
  if (kv === undefined) throw failure(ErrorId.electionNoLeader);
  return encodeLeader(header, kv);
}

/**
 * Tells who leads, and what the leader says, from now on until the call ends. Every leader's newest word is told, not every one who
 * ever led. `send` resolves when the client can take more.
 */
export async function observe(
  queue: KeyQueue,
  request: Uint8Array,
  send: (response: Uint8Array) => Promise<void>,
): Promise<void> {
  const { name } = decodeRequest(LeaderRequestSchema, request);
  const prefix = queuePrefix(name);
  while (!queue.isAborted) {
    const { header, responses } = await queue.read([headOp(prefix)]);
    const kv = foundBy(responses[0]);
    const first =
      kv === undefined ? await firstPut(queue, prefix, (header?.revision ?? 0n) + 1n) : { header, kv };
    if (first === null) return;
    await send(encodeLeader(first.header, first.kv));
    if (!(await follow(queue, first, send))) return;
  }
}

interface Word {
  readonly header: ResponseHeader | undefined;
  readonly kv: KeyValue;
}

/** The first key that is put under a prefix; null when the watch ended. */
async function firstPut(queue: KeyQueue, prefix: Uint8Array, startRevision: bigint): Promise<Word | null> {
  const watch = queue.watch();
  try {
    watch.create({ ...prefixRange(prefix), startRevision });
    for (;;) {
      const { header, events, canceled } = await watch.next();
      if (canceled) return null;
      const kv = events.find((event) => event.type === Event_EventType.PUT)?.kv;
      // There may be later ones in the same response, which are told by the watch that follows.
      if (kv !== undefined) return { header: header && { ...header, revision: kv.modRevision }, kv };
    }
  } finally {
    watch.close();
  }
}

/** Tells what the leader says until its key is deleted. False: the watch ended. */
async function follow(
  queue: KeyQueue,
  { header, kv }: Word,
  send: (response: Uint8Array) => Promise<void>,
): Promise<boolean> {
  const watch = queue.watch();
  try {
    watch.create({ key: kv.key, startRevision: (header?.revision ?? 0n) + 1n });
    for (;;) {
      const response = await watch.next();
      if (response.canceled) return false;
      for (const event of response.events) {
        if (event.type === Event_EventType.DELETE) return true;
        if (event.kv !== undefined) await send(encodeLeader(response.header, event.kv));
      }
    }
  } finally {
    watch.close();
  }
}

function encodeLeader(header: ResponseHeader | undefined, kv: KeyValue): Uint8Array {
  return toBinary(LeaderResponseSchema, create(LeaderResponseSchema, { ...(header && { header }), kv }));
}

/** Puts a value under the leader's key, if it is still the same key. */
async function announce(
  queue: KeyQueue,
  key: Uint8Array,
  rev: bigint,
  value: Uint8Array,
  lease: bigint,
): Promise<ResponseHeader | undefined> {
  const { succeeded, header } = await queue.txn({
    compare: [createdAt(key, rev)],
    success: [putOp(key, value, lease)],
  });
  if (!succeeded) throw failure(ErrorId.electionNotLeader);
  return header;
}

async function withdraw(queue: KeyQueue, key: Uint8Array, rev: bigint): Promise<ResponseHeader | undefined> {
  const { header } = await queue.txn({ compare: [createdAt(key, rev)], success: [deleteOp(key)] });
  return header;
}

function expectLeader(leader: LeaderKey | undefined): LeaderKey {
  if (leader === undefined) throw failure(ErrorId.electionLeaderKeyMissing);
  return leader;
}
