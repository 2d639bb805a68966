/** Put: the entry's bytes to a new revision of one key. */
import { assert } from "../base/assert.ts";
import { ErrorId } from "../base/errors.ts";
import type { KeyMeta } from "../mvcc/store.ts";
import { PutView } from "../proto/kv-decode.ts";
import { TAG_FIELD_2_BYTES } from "../proto/kv-encode.ts";
import { type ApplyContext, NOT_ANSWERED, sendHeader, sendOut } from "./apply-context.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import { appendKeyValue } from "./key-value-writer.ts";
import { newKeyMeta } from "./range-query.ts";
import { findValue, foundValueStart } from "./key-value-bytes.ts";

export class PutApplier {
  readonly #context: ApplyContext;
  readonly #view = new PutView();
  /** The key before the put, if it was looked up and live. */
  readonly #previous: KeyMeta = newKeyMeta();
  readonly #kept = new ByteBuffer();

  constructor(context: ApplyContext) {
    this.#context = context;
  }

  /** Applies a committed PutRequest; returns the ErrorId that it is answered. */
  apply(bytes: Uint8Array, start: number, end: number, requestId: number): number {
    const { store, sink, out, meters } = this.#context;
    this.#decode(bytes, start, end);
    const view = this.#view;
    let error = this.#leaseError();
    const live = error === ErrorId.none && this.#needsPrevious() && this.#lookup(bytes);
    if (error === ErrorId.none && (view.ignoreValue || view.ignoreLease) && !live)
      error = ErrorId.keyNotFound;
    if (error !== ErrorId.none) {
      if (requestId !== NOT_ANSWERED) sink.fail(requestId, error);
      return error;
    }
    const withPrevious = live && view.prevKv && requestId !== NOT_ANSWERED;
    if (this.#needsPrevious()) {
      meters.ranges.add(1);
      meters.txns.add(1);
    }
    if (withPrevious) {
      out.clear();
      appendKeyValue(store, this.#previous, false, TAG_FIELD_2_BYTES, out);
    }
    store.beginTxn();
    this.#put(bytes);
    const revision = store.endTxn();
    if (requestId === NOT_ANSWERED) return ErrorId.none;
    if (withPrevious) sendOut(this.#context, requestId, revision);
    else sendHeader(this.#context, requestId, revision);
    return ErrorId.none;
  }

  /** What etcd checks of a put before a txn begins; an ErrorId. */
  check(bytes: Uint8Array, start: number, end: number): number {
    this.#decode(bytes, start, end);
    const view = this.#view;
    if ((view.ignoreValue || view.ignoreLease) && !this.#lookup(bytes)) return ErrorId.keyNotFound;
    return this.#leaseError();
  }

  /** Whether the put checked last takes over what is stored under its key. */
  get checkedNeedsKey(): boolean {
    return this.#view.ignoreValue || this.#view.ignoreLease;
  }

  /** Its key, a view of `bytes`. */
  checkedKey(bytes: Uint8Array): Uint8Array {
    return bytes.subarray(this.#view.keyStart, this.#view.keyEnd);
  }

  /** Puts inside an open txn; appends prev_kv to `out` if it is asked for and `answering`. */
  applyInTxn(bytes: Uint8Array, start: number, end: number, answering: boolean): void {
    const { store, out } = this.#context;
    this.#decode(bytes, start, end);
    const view = this.#view;
    const live = this.#needsPrevious() && this.#lookup(bytes);
    assert(live || !(view.ignoreValue || view.ignoreLease), "a checked put of a txn finds its key");
    if (live && view.prevKv && answering)
      appendKeyValue(store, this.#previous, false, TAG_FIELD_2_BYTES, out);
    this.#put(bytes);
  }

  #decode(bytes: Uint8Array, start: number, end: number): void {
    assert(this.#view.decode(bytes, start, end), "a committed put can be decoded");
  }

  #leaseError(): number {
    const { leaseLow, leaseHigh } = this.#view;
    if (leaseLow === 0 && leaseHigh === 0) return ErrorId.none;
    return this.#context.leases.has(leaseLow, leaseHigh) ? ErrorId.none : ErrorId.leaseNotFound;
  }

  #needsPrevious(): boolean {
    const view = this.#view;
    return view.prevKv || view.ignoreValue || view.ignoreLease;
  }

  #lookup(bytes: Uint8Array): boolean {
    return this.#context.store.lookup(bytes, this.#view.keyStart, this.#view.keyEnd, 0, this.#previous);
  }

  /** Puts the key; #previous holds what it was if the put takes over value or lease. */
  #put(bytes: Uint8Array): void {
    const { store } = this.#context;
    const view = this.#view;
    let keyId: number;
    if (view.ignoreLease) {
      view.leaseLow = this.#previous.leaseLow;
      view.leaseHigh = this.#previous.leaseHigh;
    }
    if (view.ignoreValue) {
      const kept = this.#kept;
      kept.clear();
      kept.ensure(this.#previous.encodedBytes);
      const behind = store.copyKeyValue(this.#previous, kept.bytes, 0);
      const length = findValue(kept.bytes, 0, behind);
      const from = foundValueStart();
      keyId = store.put(
        bytes,
        view.keyStart,
        view.keyEnd,
        kept.bytes,
        from,
        from + length,
        view.leaseLow,
        view.leaseHigh,
      );
    } else {
      const { keyStart, keyEnd, valueStart, valueEnd, leaseLow, leaseHigh } = view;
      keyId = store.put(bytes, keyStart, keyEnd, bytes, valueStart, valueEnd, leaseLow, leaseHigh);
    }
    const { leases, meters } = this.#context;
    meters.puts.add(1);
    meters.putBytes.add(view.keyEnd - view.keyStart + view.valueEnd - view.valueStart);
    const leased = (view.leaseLow | view.leaseHigh) !== 0;
    if (leased || leases.attachedKeys > 0) leases.attach(view.leaseLow, view.leaseHigh, keyId);
  }
}
