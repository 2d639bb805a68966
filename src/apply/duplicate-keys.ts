/**
 * The rule that one path through a txn writes no key twice: two puts of a key, or a put of a key that a delete of the same
 * path covers. Deletes may overlap. The branches of a nested txn exclude each other, so both may put the same key.
 *
 * A level's own deletes are collected first, then the nested txns in order (each adding its puts and deletes), and its own
 * puts last: the order is etcd's and decides which txns are refused. Deletes are intervals [key, end) taken literally:
 * an end of one zero byte ("every key from key on") is an empty interval here, as in etcd, and forbids nothing.
 */
import { DeleteRangeView, PutView } from "../proto/kv-decode.ts";
import { OpKind, type TxnArena } from "../proto/kv-txn-decode.ts";

const put = new PutView();
const deleteRange = new DeleteRangeView();

/** A delete of a path: keys >= `from` and < `to`; keys as strings of one char a byte, which compare as the bytes do. */
interface DeletedInterval {
  readonly from: string;
  readonly to: string;
}

/** What one list of ops, with everything nested in it, writes. */
interface Writes {
  readonly puts: Set<string>;
  readonly deletes: DeletedInterval[];
}

/** Whether the list of ops [first, first + count) writes a key twice on one path. */
export function findDuplicateKey(arena: TxnArena, first: number, count: number): boolean {
  // By far most lists put one key, or none: nothing can collide.
  if (!mayCollide(arena, first, count)) return false;
  return collectWrites(arena, first, count) === null;
}

function mayCollide(arena: TxnArena, first: number, count: number): boolean {
  let puts = 0;
  let others = 0;
  for (let op = first; op < first + count; op++) {
    const kind = arena.opKind(op);
    if (kind === OpKind.put) puts++;
    else if (kind === OpKind.txn) return true;
    else if (kind === OpKind.deleteRange) others++;
  }
  return puts > 1 || (puts === 1 && others > 0);
}

/** Null: a duplicate. */
function collectWrites(arena: TxnArena, first: number, count: number): Writes | null {
  const writes: Writes = { puts: new Set(), deletes: collectDeletes(arena, first, count) };
  for (let op = first; op < first + count; op++) {
    if (arena.opKind(op) === OpKind.txn && !mergeNested(arena, arena.opTxn(op), writes)) return null;
  }
  for (let op = first; op < first + count; op++) {
    if (arena.opKind(op) !== OpKind.put) continue;
    put.decode(arena.bytes, arena.opStart(op), arena.opEnd(op));
    const key = toKey(arena.bytes, put.keyStart, put.keyEnd);
    if (writes.puts.has(key) || isDeleted(writes.deletes, key)) return null;
    writes.puts.add(key);
  }
  return writes;
}

function collectDeletes(arena: TxnArena, first: number, count: number): DeletedInterval[] {
  const deletes: DeletedInterval[] = [];
  for (let op = first; op < first + count; op++) {
    if (arena.opKind(op) !== OpKind.deleteRange) continue;
    deleteRange.decode(arena.bytes, arena.opStart(op), arena.opEnd(op));
    const from = toKey(arena.bytes, deleteRange.keyStart, deleteRange.keyEnd);
    const end = toKey(arena.bytes, deleteRange.rangeEndStart, deleteRange.rangeEndEnd);
    const to = end === "" ? `${from}\0` : end;
    if (from < to) deletes.push({ from, to });
  }
  return deletes;
}

/** Adds what the branches of a nested txn write. False: a duplicate. */
function mergeNested(arena: TxnArena, txn: number, into: Writes): boolean {
  const success = collectWrites(arena, arena.successFirst(txn), arena.successCount(txn));
  if (success === null) return false;
  const failure = collectWrites(arena, arena.failureFirst(txn), arena.failureCount(txn));
  if (failure === null) return false;
  for (const key of success.puts) {
    if (into.puts.has(key) || isDeleted(into.deletes, key)) return false;
    into.puts.add(key);
  }
  for (const key of failure.puts) {
    if (into.puts.has(key) && !success.puts.has(key)) return false;
    if (isDeleted(into.deletes, key)) return false;
    into.puts.add(key);
  }
  for (const interval of success.deletes) into.deletes.push(interval);
  for (const interval of failure.deletes) into.deletes.push(interval);
  return true;
}

function isDeleted(deletes: readonly DeletedInterval[], key: string): boolean {
  for (const interval of deletes) {
    if (key >= interval.from && key < interval.to) return true;
  }
  return false;
}

/** Longest run that is passed to fromCharCode as arguments. */
const CHARS_MAX = 4096;

function toKey(bytes: Uint8Array, start: number, end: number): string {
  let key = "";
  for (let from = start; from < end; from += CHARS_MAX) {
    key += String.fromCharCode(...bytes.subarray(from, Math.min(end, from + CHARS_MAX)));
  }
  return key;
}
