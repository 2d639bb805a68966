/** etcd's checks of KV requests as simply as they can be written, on decoded messages. Returns ErrorIds. */
import { ErrorId } from "../../src/base/errors.ts";
import type {
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../../src/proto/gen/rpc_pb.ts";
import { toKeyText } from "./naive-store.ts";

export function modelCheckPut(request: PutRequest): number {
  if (request.key.length === 0) return ErrorId.emptyKey;
  if (request.ignoreValue && request.value.length > 0) return ErrorId.valueProvided;
  return request.ignoreLease && request.lease !== 0n ? ErrorId.leaseProvided : ErrorId.none;
}

export function modelCheckRange(request: RangeRequest): number {
  if (request.key.length === 0) return ErrorId.emptyKey;
  const known = [0, 1, 2].includes(request.sortOrder) && [0, 1, 2, 3, 4].includes(request.sortTarget);
  return known ? ErrorId.none : ErrorId.invalidSortOption;
}

export function modelCheckDeleteRange(request: DeleteRangeRequest): number {
  return request.key.length === 0 ? ErrorId.emptyKey : ErrorId.none;
}

export function modelCheckTxn(request: TxnRequest, opsMax: number): number {
  const error = checkOps(request, opsMax);
  if (error !== ErrorId.none) return error;
  return writesOf(request.success) === null || writesOf(request.failure) === null
    ? ErrorId.duplicateKey
    : ErrorId.none;
}

function checkOps(request: TxnRequest, opsMax: number): number {
  const ops = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (ops > opsMax) return ErrorId.tooManyOps;
  if (request.compare.some((compare) => compare.key.length === 0)) return ErrorId.emptyKey;
  for (const op of [...request.success, ...request.failure]) {
    const error = checkOp(op, opsMax - ops);
    if (error !== ErrorId.none) return error;
  }
  return ErrorId.none;
}

function checkOp({ request }: RequestOp, opsMax: number): number {
  if (request.case === "requestPut") return modelCheckPut(request.value);
  if (request.case === "requestRange") return modelCheckRange(request.value);
  if (request.case === "requestDeleteRange") return modelCheckDeleteRange(request.value);
  return request.case === "requestTxn" ? checkOps(request.value, opsMax) : ErrorId.keyNotFound;
}

interface Writes {
  puts: string[];
  deletes: Array<[string, string]>;
}

function isFree(key: string, puts: readonly string[], deletes: ReadonlyArray<[string, string]>): boolean {
  return !puts.includes(key) && !deletes.some(([from, to]) => key >= from && key < to);
}

function writesOf(ops: readonly RequestOp[]): Writes | null {
  const writes: Writes = { puts: [], deletes: [] };
  for (const { request } of ops) {
    if (request.case !== "requestDeleteRange") continue;
    const key = toKeyText(request.value.key);
    const end = toKeyText(request.value.rangeEnd);
    writes.deletes.push([key, end === "" ? `${key}\0` : end]);
  }
  for (const { request } of ops) {
    if (request.case !== "requestTxn") continue;
    const success = writesOf(request.value.success);
    const failure = writesOf(request.value.failure);
    if (success === null || failure === null) return null;
    const before = [...writes.puts];
    if (!success.puts.every((key) => isFree(key, before, writes.deletes))) return null;
    if (
      !failure.puts.every((key) =>
        isFree(
          key,
          before.filter((put) => !success.puts.includes(put)),
          writes.deletes,
        ),
      )
    )
      return null;
    writes.puts.push(...success.puts, ...failure.puts);
    writes.deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const { request } of ops) {
    if (request.case !== "requestPut") continue;
    const key = toKeyText(request.value.key);
    if (!isFree(key, writes.puts, writes.deletes)) return null;
    writes.puts.push(key);
  }
  return writes;
}
