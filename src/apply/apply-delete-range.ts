/** DeleteRange: tombstones the live keys of a range, and tells what they were. */
import { assert } from "../base/assert.ts";
import type { KeyMeta, KeyRange } from "../mvcc/store.ts";
import { DeleteRangeView, RangeView } from "../proto/kv-decode.ts";
import { deletedBytes, TAG_FIELD_3_BYTES, writeDeleted } from "../proto/kv-encode.ts";
import { type ApplyContext, NOT_ANSWERED, sendOut } from "./apply-context.ts";
import { RESPONSE_INLINE_BYTES_MAX, RESPONSE_INLINE_KEYS_MAX } from "./apply-limits.ts";
import { appendKeyValue } from "./key-value-writer.ts";
import { compareBytes } from "../base/compare-bytes.ts";
import { RangeJob } from "./range-job.ts";
import { copyKeyRange, newKeyMeta, RangeQuery, toKeyRange } from "./range-query.ts";

const NO_OPTIONS = new RangeView();

export class DeleteRangeApplier {
  readonly #context: ApplyContext;
  readonly #view = new DeleteRangeView();
  readonly #meta: KeyMeta = newKeyMeta();

  constructor(context: ApplyContext) {
    this.#context = context;
  }

  /** Applies a committed DeleteRangeRequest. */
  apply(bytes: Uint8Array, start: number, end: number, requestId: number): void {
    const { store, out, meters } = this.#context;
    const range = this.#decode(bytes, start, end);
    if (this.#view.prevKv) {
      meters.ranges.add(1);
      meters.txns.add(1);
    }
    const answering = requestId !== NOT_ANSWERED;
    out.clear();
    const job = answering && this.#view.prevKv ? this.#startPrevious(range, requestId) : null;
    store.beginTxn();
    const deleted = this.#delete(range);
    const revision = store.endTxn();
    if (!answering) return;
    if (job !== null) {
      this.#context.streams.add(job);
      return;
    }
    const length = deletedBytes(deleted);
    out.insert(0, length);
    writeDeleted(out.bytes, 0, deleted);
    sendOut(this.#context, requestId, revision);
  }

  /** Deletes inside an open txn; appends `deleted` and prev_kvs to `out` if `answering`. Returns how many keys. */
  applyInTxn(bytes: Uint8Array, start: number, end: number, answering: boolean): number {
    const { out } = this.#context;
    const range = this.#decode(bytes, start, end);
    const from = out.length;
    if (answering && this.#view.prevKv) this.#appendPrevious(range, Infinity);
    const deleted = this.#delete(range);
    if (!answering) return deleted;
    out.insert(from, deletedBytes(deleted));
    writeDeleted(out.bytes, from, deleted);
    return deleted;
  }

  /** Whether the DeleteRangeRequest in `bytes[start, end)` would delete `key`. */
  covers(bytes: Uint8Array, start: number, end: number, key: Uint8Array): boolean {
    const range = this.#decode(bytes, start, end);
    const order = compareWhole(key, range.key);
    if (range.end === null) return order === 0;
    const isOpen = range.end.length === 1 && range.end[0] === 0;
    return order >= 0 && (isOpen || compareWhole(key, range.end) < 0);
  }

  #decode(bytes: Uint8Array, start: number, end: number): KeyRange {
    assert(this.#view.decode(bytes, start, end), "a committed delete can be decoded");
    return toKeyRange(bytes, this.#view, false);
  }

  #delete(range: KeyRange): number {
    const { store, leases, meters } = this.#context;
    meters.deletes.add(1);
    if (leases.attachedKeys > 0) this.#detachLeases(range);
    return store.deleteRange(range);
  }

  #detachLeases(range: KeyRange): void {
    const { store, leases } = this.#context;
    const meta = this.#meta;
    const cursor = store.openCursor(range, 0);
    while (cursor.next(meta)) {
      if (meta.leaseLow !== 0 || meta.leaseHigh !== 0) leases.detach(meta.keyId);
    }
    cursor.close();
  }

  /** Appends the prev_kvs to `out`, or, if they are many, returns a job that will read them at the revision before. */
  #startPrevious(range: KeyRange, requestId: number): RangeJob | null {
    const { store, out } = this.#context;
    const total = store.count(range, 0);
    if (total <= RESPONSE_INLINE_KEYS_MAX && this.#appendPrevious(range, RESPONSE_INLINE_BYTES_MAX))
      return null;
    out.clear();
    const query = new RangeQuery(copyKeyRange(range), NO_OPTIONS, store.revision);
    const head = this.#headOf(total);
    return new RangeJob(store, query, { requestId, total, tag: TAG_FIELD_3_BYTES, head, hasTail: false });
  }

  /** Header and `deleted` of an answer that deletes `deleted` > 0 keys now. */
  #headOf(deleted: number): Uint8Array {
    const { store, header } = this.#context;
    const revision = store.revision + 1;
    const head = new Uint8Array(header.fieldBytes(revision) + deletedBytes(deleted));
    writeDeleted(head, header.write(head, 0, revision), deleted);
    return head;
  }

  /** False: `out` became longer than `bytesMax`. */
  #appendPrevious(range: KeyRange, bytesMax: number): boolean {
    const { store, out } = this.#context;
    const meta = this.#meta;
    const cursor = store.openCursor(range, 0);
    let fits = true;
    while (fits && cursor.next(meta)) {
      appendKeyValue(store, meta, false, TAG_FIELD_3_BYTES, out);
      fits = out.length <= bytesMax;
    }
    cursor.close();
    return fits;
  }
}

function compareWhole(a: Uint8Array, b: Uint8Array): number {
  return compareBytes(a, 0, a.length, b, 0, b.length);
}
