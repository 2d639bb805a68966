/** Transactions as {@link Etcd} takes and gives them. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type CompareSchema,
  Compare_CompareResult,
  Compare_CompareTarget,
  type RequestOpSchema,
  type ResponseOp,
} from "../proto/gen/rpc_pb.ts";
import { bytesOf, Entry, type Keys, rangeOf, type Text } from "./entry.ts";

/** What must be true of a key (or of all keys of a range): one of the properties, compared as `is` says. */
export interface Condition {
  readonly key: Keys;
  /** Default `=`. */
  readonly is?: "=" | "!=" | "<" | ">";
  readonly value?: Text;
  /** As of {@link Entry.version}; 0 = the key is not there. */
  readonly version?: number;
  readonly createRevision?: number;
  readonly modRevision?: number;
  readonly leaseId?: bigint;
}

/** One step: `put` with a value, or `get` or `delete` of one key or many. */
export type Operation =
  | { readonly put: Text; readonly value: Text; readonly leaseId?: bigint }
  | { readonly get: Keys }
  | { readonly delete: Keys };

/** All conditions are true: all of `do` is done, in this order, else all of `else`. Nothing comes between. */
export interface Transaction {
  readonly if?: readonly Condition[];
  readonly do?: readonly Operation[];
  readonly else?: readonly Operation[];
}

/** What a step gave: the entries of `get`, the number of keys that `delete` deleted, null for `put`. */
export type OperationResult = readonly Entry[] | number | null;

export interface TransactionResult {
  /** The conditions were true. */
  readonly succeeded: boolean;
  /** The store's revision after it. */
  readonly revision: number;
  /** By step of the branch that was taken. */
  readonly results: readonly OperationResult[];
}

const RESULTS = {
  "=": Compare_CompareResult.EQUAL,
  "!=": Compare_CompareResult.NOT_EQUAL,
  "<": Compare_CompareResult.LESS,
  ">": Compare_CompareResult.GREATER,
} as const;

/** As requests have it. @throws TypeError when it does not compare exactly one property */
export function compareOf(condition: Condition): MessageInitShape<typeof CompareSchema> {
  const targets = targetsOf(condition);
  if (targets.length !== 1) throw new TypeError(`a condition compares one property, not ${targets.length}`);
  return { ...rangeOf(condition.key), result: RESULTS[condition.is ?? "="], ...targets[0] };
}

type Target = Pick<MessageInitShape<typeof CompareSchema>, "target" | "targetUnion">;

function targetsOf({ value, version, createRevision, modRevision, leaseId }: Condition): Target[] {
  const targets: Target[] = [];
  const { VALUE, VERSION, CREATE, MOD, LEASE } = Compare_CompareTarget;
  if (value !== undefined)
    targets.push({ target: VALUE, targetUnion: { case: "value", value: bytesOf(value) } });
  if (version !== undefined)
    targets.push({ target: VERSION, targetUnion: { case: "version", value: BigInt(version) } });
  if (createRevision !== undefined) {
    targets.push({ target: CREATE, targetUnion: { case: "createRevision", value: BigInt(createRevision) } });
  }
  if (modRevision !== undefined)
    targets.push({ target: MOD, targetUnion: { case: "modRevision", value: BigInt(modRevision) } });
  if (leaseId !== undefined) targets.push({ target: LEASE, targetUnion: { case: "lease", value: leaseId } });
  return targets;
}

/** As requests have it. */
export function requestOf(operation: Operation): MessageInitShape<typeof RequestOpSchema> {
  if ("put" in operation) {
    const { put, value, leaseId = 0n } = operation;
    const request = { key: bytesOf(put), value: bytesOf(value), lease: leaseId };
    return { request: { case: "requestPut", value: request } };
  }
  if ("get" in operation) return { request: { case: "requestRange", value: rangeOf(operation.get) } };
  return { request: { case: "requestDeleteRange", value: rangeOf(operation.delete) } };
}

export function resultOf({ response }: ResponseOp): OperationResult {
  if (response.case === "responseRange") return response.value.kvs.map((kv) => new Entry(kv));
  return response.case === "responseDeleteRange" ? Number(response.value.deleted) : null;
}
