/**
 * The random operations of the differential test: every option of Put, Range, DeleteRange, Txn and Compact,
 * valid and not; leases are in `lease-operations.ts`.
 * The same PRNG and the same view of the store give the same operation, so a seed replays a run.
 */
import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Prng } from "../../src/base/prng.ts";
import {
  CompactionRequestSchema,
  CompareSchema,
  DeleteRangeRequestSchema,
  PutRequestSchema,
  RangeRequestSchema,
  RequestOpSchema,
  TxnRequestSchema,
  type CompactionRequest,
  type Compare,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
} from "../../src/proto/gen/rpc_pb.ts";
import { drawLease, drawLeaseOperation, type LeaseOperation } from "./lease-operations.ts";

/** One call of the KV or the Lease service. `bytes`, if present, is sent instead of the message's own encoding. */
export type Operation = (
  | { readonly method: "Put"; readonly request: PutRequest }
  | { readonly method: "Range"; readonly request: RangeRequest }
  | { readonly method: "DeleteRange"; readonly request: DeleteRangeRequest }
  | { readonly method: "Txn"; readonly request: TxnRequest }
  | { readonly method: "Compact"; readonly request: CompactionRequest }
  | LeaseOperation
) & { readonly bytes?: Uint8Array };

/** What the generator knows of the store, from the reference's answers. */
export interface StoreView {
  revision: number;
  compactRevision: number;
  /**
   * Revisions of transactions that may have deleted a key and put it again ({@link deletesAndPuts}). etcd (3.4 to 3.6) must
   * not be compacted at one of them: the key's value is deleted by that, and the next read of the key ends etcd's process.
   */
  readonly reputRevisions: Set<number>;
}

// Both sides' defaults; one more is an error, and nested transactions share the budget.
const TXN_OPS_MAX = 128;
// Over etcd's default --max-request-bytes (1.5 MiB), under its gRPC receive limit (0.5 MiB more).
const TOO_LARGE_VALUE_BYTES = 1_600_000;
const OVER_RECEIVE_LIMIT_BYTES = 2_200_000;
// Enough nesting for a budget to be handed down twice.
const NESTING_MAX = 3;

const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value, "latin1"));
const EMPTY = text("");
/** As `range_end`: every key from the first on. */
export const FROM_KEY = text("\0");

// Few keys, so that they collide; shared prefixes, neighbours that differ in their last byte only, and the ends of the key space.
export const KEYS = [
  "a",
  "a/",
  "a/b",
  "a/b/",
  "a/b/c",
  "a/bc",
  "a/c",
  "a0",
  "aa",
  "b",
  "b/",
  "b/1",
  "b/10",
  "b/2",
  "b/20",
  "b\0",
  "b\0\0",
  "c",
  "c/x",
  "c/x\xff",
  "c/y",
  "d",
  "d\xfe",
  "d\xff",
  "d\xff\xff",
  "\0",
  "\0\0",
  "\0\x01",
  "\xff",
  "\xff\xfe",
  "\xff\xff",
  "Z",
].map(text);

const VALUES = [
  "",
  "1",
  "2",
  "2",
  "three",
  "\0",
  "\xff\xff",
  "a longer value, longer than most keys are",
].map(text);

/** Draws operations one after another. */
export class OperationSource {
  readonly #prng: Prng;
  readonly #view: StoreView;

  constructor(seed: number, view: StoreView) {
    this.#prng = new Prng(seed);
    this.#view = view;
  }

  next(): Operation {
    const dice = this.#prng.below(1000);
    if (dice < 330) return { method: "Put", request: this.#put(0.15) };
    if (dice < 390) return drawLeaseOperation(this.#prng);
    if (dice < 640) return this.#rangeOperation();
    if (dice < 720) return { method: "DeleteRange", request: this.#deleteRange() };
    if (dice < 984) return { method: "Txn", request: this.#txn(1, 6) };
    if (dice < 994) return { method: "Compact", request: this.#compaction() };
    return this.#extreme();
  }

  #rangeOperation(): Operation {
    const request = this.#range();
    if (request.rangeEnd.length > 0 || !this.#prng.chance(0.03)) return { method: "Range", request };
    // range_end present and empty: to etcd that means "key and everything after it", as FROM_KEY does.
    const bytes = Buffer.concat([toBinary(RangeRequestSchema, request), Uint8Array.of(0x12, 0x00)]);
    return { method: "Range", request, bytes };
  }

  /** Rare and large, or broken. */
  #extreme(): Operation {
    const request = create(PutRequestSchema, { key: this.#key() });
    switch (this.#prng.below(8)) {
      case 0:
        request.value = new Uint8Array(TOO_LARGE_VALUE_BYTES);
        break;
      case 1:
        request.value = new Uint8Array(OVER_RECEIVE_LIMIT_BYTES);
        break;
      case 2:
      case 3:
      case 4:
        return { method: "Txn", request: this.#wideTxn() };
      case 5:
        return { method: "Put", request, bytes: Uint8Array.of(0x0a, 0x7f, 0x61) };
      default:
        request.value = new Uint8Array(100_000).fill(this.#prng.below(256));
    }
    return { method: "Put", request };
  }

  #key(): Uint8Array {
    return this.#prng.chance(0.005) ? EMPTY : this.#prng.pick(KEYS);
  }

  #rangeEnd(key: Uint8Array): Uint8Array {
    const dice = this.#prng.below(100);
    if (dice < 35) return EMPTY;
    if (dice < 60) return prefixEnd(key);
    if (dice < 72) return FROM_KEY;
    if (dice < 77) return key;
    return this.#prng.pick(KEYS);
  }

  /** Mostly current; otherwise old, compacted, future, or nonsense. */
  #revision(): bigint {
    const { revision, compactRevision } = this.#view;
    const dice = this.#prng.below(100);
    if (dice < 45) return 0n;
    if (dice < 75)
      return BigInt(compactRevision + this.#prng.below(Math.max(1, revision - compactRevision + 1)));
    if (dice < 85) return BigInt(revision - this.#prng.below(5));
    if (dice < 88) return BigInt(compactRevision);
    if (dice < 92) return BigInt(compactRevision - 1 - this.#prng.below(3));
    if (dice < 96) return BigInt(revision + this.#prng.below(4));
    return this.#prng.pick([-1n, -2n, BigInt(revision + 100_000), 2n ** 62n, -(2n ** 62n)]);
  }

  #revisionFilter(): bigint {
    return this.#prng.chance(0.88) ? 0n : this.#revision();
  }

  #limit(): bigint {
    return this.#prng.chance(0.6)
      ? 0n
      : this.#prng.pick([1n, 1n, 2n, 3n, 5n, 10n, 31n, 32n, 1000n, -1n, 2n ** 40n]);
  }

  /** A value of an enum that ends at `last`, or rarely one outside it. */
  #enumValue(last: number): number {
    return this.#prng.chance(0.01) ? last + 1 + this.#prng.below(3) : this.#prng.below(last + 1);
  }

  #range(): RangeRequest {
    const key = this.#key();
    const sorted = this.#prng.chance(0.35);
    return create(RangeRequestSchema, {
      key,
      rangeEnd: this.#rangeEnd(key),
      limit: this.#limit(),
      revision: this.#revision(),
      sortOrder: (sorted ? this.#enumValue(2) : 0) as RangeRequest["sortOrder"],
      sortTarget: (sorted ? this.#enumValue(4) : 0) as RangeRequest["sortTarget"],
      serializable: this.#prng.chance(0.4),
      keysOnly: this.#prng.chance(0.15),
      countOnly: this.#prng.chance(0.12),
      minModRevision: this.#revisionFilter(),
      maxModRevision: this.#revisionFilter(),
      minCreateRevision: this.#revisionFilter(),
      maxCreateRevision: this.#revisionFilter(),
    });
  }

  /** `leaseChance`: how often a lease is named, which may not exist (an error). */
  #put(leaseChance: number): PutRequest {
    const ignoreValue = this.#prng.chance(0.08);
    return create(PutRequestSchema, {
      key: this.#key(),
      value: ignoreValue && this.#prng.chance(0.8) ? EMPTY : this.#prng.pick(VALUES),
      lease: this.#prng.chance(leaseChance) ? drawLease(this.#prng) : 0n,
      prevKv: this.#prng.chance(0.4),
      ignoreValue,
      ignoreLease: this.#prng.chance(0.06),
    });
  }

  #deleteRange(): DeleteRangeRequest {
    const key = this.#key();
    // Mostly small deletions: the key space must not stay empty.
    const rangeEnd = this.#prng.chance(0.6) ? EMPTY : this.#rangeEnd(key);
    return create(DeleteRangeRequestSchema, { key, rangeEnd, prevKv: this.#prng.chance(0.5) });
  }

  #compaction(): CompactionRequest {
    const { revision, compactRevision, reputRevisions } = this.#view;
    const near = BigInt(Math.max(0, revision - this.#prng.below(300)));
    let target = this.#prng.chance(0.75)
      ? near
      : this.#prng.pick([
          0n,
          -1n,
          BigInt(compactRevision),
          BigInt(compactRevision - 1),
          BigInt(revision),
          BigInt(revision + 1),
        ]);
    while (reputRevisions.has(Number(target))) target--;
    return create(CompactionRequestSchema, { revision: target, physical: this.#prng.chance(0.3) });
  }

  #compare(): Compare {
    const key = this.#key();
    const target = this.#enumValue(4) as Compare["target"];
    const compare = create(CompareSchema, {
      result: this.#enumValue(3) as Compare["result"],
      target,
      key,
      rangeEnd: this.#prng.chance(0.65) ? EMPTY : this.#rangeEnd(key),
    });
    // Now and then the operand is of another kind than the target, or missing.
    const kind = this.#prng.chance(0.06) ? this.#prng.below(6) : target;
    compare.targetUnion = this.#operand(kind);
    return compare;
  }

  #operand(kind: number): Compare["targetUnion"] {
    switch (kind) {
      case 0:
        return { case: "version", value: BigInt(this.#prng.below(4)) };
      case 1:
        return { case: "createRevision", value: this.#revision() };
      case 2:
        return { case: "modRevision", value: this.#revision() };
      case 3:
        return { case: "value", value: this.#prng.pick(VALUES) };
      case 4:
        return { case: "lease", value: this.#prng.chance(0.5) ? 0n : drawLease(this.#prng) };
      default:
        return { case: undefined };
    }
  }

  #txn(depth: number, widthMax: number): TxnRequest {
    const readOnly = this.#prng.chance(0.15);
    return create(TxnRequestSchema, {
      compare: this.#list(3, () => this.#compare()),
      success: this.#list(widthMax, () => this.#requestOp(depth, readOnly)),
      failure: this.#list(widthMax, () => this.#requestOp(depth, readOnly)),
    });
  }

  #requestOp(depth: number, readOnly: boolean): RequestOp {
    const dice = readOnly ? 0 : this.#prng.below(100);
    return create(RequestOpSchema, { request: this.#requestUnion(dice, depth) });
  }

  #requestUnion(dice: number, depth: number): RequestOp["request"] {
    if (dice < 35) return { case: "requestRange", value: this.#range() };
    if (dice < 70) return { case: "requestPut", value: this.#put(0.04) };
    if (dice < 85) return { case: "requestDeleteRange", value: this.#deleteRange() };
    if (dice < 99 && depth < NESTING_MAX) return { case: "requestTxn", value: this.#txn(depth + 1, 3) };
    if (dice < 99) return { case: "requestPut", value: this.#put(0.04) };
    return { case: undefined };
  }

  /** At the limit on operations, or one over it; sometimes by what a nested transaction adds. */
  #wideTxn(): TxnRequest {
    const width = TXN_OPS_MAX - 1 + this.#prng.below(3);
    const nested = this.#prng.below(3);
    const request: MessageInitShape<typeof TxnRequestSchema> = {
      success: Array.from({ length: width - (nested > 0 ? 1 : 0) }, (_, i) => this.#widePut(i)),
      failure: this.#list(2, () => this.#requestOp(NESTING_MAX, false)),
    };
    const inner = create(TxnRequestSchema, {
      success: Array.from({ length: nested }, (_, i) => this.#widePut(1000 + i)),
    });
    if (nested > 0)
      request.success?.push(create(RequestOpSchema, { request: { case: "requestTxn", value: inner } }));
    return create(TxnRequestSchema, request);
  }

  #widePut(index: number): RequestOp {
    const value = create(PutRequestSchema, { key: text(`wide/${index}`), value: this.#prng.pick(VALUES) });
    return create(RequestOpSchema, { request: { case: "requestPut", value } });
  }

  #list<T>(lengthMax: number, draw: () => T): T[] {
    return Array.from({ length: this.#prng.below(lengthMax + 1) }, draw);
  }
}

/** The end of the interval of all keys that begin with `prefix`; FROM_KEY if nothing lies behind them. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  const end = Uint8Array.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    if (end[i] < 0xff) {
      end[i]++;
      return end.subarray(0, i + 1);
    }
  }
  return FROM_KEY;
}

/**
 * True for a transaction in which a key may be deleted and then put. etcd refuses that as a duplicate key, but not if the
 * deletion is of "this key and everything after it": it takes that interval's end for the key "\\0" in this check.
 */
export function deletesAndPuts(operation: Operation): boolean {
  if (operation.method !== "Txn") return false;
  const requests = opsOf(operation.request).map((op) => op.request);
  return (
    requests.some((request) => request.case === "requestPut") &&
    requests.some((request) => request.case === "requestDeleteRange" && isFromKey(request.value.rangeEnd))
  );
}

function isFromKey(rangeEnd: Uint8Array): boolean {
  return rangeEnd.length === 1 && rangeEnd[0] === 0;
}

/** All operations of a transaction, nested ones included. */
export function opsOf(txn: TxnRequest): RequestOp[] {
  return [...txn.success, ...txn.failure].flatMap((op) =>
    op.request.case === "requestTxn" ? [op, ...opsOf(op.request.value)] : [op],
  );
}

/** True if an operation can not change the store, so that it may run at the same time as others of its kind. */
export function isReadOnly(operation: Operation): boolean {
  if (operation.method === "Range" || operation.method === "LeaseLeases") return true;
  if (operation.method === "LeaseTimeToLive") return true;
  if (operation.method !== "Txn") return false;
  return [...operation.request.success, ...operation.request.failure].every(
    (op) => op.request.case === "requestRange",
  );
}
