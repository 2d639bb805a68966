/** Range: one key straight into the ring, a short range in one go, a long one as a job. */
import { assert } from "../base/assert.ts";
import { ErrorId } from "../base/errors.ts";
import type { KeyMeta, KeyRange } from "../mvcc/store.ts";
import { RangeView } from "../proto/kv-decode.ts";
import {
  prefixBytes,
  rangeTailBytes,
  TAG_FIELD_2_BYTES,
  writePrefix,
  writeRangeTail,
} from "../proto/kv-encode.ts";
import { type ApplyContext, sendOut } from "./apply-context.ts";
import { RESPONSE_INLINE_BYTES_MAX, RESPONSE_INLINE_KEYS_MAX } from "./apply-limits.ts";
import { RangeJob } from "./range-job.ts";
import { checkRevision, copyKeyRange, newKeyMeta, RangeQuery, toKeyRange } from "./range-query.ts";

export class RangeApplier {
  readonly #context: ApplyContext;
  readonly #view = new RangeView();
  readonly #meta: KeyMeta = newKeyMeta();

  constructor(context: ApplyContext) {
    this.#context = context;
  }

  /** Answers a RangeRequest from the current state, or begins to. Returns the ErrorId that it is answered. */
  read(requestId: number, bytes: Uint8Array, start: number, end: number): number {
    const { store, sink, meters } = this.#context;
    meters.ranges.add(1);
    const view = this.#view;
    assert(view.decode(bytes, start, end), "a checked range can be decoded");
    const error = checkRevision(store, view.revision, store.revision);
    if (error !== ErrorId.none) sink.fail(requestId, error);
    else if (!view.hasRangeEnd && !view.keysOnly && !view.hasFilters()) this.#readKey(requestId, bytes);
    else this.#readRange(requestId, toKeyRange(bytes, view, true));
    return error;
  }

  #readKey(requestId: number, bytes: Uint8Array): void {
    const { store, sink, header } = this.#context;
    const view = this.#view;
    const meta = this.#meta;
    const live = store.lookup(bytes, view.keyStart, view.keyEnd, Math.max(view.revision, 0), meta);
    const withValue = live && !view.countOnly;
    if (withValue && meta.encodedBytes > RESPONSE_INLINE_BYTES_MAX / 2) {
      this.#readRange(requestId, toKeyRange(bytes, view, true));
      return;
    }
    const count = live ? 1 : 0;
    const revision = store.revision;
    let length = header.fieldBytes(revision) + rangeTailBytes(false, count);
    if (withValue) length += prefixBytes(meta.encodedBytes) + meta.encodedBytes;
    let offset = sink.reserve(length);
    const target = sink.bytes;
    offset = header.write(target, offset, revision);
    if (withValue) {
      offset = writePrefix(target, offset, TAG_FIELD_2_BYTES, meta.encodedBytes);
      offset = store.copyKeyValue(meta, target, offset);
    }
    writeRangeTail(target, offset, false, count);
    sink.commit(requestId, length);
  }

  #readRange(requestId: number, range: KeyRange): void {
    const { store, reader, out } = this.#context;
    const query = new RangeQuery(range, this.#view);
    const total = store.count(range, query.revision);
    if (keysWalked(query, total) <= RESPONSE_INLINE_KEYS_MAX) {
      if (query.plain) {
        if (!this.#writePlain(requestId, query, total)) this.#startJob(requestId, range, total);
        return;
      }
      out.clear();
      if (reader.appendRange(query, total, out, RESPONSE_INLINE_BYTES_MAX)) {
        sendOut(this.#context, requestId, store.revision);
        return;
      }
    }
    this.#startJob(requestId, range, total);
  }

  /** Straight into the sink, without a copy in between; false if the answer is too long for that. */
  #writePlain(requestId: number, query: RangeQuery, total: number): boolean {
    const { store, sink, header, reader } = this.#context;
    const room = Math.min(RESPONSE_INLINE_BYTES_MAX, sink.reserveBytesMax);
    const offset = sink.reserve(room);
    const bodyAt = header.write(sink.bytes, offset, store.revision);
    const end = reader.writePlain(query, total, sink.bytes, bodyAt, offset + room);
    if (end < 0) return false;
    sink.commit(requestId, end - offset);
    return true;
  }

  #startJob(requestId: number, range: KeyRange, total: number): void {
    const { store, header, streams } = this.#context;
    const revision = this.#view.revision > 0 ? this.#view.revision : store.revision;
    const query = new RangeQuery(copyKeyRange(range), this.#view, revision);
    const head = new Uint8Array(header.fieldBytes(store.revision));
    header.write(head, 0, store.revision);
    streams.add(
      new RangeJob(store, query, { requestId, total, tag: TAG_FIELD_2_BYTES, head, hasTail: true }),
    );
  }
}

/** Most keys that answering at once would walk. */
function keysWalked(query: RangeQuery, total: number): number {
  if (query.countOnly) return 0;
  if (query.sorted) return query.sortKeysMax > 0 ? Math.min(query.sortKeysMax, total) : total;
  return query.filtered || query.limit === 0 ? total : Math.min(query.limit, total);
}
