/**
 * Who comes first among keys under one prefix, each of a client's lease: what locks and elections are made of. Requests are the
 * member's own, made with a client's permissions; nothing is kept here, all state is in the keys.
 *
 * ```
 *   prefix/a1 (created at 5) ◀─ holds it     prefix/b2 (at 7) waits for a1's end     prefix/c3 (at 9) waits for b2's end
 * ```
 */

import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { checkTxn } from "../apply/validate-txn.ts";
import { ErrorId, ERRORS } from "../base/errors.ts";
import type { Call, MethodHandler } from "../grpc/service.ts";
import type { KeyValue } from "../proto/gen/kv_pb.ts";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  DeleteRangeRequestSchema,
  DeleteRangeResponseSchema,
  LeaseGrantRequestSchema,
  LeaseGrantResponseSchema,
  type RangeRequestSchema,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
  type RequestOpSchema,
  type ResponseHeader,
  type ResponseOp,
  type TxnRequestSchema as TxnRequestType,
  TxnRequestSchema,
  type TxnResponse,
  TxnResponseSchema,
  WatchCreateRequest_FilterType,
} from "../proto/gen/rpc_pb.ts";
import { RaftField } from "../proto/raft-request.ts";
import { ReadKind } from "../ring/record-types.ts";
import { InternalCall, RequestFailure } from "./internal-call.ts";
import { cancelCause, InternalWatch } from "./internal-watch.ts";
import { chooseLeaseId } from "./lease.ts";
import { failure } from "./reconfigurer.ts";
import type { Router } from "./router.ts";

/** More than any txn here has. */
const TXN_OPS_MAX = 8;
/** TTL of a lease that is granted to a client which has none; etcd's sessions have it. */
const SESSION_TTL_SECONDS = 60n;

/** A client's request. Rejects with {@link RequestFailure} when it is malformed. */
export function decodeRequest<D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> {
  try {
    return fromBinary(schema, bytes);
  } catch {
    const { grpcCode, message } = ERRORS[ErrorId.malformedRequest];
    throw new RequestFailure(grpcCode, message);
  }
}

export type Op = MessageInitShape<typeof RequestOpSchema>;

/** What locks and elections are served with. */
export interface QueueServices {
  readonly router: Router;
  /** The Watch method. */
  readonly watch: MethodHandler;
}

/** A request of the member's own, with the permissions of a client. */
class DelegatedCall extends InternalCall {
  readonly #client: Call;

  constructor(client: Call) {
    super();
    this.#client = client;
  }

  override metadata(name: string): string | undefined {
    return name === "hasleader" ? undefined : this.#client.metadata(name);
  }
}

/** The key that a lease has in a queue. */
export function queueKey(prefix: Uint8Array, lease: bigint): Uint8Array {
  return Buffer.concat([prefix, Buffer.from(lease.toString(16))]);
}

/** Keys of queue `name` begin with this. */
export function queuePrefix(name: Uint8Array): Uint8Array {
  return Buffer.concat([name, Buffer.from("/")]);
}

/** Range of all keys with the prefix, which ends in a byte below 255. */
export function prefixRange(prefix: Uint8Array): { key: Uint8Array; rangeEnd: Uint8Array } {
  const rangeEnd = Uint8Array.from(prefix); // a Buffer's slice would be the same memory
  rangeEnd[rangeEnd.length - 1]++;
  return { key: prefix, rangeEnd };
}

/** The key that was created first, and so is at the head of the queue. */
export function headOp(prefix: Uint8Array): Op {
  return rangeOp({
    ...prefixRange(prefix),
    sortTarget: RangeRequest_SortTarget.CREATE,
    sortOrder: RangeRequest_SortOrder.ASCEND,
    limit: 1n,
  });
}

export function rangeOp(value: MessageInitShape<typeof RangeRequestSchema>): Op {
  return { request: { case: "requestRange", value } };
}

export function putOp(key: Uint8Array, value: Uint8Array, lease: bigint): Op {
  return { request: { case: "requestPut", value: { key, value, lease } } };
}

export function deleteOp(key: Uint8Array): Op {
  return { request: { case: "requestDeleteRange", value: { key } } };
}

/** The key was created at this revision; 0 = it does not exist. */
export function createdAt(
  key: Uint8Array,
  createRevision: bigint,
): NonNullable<MessageInitShape<typeof TxnRequestType>["compare"]>[number] {
  return {
    key,
    result: Compare_CompareResult.EQUAL,
    target: Compare_CompareTarget.CREATE,
    targetUnion: { case: "createRevision", value: createRevision },
  };
}

/** First key that a range op of a txn found. */
export function foundBy(response: ResponseOp | undefined): KeyValue | undefined {
  return response?.response.case === "responseRange" ? response.response.value.kvs[0] : undefined;
}

/** What one client's call does with queues. All methods reject with {@link CallFailure}. */
export class KeyQueue {
  readonly #services: QueueServices;
  readonly #client: Call;
  readonly #signal: AbortSignal;

  /** @param signal aborted when the client has gone: waiting ends then */
  constructor(services: QueueServices, client: Call, signal: AbortSignal) {
    this.#services = services;
    this.#client = client;
    this.#signal = signal;
  }

  /** The client's lease, or a new one if it has none. */
  async session(lease: bigint): Promise<bigint> {
    if (lease !== 0n) return lease;
    const { router } = this.#services;
    const { low, high } = chooseLeaseId(router);
    const ID = (BigInt(high) << 32n) | BigInt(low);
    const request = create(LeaseGrantRequestSchema, { ID, TTL: SESSION_TTL_SECONDS });
    const answer = await this.#propose(RaftField.leaseGrant, toBinary(LeaseGrantRequestSchema, request));
    return fromBinary(LeaseGrantResponseSchema, answer).ID;
  }

  async txn(request: MessageInitShape<typeof TxnRequestType>): Promise<TxnResponse> {
    const bytes = toBinary(TxnRequestSchema, create(TxnRequestSchema, request));
    // The keys come from the client, and nobody else looks at them before they are in the log.
    const errorId = checkTxn(bytes, 0, bytes.length, TXN_OPS_MAX);
    if (errorId !== ErrorId.none) throw failure(errorId);
    return fromBinary(TxnResponseSchema, await this.#propose(RaftField.txn, bytes));
  }

  /** A txn that only reads. Linearizable. */
  async read(success: Op[]): Promise<TxnResponse> {
    const { router } = this.#services;
    const bytes = toBinary(TxnRequestSchema, create(TxnRequestSchema, { success }));
    const call = new DelegatedCall(this.#client);
    router.read(call, ReadKind.txn, true, bytes, 0, bytes.length);
    return fromBinary(TxnResponseSchema, await call.response);
  }

  async delete(key: Uint8Array): Promise<ResponseHeader | undefined> {
    const bytes = toBinary(DeleteRangeRequestSchema, create(DeleteRangeRequestSchema, { key }));
    return fromBinary(DeleteRangeResponseSchema, await this.#propose(RaftField.deleteRange, bytes)).header;
  }

  /**
   * Waits until `key`, created at `revision`, is the first of the queue: each waits for the one before it only, so that the end of one
   * wakes one. Resolves with the header of the read that saw it; rejects with `lost` if the key has gone, and when the client has.
   */
  async waitForTurn(
    prefix: Uint8Array,
    key: Uint8Array,
    revision: bigint,
    lost: number,
  ): Promise<ResponseHeader | undefined> {
    const before = rangeOp({
      ...prefixRange(prefix),
      maxCreateRevision: revision - 1n,
      sortTarget: RangeRequest_SortTarget.CREATE,
      sortOrder: RangeRequest_SortOrder.DESCEND,
      limit: 1n,
      keysOnly: true,
    });
    for (;;) {
      const { header, responses } = await this.read([before, rangeOp({ key, keysOnly: true })]);
      if (foundBy(responses[1])?.createRevision !== revision) throw failure(lost);
      const previous = foundBy(responses[0])?.key;
      if (previous === undefined) return header;
      await this.#waitForDelete([previous, key], (header?.revision ?? 0n) + 1n);
    }
  }

  /** Waits for the deletion of any of `keys` from `startRevision` on. */
  async #waitForDelete(keys: readonly Uint8Array[], startRevision: bigint): Promise<void> {
    const watch = this.watch();
    try {
      for (const key of keys)
        watch.create({ key, startRevision, filters: [WatchCreateRequest_FilterType.NOPUT] });
      for (;;) {
        const response = await watch.next();
        const cause = cancelCause(response);
        if (cause !== null) throw cause;
        if (response.events.length > 0) return;
      }
    } finally {
      watch.close();
    }
  }

  /** A watch that ends with the client's call. To be closed. */
  watch(): InternalWatch {
    const watch = new InternalWatch(this.#services.watch, this.#client);
    if (this.#signal.aborted) watch.close();
    else this.#signal.addEventListener("abort", () => watch.close(), { once: true });
    return watch;
  }

  get isAborted(): boolean {
    return this.#signal.aborted;
  }

  async #propose(field: number, bytes: Uint8Array): Promise<Uint8Array> {
    const call = new DelegatedCall(this.#client);
    this.#services.router.propose(call, field, bytes, 0, bytes.length);
    return call.response;
  }
}

/** Rejection of a call whose client has gone. */
export function abortFailure(): Error {
  return failure(ErrorId.callerCanceled);
}
