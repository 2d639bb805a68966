/**
 * What a request will take of the quota, by etcd's estimate: its bytes, and a constant for what is stored about each key. The
 * gate of the apply thread and the check before proposing use the same numbers.
 */

import { PutView } from "../proto/kv-decode.ts";
import { OpKind, TxnArena } from "../proto/kv-txn-decode.ts";
import { RaftField } from "../proto/raft-request.ts";

/** etcd's estimate of what is stored about a key. */
const KEY_OVERHEAD_BYTES = 256;
/** etcd's estimate of a lease. */
const LEASE_BYTES = 64;
/**
 * A request of so many bytes costs less than this many times as much: a put inside a txn takes 7 bytes at least and costs 257, so
 * the factor is below 37.
 */
const COST_TO_BYTES_MAX = 64;

const put = new PutView();
const arena = new TxnArena();

/** More than any request of `bytes` can cost: what has that much room needs no closer look. */
export function costBound(bytes: number): number {
  return bytes * COST_TO_BYTES_MAX + KEY_OVERHEAD_BYTES;
}

/**
 * Cost of the payload `bytes[start, end)` of the raft request field `field`; 0 = it may always go on, as malformed ones may: others
 * refuse them. Puts inside nested txns are free, as in etcd 3.6.6: all members must come to the same verdict.
 */
export function requestCost(field: number, bytes: Uint8Array, start: number, end: number): number {
  switch (field) {
    case RaftField.put:
      return putCost(bytes, start, end);
    case RaftField.txn:
      if (!arena.decode(bytes, start, end)) return 0;
      return Math.max(
        opsCost(arena.successFirst(0), arena.successCount(0)),
        opsCost(arena.failureFirst(0), arena.failureCount(0)),
      );
    case RaftField.leaseGrant:
      return LEASE_BYTES;
    default:
      return 0;
  }
}

function opsCost(first: number, count: number): number {
  let cost = 0;
  for (let op = first; op < first + count; op++) {
    if (arena.opKind(op) === OpKind.put) cost += putCost(arena.bytes, arena.opStart(op), arena.opEnd(op));
  }
  return cost;
}

function putCost(bytes: Uint8Array, start: number, end: number): number {
  if (!put.decode(bytes, start, end)) return 0;
  return KEY_OVERHEAD_BYTES + put.keyEnd - put.keyStart + put.valueEnd - put.valueStart;
}
