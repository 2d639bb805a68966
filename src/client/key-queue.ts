/**
 * Queues made of keys: who has created the oldest key under a prefix is first, everybody else waits until those before are gone.
 * Locks and elections of all etcd clients work so, with the same keys (`<name>/<lease in hex>`), and exclude each other.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { GrpcCode } from "../base/errors.ts";
import { Event_EventType, type KeyValue } from "../proto/gen/kv_pb.ts";
import {
  type CompareSchema,
  Compare_CompareResult,
  Compare_CompareTarget,
  type RangeRequestSchema,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
} from "../proto/gen/rpc_pb.ts";
import type { Client } from "./client.ts";
import { EtcdError } from "./etcd-error.ts";
import { prefixEnd } from "./key-prefix.ts";
import type { Session } from "./session.ts";
import { WatchCanceledError } from "./watcher.ts";

/** Waiting for one's turn has no time limit; a signal ends it. */
export const PATIENT = { timeoutMs: Infinity } as const;

/** The keys of a queue. */
export function queuePrefix(name: string | Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(name), Buffer.from("/")]);
}

/** A session's own key in a queue. */
export function queueKey(prefix: Uint8Array, { leaseId }: Session): Uint8Array {
  return Buffer.concat([prefix, Buffer.from(leaseId.toString(16))]);
}

/** The condition that a key was created at `revision`; 0 = there is none. */
export function createdAt(key: Uint8Array, revision: bigint): MessageInitShape<typeof CompareSchema> {
  return {
    key,
    target: Compare_CompareTarget.CREATE,
    result: Compare_CompareResult.EQUAL,
    targetUnion: { case: "createRevision", value: revision },
  };
}

/** The request for the first of the queue. */
export function firstOf(prefix: Uint8Array): MessageInitShape<typeof RangeRequestSchema> {
  return {
    key: prefix,
    rangeEnd: prefixEnd(prefix),
    limit: 1n,
    sortTarget: RangeRequest_SortTarget.CREATE,
    sortOrder: RangeRequest_SortOrder.ASCEND,
  };
}

/**
 * Waits until all keys of the queue that were created before `revision` are gone. Only the last of them is watched, so that each
 * end of an owner wakes one who waits. Rejects with EtcdError, CANCELLED when `signal` fires.
 */
export async function waitForTurn(
  client: Client,
  prefix: Uint8Array,
  revision: bigint,
  signal: AbortSignal | undefined,
): Promise<void> {
  const before: MessageInitShape<typeof RangeRequestSchema> = {
    ...firstOf(prefix),
    sortOrder: RangeRequest_SortOrder.DESCEND,
    maxCreateRevision: revision - 1n,
  };
  for (;;) {
    throwIfAborted(signal);
    const { header, kvs } = await client.kv.range(before, PATIENT);
    const last: KeyValue | undefined = kvs[0];
    if (last === undefined) return;
    await waitForDelete(client, last.key, header?.revision ?? 0n, signal);
  }
}

async function waitForDelete(
  client: Client,
  key: Uint8Array,
  startRevision: bigint,
  signal: AbortSignal | undefined,
): Promise<void> {
  const watcher = client.watch({ key, startRevision });
  const abort = (): void => watcher.cancel();
  signal?.addEventListener("abort", abort);
  try {
    for await (const { events } of watcher) {
      if (events.some(({ type }) => type === Event_EventType.DELETE)) return;
    }
    throwIfAborted(signal);
  } catch (error) {
    // Compacted away while the connection was lost: the caller looks again.
    if (!(error instanceof WatchCanceledError && error.compactRevision !== 0n)) throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** In the words of Go's contexts, which etcd's users know. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true)
    throw new EtcdError(GrpcCode.canceled, "context canceled", "context canceled");
}
