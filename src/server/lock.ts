/**
 * The Lock service: a lock is held by the key created first under `name/`, each key on the lease of its owner. Loaded with the first
 * call (concurrency-methods.ts).
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { ErrorId } from "../base/errors.ts";
import {
  LockRequestSchema,
  LockResponseSchema,
  UnlockRequestSchema,
  UnlockResponseSchema,
} from "../proto/gen/v3lock_pb.ts";
import {
  abortFailure,
  createdAt,
  decodeRequest,
  foundBy,
  headOp,
  type KeyQueue,
  putOp,
  queueKey,
  queuePrefix,
  rangeOp,
} from "./key-queue.ts";
import { failure } from "./reconfigurer.ts";

const NO_VALUE = new Uint8Array(0);

/** Answers a LockRequest once the lock is held. When the client goes away before, its key goes, too. */
export async function lock(queue: KeyQueue, request: Uint8Array): Promise<Uint8Array> {
  const { name, lease } = decodeRequest(LockRequestSchema, request);
  const session = await queue.session(lease);
  const prefix = queuePrefix(name);
  const key = queueKey(prefix, session);
  const head = headOp(prefix);
  const entered = await queue.txn({
    compare: [createdAt(key, 0n)],
    success: [putOp(key, NO_VALUE, session), head],
    failure: [rangeOp({ key }), head],
  });
  // A session that comes again has the place that it had.
  const own = entered.succeeded ? entered.header?.revision : foundBy(entered.responses[0])?.createRevision;
  if (own === undefined) throw failure(ErrorId.lockSessionExpired);
  const first = foundBy(entered.responses[1])?.createRevision;
  let { header } = entered;
  if (first !== undefined && first !== own) {
    try {
      header = await queue.waitForTurn(prefix, key, own, ErrorId.lockSessionExpired);
    } catch (error) {
      await queue.delete(key).catch(() => undefined);
      throw error;
    }
  } else if (queue.isAborted && entered.succeeded) {
    await queue.delete(key);
    throw abortFailure();
  }
  return toBinary(LockResponseSchema, create(LockResponseSchema, { ...(header && { header }), key }));
}

/** Answers an UnlockRequest. */
export async function unlock(queue: KeyQueue, request: Uint8Array): Promise<Uint8Array> {
  const { key } = decodeRequest(UnlockRequestSchema, request);
  if (key.length === 0) throw failure(ErrorId.emptyKey);
  const header = await queue.delete(key);
  return toBinary(UnlockResponseSchema, create(UnlockResponseSchema, { ...(header && { header }) }));
}
