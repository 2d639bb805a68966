/**
 * TxnRequest, nested to any depth, as flat arrays of offsets: one arena a thread, reused, no objects a request. The arena
 * holds the structure (which ops, which compares); the requests inside are decoded when their turn comes, with the views of
 * `kv-decode.ts`.
 *
 * ```
 *   txn t: compares  [compareFirst[t], + compareCount[t])  -> compareStart/compareEnd
 *          success   [successFirst[t], + successCount[t])  -> opKind, opStart/opEnd, opTxn
 *          failure   [failureFirst[t], + failureCount[t])
 * ```
 */
import { WIRE_BYTES, WireReader } from "./wire.ts";

/** Which member of RequestOp's oneof is set: the field number, 0 = none. */
export const OpKind = { none: 0, range: 1, put: 2, deleteRange: 3, txn: 4 } as const;

/** Deepest nesting that is decoded: each level costs a frame of the stack, and a request holds room for 250,000 levels. */
export const TXN_DEPTH_MAX = 512;

const TAG_COMPARE = (1 << 3) | WIRE_BYTES;
const TAG_SUCCESS = (2 << 3) | WIRE_BYTES;
const TAG_FAILURE = (3 << 3) | WIRE_BYTES;
const OP_FIELD_LAST = 4;

/** An Int32Array that grows by doubling, as long as the longest txn seen. */
class IntList {
  items = new Int32Array(64);
  length = 0;

  /** Makes room for `count` more; returns the index of the first. */
  extend(count: number): number {
    const first = this.length;
    this.length += count;
    if (this.length > this.items.length) {
      const grown = new Int32Array(Math.max(this.length, this.items.length * 2));
      grown.set(this.items);
      this.items = grown;
    }
    return first;
  }
}

/** A decoded TxnRequest. Offsets point into {@link bytes}; all arrays are borrowed until the next {@link decode}. */
export class TxnArena {
  bytes: Uint8Array = new Uint8Array(0);
  /** The nesting was deeper than {@link TXN_DEPTH_MAX}; `decode` returned false. */
  tooDeep = false;
  #txns = 0;
  readonly #txnRows = new IntList();
  readonly #compares = new IntList();
  readonly #ops = new IntList();
  readonly #reader = new WireReader();

  /** Decodes the structure; txn 0 is the outermost. False: malformed (or too deep). */
  decode(bytes: Uint8Array, start: number, end: number): boolean {
    this.bytes = bytes;
    this.tooDeep = false;
    this.#txns = 0;
    this.#txnRows.length = this.#compares.length = this.#ops.length = 0;
    return this.#decodeTxn(start, end, 0) >= 0;
  }

  get txnCount(): number {
    return this.#txns;
  }
  compareFirst(txn: number): number {
    return this.#txnRows.items[txn * 6];
  }
  compareCount(txn: number): number {
    return this.#txnRows.items[txn * 6 + 1];
  }
  successFirst(txn: number): number {
    return this.#txnRows.items[txn * 6 + 2];
  }
  successCount(txn: number): number {
    return this.#txnRows.items[txn * 6 + 3];
  }
  failureFirst(txn: number): number {
    return this.#txnRows.items[txn * 6 + 4];
  }
  failureCount(txn: number): number {
    return this.#txnRows.items[txn * 6 + 5];
  }
  compareStart(compare: number): number {
    return this.#compares.items[compare * 2];
  }
  compareEnd(compare: number): number {
    return this.#compares.items[compare * 2 + 1];
  }
  /** One of {@link OpKind}. */
  opKind(op: number): number {
    return this.#ops.items[op * 4];
  }
  opStart(op: number): number {
    return this.#ops.items[op * 4 + 1];
  }
  opEnd(op: number): number {
    return this.#ops.items[op * 4 + 2];
  }
  /** The nested txn of an op of kind `txn`. */
  opTxn(op: number): number {
    return this.#ops.items[op * 4 + 3];
  }

  /** Returns the txn's number, or -1. */
  #decodeTxn(start: number, end: number, depth: number): number {
    if (depth > TXN_DEPTH_MAX) {
      this.tooDeep = true;
      return -1;
    }
    const txn = this.#txns++;
    const row = this.#txnRows.extend(6);
    if (!this.#countFields(row, start, end)) return -1;
    const rows = this.#txnRows.items;
    rows[row] = this.#compares.extend(2 * rows[row + 1]) / 2;
    rows[row + 2] = this.#ops.extend(4 * rows[row + 3]) / 4;
    rows[row + 4] = this.#ops.extend(4 * rows[row + 5]) / 4;
    this.#fillFields(rows[row], rows[row + 2], rows[row + 4], start, end);
    return this.#decodeOps(row, depth) ? txn : -1;
  }

  #countFields(row: number, start: number, end: number): boolean {
    const reader = this.#reader;
    const rows = this.#txnRows.items;
    rows.fill(0, row, row + 6);
    reader.reset(this.bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === TAG_COMPARE) rows[row + 1]++;
      else if (tag === TAG_SUCCESS) rows[row + 3]++;
      else if (tag === TAG_FAILURE) rows[row + 5]++;
      else if (tag >>> 3 <= 3) return false;
      reader.skip(tag);
    }
    return !reader.failed;
  }

  #fillFields(compare: number, success: number, failure: number, start: number, end: number): void {
    const reader = this.#reader;
    const compares = this.#compares.items;
    const ops = this.#ops.items;
    reader.reset(this.bytes, start, end);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag > TAG_FAILURE) {
        reader.skip(tag);
        continue;
      }
      const length = reader.length();
      const from = reader.position;
      reader.position += length;
      if (tag === TAG_COMPARE) {
        compares[compare * 2] = from;
        compares[compare * 2 + 1] = from + length;
        compare++;
      } else {
        const op = tag === TAG_SUCCESS ? success++ : failure++;
        ops[op * 4 + 1] = from;
        ops[op * 4 + 2] = from + length;
      }
    }
  }

  #decodeOps(row: number, depth: number): boolean {
    for (let list = 2; list <= 4; list += 2) {
      const first = this.#txnRows.items[row + list];
      const count = this.#txnRows.items[row + list + 1];
      for (let op = first; op < first + count; op++) {
        if (!this.#decodeOp(op, depth)) return false;
      }
    }
    return true;
  }

  /**
   * Narrows an op from its RequestOp to the request inside. No encoder writes two members of a oneof; Go would take the last
   * one and yet refuse the message for a mistake within the first, which nobody here would look at: it is refused at once.
   */
  #decodeOp(op: number, depth: number): boolean {
    const reader = this.#reader;
    let ops = this.#ops.items;
    let kind = 0;
    let from = 0;
    let to = 0;
    reader.reset(this.bytes, ops[op * 4 + 1], ops[op * 4 + 2]);
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag >>> 3 > OP_FIELD_LAST) {
        reader.skip(tag);
        continue;
      }
      if ((tag & 7) !== WIRE_BYTES || kind !== 0) return false;
      kind = tag >>> 3;
      const length = reader.length();
      from = reader.position;
      reader.position += length;
      to = reader.position;
    }
    if (reader.failed) return false;
    let txn = 0;
    if (kind === OpKind.txn) {
      txn = this.#decodeTxn(from, to, depth + 1);
      if (txn < 0) return false;
      ops = this.#ops.items;
    }
    ops[op * 4] = kind;
    ops[op * 4 + 1] = from;
    ops[op * 4 + 2] = to;
    ops[op * 4 + 3] = txn;
    return true;
  }
}
