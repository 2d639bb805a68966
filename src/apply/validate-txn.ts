/**
 * The checks of a TxnRequest before it is proposed or read, in etcd's order: number of ops, keys of the compares, every op's
 * own rules (nested ones recursively), then keys written twice. And the routing: which txns are reads.
 */
import { ErrorId } from "../base/errors.ts";
import { CompareView, RangeView } from "../proto/kv-decode.ts";
import { OpKind, TxnArena } from "../proto/kv-txn-decode.ts";
import { findDuplicateKey } from "./duplicate-keys.ts";
import {
  checkDeleteRange,
  checkPut,
  checkRange,
  hasEmptyDeleteRangeEnd,
  hasEmptyRangeEnd,
} from "./validate-kv.ts";

/** Where a txn goes. */
export const TxnRoute = {
  /** Has an op that is no range: proposed through Raft. */
  write: 1,
  /** Ranges only: answered by apply once leadership is confirmed. */
  linearizableRead: 2,
  /** Serializable ranges only, and, as in etcd, no ops at all: answered from local state. */
  serializableRead: 3,
} as const;

const arena = new TxnArena();
const compare = new CompareView();
const range = new RangeView();
/** Of the txn checked last. */
let hasEmptyEnds = false;

/**
 * TxnRequest in `bytes[start, end)`; `maxTxnOps` is `--max-txn-ops`. Returns an ErrorId, 0 when it may go on; then
 * {@link routeOfCheckedTxn} tells where.
 */
export function checkTxn(bytes: Uint8Array, start: number, end: number, maxTxnOps: number): number {
  if (!arena.decode(bytes, start, end)) return arena.tooDeep ? ErrorId.tooManyOps : ErrorId.malformedRequest;
  hasEmptyEnds = false;
  const error = checkOneTxn(0, maxTxnOps);
  if (error !== ErrorId.none) return error;
  if (findDuplicateKey(arena, arena.successFirst(0), arena.successCount(0))) return ErrorId.duplicateKey;
  if (findDuplicateKey(arena, arena.failureFirst(0), arena.failureCount(0))) return ErrorId.duplicateKey;
  return ErrorId.none;
}

/** Whether a compare, range or delete of the txn that {@link checkTxn} accepted last names an empty range_end. */
export function checkedTxnHasEmptyEnds(): boolean {
  return hasEmptyEnds;
}

/** The {@link TxnRoute} of the txn that {@link checkTxn} accepted last; its bytes must be unchanged. */
export function routeOfCheckedTxn(): number {
  const success = routeOfOps(arena.successFirst(0), arena.successCount(0));
  if (success === TxnRoute.write) return success;
  return Math.min(success, routeOfOps(arena.failureFirst(0), arena.failureCount(0)));
}

/** The {@link TxnRoute} of a TxnRequest that is known to be valid. */
export function classifyTxn(bytes: Uint8Array, start: number, end: number): number {
  return arena.decode(bytes, start, end) ? routeOfCheckedTxn() : TxnRoute.write;
}

function routeOfOps(first: number, count: number): number {
  let route: number = TxnRoute.serializableRead;
  for (let op = first; op < first + count; op++) {
    if (arena.opKind(op) !== OpKind.range) return TxnRoute.write;
    range.decode(arena.bytes, arena.opStart(op), arena.opEnd(op));
    if (!range.serializable) route = TxnRoute.linearizableRead;
  }
  return route;
}

function checkOneTxn(txn: number, opsMax: number): number {
  const ops = Math.max(arena.compareCount(txn), arena.successCount(txn), arena.failureCount(txn));
  if (ops > opsMax) return ErrorId.tooManyOps;
  const error = checkCompares(arena.compareFirst(txn), arena.compareCount(txn));
  if (error !== ErrorId.none) return error;
  // A nested txn may use what its parent left of the budget.
  return (
    checkOps(arena.successFirst(txn), arena.successCount(txn), opsMax - ops) ||
    checkOps(arena.failureFirst(txn), arena.failureCount(txn), opsMax - ops)
  );
}

function checkCompares(first: number, count: number): number {
  for (let i = first; i < first + count; i++) {
    if (!compare.decode(arena.bytes, arena.compareStart(i), arena.compareEnd(i)))
      return ErrorId.malformedRequest;
    if (compare.keyStart === compare.keyEnd) return ErrorId.emptyKey;
    if (compare.hasRangeEnd && compare.rangeEndStart === compare.rangeEndEnd) hasEmptyEnds = true;
  }
  return ErrorId.none;
}

function checkOps(first: number, count: number, opsMax: number): number {
  for (let op = first; op < first + count; op++) {
    const error = checkOp(op, opsMax);
    if (error !== ErrorId.none) return error;
  }
  return ErrorId.none;
}

function checkOp(op: number, opsMax: number): number {
  const start = arena.opStart(op);
  const end = arena.opEnd(op);
  switch (arena.opKind(op)) {
    case OpKind.range: {
      const error = checkRange(arena.bytes, start, end);
      hasEmptyEnds ||= hasEmptyRangeEnd();
      return error;
    }
    case OpKind.put:
      return checkPut(arena.bytes, start, end);
    case OpKind.deleteRange: {
      const error = checkDeleteRange(arena.bytes, start, end);
      hasEmptyEnds ||= hasEmptyDeleteRangeEnd();
      return error;
    }
    case OpKind.txn:
      return checkOneTxn(arena.opTxn(op), opsMax);
    default:
      return ErrorId.keyNotFound;
  }
}
