/** Evaluates the compares of a txn against the current state. */
import { compareBytes } from "../base/compare-bytes.ts";
import { assert } from "../base/assert.ts";
import type { KeyMeta, MvccStore } from "../mvcc/store.ts";
import { CompareResult, CompareTarget, CompareView } from "../proto/kv-decode.ts";
import type { TxnArena } from "../proto/kv-txn-decode.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import { fetchValue, foundValueStart } from "./key-value-bytes.ts";
import { newKeyMeta, toKeyRange } from "./range-query.ts";

/** Field of Compare.target_union that holds the operand of each target. */
const UNION_FIELDS: readonly number[] = [4, 5, 6, 7, 8];

export class CompareEvaluator {
  readonly #store: MvccStore;
  readonly #view = new CompareView();
  readonly #meta: KeyMeta = newKeyMeta();
  readonly #absent: KeyMeta = newKeyMeta();
  readonly #scratch = new ByteBuffer();

  constructor(store: MvccStore) {
    this.#store = store;
  }

  /** Whether all compares of one txn hold. `emptyEndIsOpen`: see {@link toKeyRange}. */
  allHold(arena: TxnArena, txn: number, emptyEndIsOpen: boolean): boolean {
    const first = arena.compareFirst(txn);
    const end = first + arena.compareCount(txn);
    for (let i = first; i < end; i++) {
      const decoded = this.#view.decode(arena.bytes, arena.compareStart(i), arena.compareEnd(i));
      assert(decoded, "a committed compare can be decoded");
      if (!this.#holds(arena.bytes, emptyEndIsOpen)) return false;
    }
    return true;
  }

  #holds(bytes: Uint8Array, emptyEndIsOpen: boolean): boolean {
    const view = this.#view;
    if (view.hasRangeEnd) return this.#holdsForRange(bytes, emptyEndIsOpen);
    if (!this.#store.lookup(bytes, view.keyStart, view.keyEnd, 0, this.#meta)) return this.#holdsForAbsent();
    return this.#holdsFor(this.#meta, bytes);
  }

  /** Must hold for every key of the range. */
  #holdsForRange(bytes: Uint8Array, emptyEndIsOpen: boolean): boolean {
    const cursor = this.#store.openCursor(toKeyRange(bytes, this.#view, emptyEndIsOpen), 0);
    let found = false;
    let holds = true;
    while (holds && cursor.next(this.#meta)) {
      found = true;
      holds = this.#holdsFor(this.#meta, bytes);
    }
    cursor.close();
    return found ? holds : this.#holdsForAbsent();
  }

  /** A key that is not there has zeros everywhere, but no value at all. */
  #holdsForAbsent(): boolean {
    return this.#view.target !== CompareTarget.value && this.#matches(this.#compareNumbers(this.#absent));
  }

  #holdsFor(meta: KeyMeta, bytes: Uint8Array): boolean {
    if (this.#view.target === CompareTarget.value) return this.#matches(this.#compareValues(meta, bytes));
    return this.#matches(this.#compareNumbers(meta));
  }

  #matches(order: number): boolean {
    switch (this.#view.result) {
      case CompareResult.equal:
        return order === 0;
      case CompareResult.notEqual:
        return order !== 0;
      case CompareResult.greater:
        return order > 0;
      case CompareResult.less:
        return order < 0;
      default:
        return true;
    }
  }

  /** An operand of another target than the one compared counts as zero. */
  #hasOperand(): boolean {
    return UNION_FIELDS[this.#view.target] === this.#view.unionField;
  }

  #compareNumbers(meta: KeyMeta): number {
    const view = this.#view;
    const operand = this.#hasOperand() ? view.number : 0;
    switch (view.target) {
      case CompareTarget.version:
        return meta.version - operand;
      case CompareTarget.create:
        return meta.createRevision - operand;
      case CompareTarget.mod:
        return meta.modRevision - operand;
      case CompareTarget.lease:
        return this.#compareLease(meta);
      default:
        // A target outside the enum compares nothing: equal.
        return 0;
    }
  }

  /** Lease ids compare as signed 64-bit numbers. */
  #compareLease(meta: KeyMeta): number {
    const present = this.#hasOperand();
    const high = (present ? this.#view.leaseHigh : 0) | 0;
    const low = present ? this.#view.leaseLow : 0;
    const difference = (meta.leaseHigh | 0) - high;
    return difference !== 0 ? difference : meta.leaseLow - low;
  }

  #compareValues(meta: KeyMeta, bytes: Uint8Array): number {
    const view = this.#view;
    const length = fetchValue(this.#store, meta, this.#scratch);
    const start = foundValueStart();
    const present = this.#hasOperand();
    const from = present ? view.valueStart : 0;
    const to = present ? view.valueEnd : 0;
    return compareBytes(this.#scratch.bytes, start, start + length, bytes, from, to);
  }
}
