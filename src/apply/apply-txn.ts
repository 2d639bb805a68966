/**
 * Txn: etcd's three passes. All compares, nested ones of the chosen branches included, see the state before the txn; so do
 * the checks of the chosen ops; then the ops run in order and see what earlier ones wrote.
 */
import { assert } from "../base/assert.ts";
import { ErrorId } from "../base/errors.ts";
import { RangeView } from "../proto/kv-decode.ts";
import {
  prefixBytes,
  revisionHeaderBytes,
  writeEmptyHeader,
  writePrefix,
  writeRevisionHeader,
  writeSucceeded,
} from "../proto/kv-encode.ts";
import { OpKind, TxnArena } from "../proto/kv-txn-decode.ts";
import { type ApplyContext, NOT_ANSWERED, sendOut } from "./apply-context.ts";
import type { DeleteRangeApplier } from "./apply-delete-range.ts";
import type { PutApplier } from "./apply-put.ts";
import { CompareEvaluator } from "./compare-evaluator.ts";
import { RangeQuery, toKeyRange } from "./range-query.ts";

/** Tag of TxnResponse.responses. */
const TAG_RESPONSES = (3 << 3) | 2;
/** Tag and length of a message shorter than 128 bytes. */
const SHORT_PREFIX_BYTES = 2;

export class TxnApplier {
  readonly #context: ApplyContext;
  readonly #puts: PutApplier;
  readonly #deletes: DeleteRangeApplier;
  readonly #compares: CompareEvaluator;
  readonly #arena = new TxnArena();
  readonly #range = new RangeView();
  /** By txn of the arena: 1 if its compares hold. Filled for those on the chosen path. */
  #succeeded = new Uint8Array(16);
  /** Revision before the txn, and whether it has written anything yet. */
  #revision = 0;
  #changed = false;
  /** Ops run so far. */
  #ops = 0;
  /** Deletes of the path that the second pass has passed. */
  readonly #deletesSeen: number[] = [];
  /** A put of the path needs the stored key, which a delete in front of it takes away. */
  #losesKey = false;
  #answering = false;
  /** The bytes are the client's own, not what Go would have encoded anew for its log. */
  #direct = false;

  constructor(context: ApplyContext, puts: PutApplier, deletes: DeleteRangeApplier) {
    this.#context = context;
    this.#puts = puts;
    this.#deletes = deletes;
    this.#compares = new CompareEvaluator(context.store);
  }

  /** Applies a committed TxnRequest; returns the ErrorId that it is answered. */
  apply(bytes: Uint8Array, start: number, end: number, requestId: number): number {
    this.#direct = false;
    const error = this.#begin(bytes, start, end, requestId);
    if (error !== ErrorId.none) return error;
    const { store } = this.#context;
    store.beginTxn();
    this.#execute(0);
    this.#respond(requestId, store.endTxn());
    return ErrorId.none;
  }

  /** Answers a TxnRequest that holds ranges only. Returns the ErrorId that it is answered. */
  read(requestId: number, bytes: Uint8Array, start: number, end: number): number {
    this.#direct = true;
    const error = this.#begin(bytes, start, end, requestId);
    if (error !== ErrorId.none) return error;
    this.#execute(0);
    this.#respond(requestId, this.#revision);
    return ErrorId.none;
  }

  /** Decodes, compares and checks. Returns the error with which the txn failed, and that has been answered; or 0. */
  #begin(bytes: Uint8Array, start: number, end: number, requestId: number): number {
    const { store, sink, out } = this.#context;
    assert(this.#arena.decode(bytes, start, end), "a committed txn can be decoded");
    if (this.#succeeded.length < this.#arena.txnCount)
      this.#succeeded = new Uint8Array(this.#arena.txnCount * 2);
    this.#revision = store.revision;
    this.#changed = false;
    this.#ops = 0;
    this.#answering = requestId !== NOT_ANSWERED;
    out.clear();
    this.#compare(0);
    const error = this.#checkAll();
    if (error !== ErrorId.none && this.#answering) sink.fail(requestId, error);
    return error;
  }

  #respond(requestId: number, revision: number): void {
    if (this.#ops > 1) this.#context.meters.txns.add(1);
    if (!this.#answering) return;
    const { out } = this.#context;
    const succeeded = this.#succeeded[0] === 1;
    if (succeeded) {
      out.insert(0, 2);
      writeSucceeded(out.bytes, 0, true);
    }
    sendOut(this.#context, requestId, revision);
  }

  #opsFirst(txn: number): number {
    return this.#succeeded[txn] === 1 ? this.#arena.successFirst(txn) : this.#arena.failureFirst(txn);
  }

  #opsEnd(txn: number): number {
    const count = this.#succeeded[txn] === 1 ? this.#arena.successCount(txn) : this.#arena.failureCount(txn);
    return this.#opsFirst(txn) + count;
  }

  /** First pass: decides the branches of a txn and of all nested ones on its path. */
  #compare(txn: number): void {
    const arena = this.#arena;
    this.#succeeded[txn] = this.#compares.allHold(arena, txn, this.#direct) ? 1 : 0;
    const end = this.#opsEnd(txn);
    for (let op = this.#opsFirst(txn); op < end; op++) {
      if (arena.opKind(op) === OpKind.txn) this.#compare(arena.opTxn(op));
    }
  }

  /** Second pass: an ErrorId, 0 if all ops of the path can be executed. A key that would be lost is the last of reasons. */
  #checkAll(): number {
    this.#deletesSeen.length = 0;
    this.#losesKey = false;
    const error = this.#check(0);
    if (error !== ErrorId.none) return error;
    return this.#losesKey ? ErrorId.keyNotFound : ErrorId.none;
  }

  #check(txn: number): number {
    const arena = this.#arena;
    const end = this.#opsEnd(txn);
    for (let op = this.#opsFirst(txn); op < end; op++) {
      const kind = arena.opKind(op);
      let error: number = ErrorId.none;
      if (kind === OpKind.range) error = this.#checkRange(op);
      else if (kind === OpKind.put) error = this.#checkPut(op);
      else if (kind === OpKind.deleteRange) this.#deletesSeen.push(op);
      else if (kind === OpKind.txn) error = this.#check(arena.opTxn(op));
      if (error !== ErrorId.none) return error;
    }
    return ErrorId.none;
  }

  /**
   * A put that takes over the stored value or lease needs its key when its turn comes, and not only before the txn: a delete in
   * front of it may have taken the key away (one to the end of the key space escapes the duplicate check). etcd's process ends
   * when it runs such a txn, and so after all checks; here it fails as a whole.
   */
  #checkPut(op: number): number {
    const arena = this.#arena;
    const error = this.#puts.check(arena.bytes, arena.opStart(op), arena.opEnd(op));
    if (error !== ErrorId.none || !this.#puts.checkedNeedsKey || this.#losesKey) return error;
    const key = this.#puts.checkedKey(arena.bytes);
    this.#losesKey = this.#deletesSeen.some((seen) => {
      return this.#deletes.covers(arena.bytes, arena.opStart(seen), arena.opEnd(seen), key);
    });
    return ErrorId.none;
  }

  /** Stricter than a Range alone: a negative revision lies below the compacted one, which is -1 at first. */
  #checkRange(op: number): number {
    const { store } = this.#context;
    this.#decodeRange(op);
    const revision = this.#range.revision;
    if (revision === 0) return ErrorId.none;
    if (revision > this.#revision) return ErrorId.futureRev;
    return revision < store.compactRevision ? ErrorId.compacted : ErrorId.none;
  }

  #decodeRange(op: number): void {
    const arena = this.#arena;
    assert(
      this.#range.decode(arena.bytes, arena.opStart(op), arena.opEnd(op)),
      "a committed range can be decoded",
    );
  }

  /** Third pass: runs the ops, appending their answers. */
  #execute(txn: number): void {
    const arena = this.#arena;
    const end = this.#opsEnd(txn);
    for (let op = this.#opsFirst(txn); op < end; op++) {
      const kind = arena.opKind(op);
      if (!this.#answering) {
        this.#executeOp(op, kind);
        continue;
      }
      const outer = this.#openMessage();
      if (kind !== OpKind.none) {
        const inner = this.#openMessage();
        this.#executeOp(op, kind);
        this.#closeMessage(inner, (kind << 3) | 2);
      }
      this.#closeMessage(outer, TAG_RESPONSES);
    }
  }

  #executeOp(op: number, kind: number): void {
    const arena = this.#arena;
    if (kind !== OpKind.txn) this.#ops++;
    switch (kind) {
      case OpKind.range:
        this.#context.meters.ranges.add(1);
        if (this.#answering) this.#executeRange(op);
        return;
      case OpKind.put:
        if (this.#answering) this.#writeHeader(this.#revision + 1);
        this.#puts.applyInTxn(arena.bytes, arena.opStart(op), arena.opEnd(op), this.#answering);
        this.#changed = true;
        return;
      case OpKind.deleteRange:
        this.#executeDelete(op);
        return;
      case OpKind.txn:
        this.#executeNested(arena.opTxn(op));
    }
  }

  #executeRange(op: number): void {
    this.#decodeRange(op);
    const query = new RangeQuery(toKeyRange(this.#arena.bytes, this.#range, this.#direct), this.#range);
    this.#context.reader.appendRangeResponse(query, this.#revisionNow(), this.#context.out);
  }

  #executeDelete(op: number): void {
    const arena = this.#arena;
    const { out } = this.#context;
    const at = out.length;
    const deleted = this.#deletes.applyInTxn(
      arena.bytes,
      arena.opStart(op),
      arena.opEnd(op),
      this.#answering,
    );
    if (deleted > 0) this.#changed = true;
    if (!this.#answering) return;
    // The header stands first but is known last.
    out.insert(at, revisionHeaderBytes(this.#revisionNow()));
    writeRevisionHeader(out.bytes, at, this.#revisionNow());
  }

  #executeNested(txn: number): void {
    const { out } = this.#context;
    if (this.#answering) {
      out.ensure(4);
      out.length = writeEmptyHeader(out.bytes, out.length);
      out.length = writeSucceeded(out.bytes, out.length, this.#succeeded[txn] === 1);
    }
    this.#execute(txn);
  }

  /** The revision that ops of the txn report: it moves with the first change. */
  #revisionNow(): number {
    return this.#changed ? this.#revision + 1 : this.#revision;
  }

  #writeHeader(revision: number): void {
    const { out } = this.#context;
    out.ensure(revisionHeaderBytes(revision));
    out.length = writeRevisionHeader(out.bytes, out.length, revision);
  }

  /** Leaves room for a short prefix; returns where. */
  #openMessage(): number {
    const { out } = this.#context;
    out.ensure(SHORT_PREFIX_BYTES);
    const at = out.length;
    out.length += SHORT_PREFIX_BYTES;
    return at;
  }

  /** Writes the prefix of the message opened at `at`, moving it up if its length needs more room. */
  #closeMessage(at: number, tag: number): void {
    const { out } = this.#context;
    const length = out.length - at - SHORT_PREFIX_BYTES;
    const missing = prefixBytes(length) - SHORT_PREFIX_BYTES;
    if (missing > 0) out.insert(at + SHORT_PREFIX_BYTES, missing);
    writePrefix(out.bytes, at, tag, length);
  }
}
