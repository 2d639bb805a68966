/**
 * A RangeRequest as it will be executed: etcd's rules about range_end, revisions, sorting and limits, resolved once.
 */
import { ErrorId } from "../base/errors.ts";
import { type RangeView, SortOrder, SortTarget } from "../proto/kv-decode.ts";
import type { KeyMeta, KeyRange, MvccStore } from "../mvcc/store.ts";

/** range_end of one zero byte: every key from key on. */
export const OPEN_END: Uint8Array = new Uint8Array(1);

/**
 * The KeyRange of a request whose bytes are `bytes`. The parts are borrowed views.
 * `emptyEndIsOpen`: a range_end that is on the wire but empty means "every key from key on" to etcd where it executes the
 * client's own message (reads), and is absent where the message went through Raft, since Go drops it when it encodes anew.
 */
export function toKeyRange(
  bytes: Uint8Array,
  view: {
    keyStart: number;
    keyEnd: number;
    rangeEndStart: number;
    rangeEndEnd: number;
    hasRangeEnd: boolean;
  },
  emptyEndIsOpen: boolean,
): KeyRange {
  const key = bytes.subarray(view.keyStart, view.keyEnd);
  if (!view.hasRangeEnd) return { key, end: null };
  if (view.rangeEndStart === view.rangeEndEnd) return { key, end: emptyEndIsOpen ? OPEN_END : null };
  return { key, end: bytes.subarray(view.rangeEndStart, view.rangeEndEnd) };
}

/** A range that owns its bytes, for work that outlives the request's record. */
export function copyKeyRange(range: KeyRange): KeyRange {
  return { key: range.key.slice(), end: range.end === null ? null : range.end.slice() };
}

/** A KeyMeta to be filled by the store. */
export function newKeyMeta(): KeyMeta {
  return {
    keyId: 0,
    createRevision: 0,
    modRevision: 0,
    sub: 0,
    version: 0,
    leaseLow: 0,
    leaseHigh: 0,
    encodedBytes: 0,
    location: 0,
  };
}

/** One Range to be executed. */
export class RangeQuery {
  readonly range: KeyRange;
  /** As the store takes it: 0 = current. */
  readonly revision: number;
  /** 0 = none. */
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** The answer is not in key order: its keys are gathered and sorted first. */
  readonly sorted: boolean;
  readonly sortTarget: number;
  readonly descending: boolean;
  /** Keys that take part in the sort: with a target but no order etcd sorts only the first limit + 1. 0 = all. */
  readonly sortKeysMax: number;
  readonly filtered: boolean;
  /** Whole KeyValues in key order, no filters: what most ranges ask for. */
  readonly plain: boolean;
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;

  /** `view` is read, not kept. */
  constructor(range: KeyRange, view: RangeView, revision = Math.max(view.revision, 0)) {
    this.range = range;
    this.revision = revision;
    this.limit = Math.max(view.limit, 0);
    this.keysOnly = view.keysOnly;
    this.countOnly = view.countOnly;
    this.sortTarget = view.sortTarget;
    this.descending = view.sortOrder === SortOrder.descend;
    this.sorted = this.descending || view.sortTarget !== SortTarget.key;
    this.filtered = view.hasFilters();
    this.plain = !this.sorted && !this.filtered && !this.keysOnly && !this.countOnly;
    const onlyFirst = view.sortOrder === SortOrder.none && !this.filtered && this.limit > 0;
    this.sortKeysMax = onlyFirst ? this.limit + 1 : 0;
    this.minModRevision = view.minModRevision;
    this.maxModRevision = view.maxModRevision;
    this.minCreateRevision = view.minCreateRevision;
    this.maxCreateRevision = view.maxCreateRevision;
  }

  /** Whether a key passes the min/max filters. */
  accepts(meta: KeyMeta): boolean {
    if (!this.filtered) return true;
    if (this.maxModRevision !== 0 && meta.modRevision > this.maxModRevision) return false;
    if (this.minModRevision !== 0 && meta.modRevision < this.minModRevision) return false;
    if (this.maxCreateRevision !== 0 && meta.createRevision > this.maxCreateRevision) return false;
    return this.minCreateRevision === 0 || meta.createRevision >= this.minCreateRevision;
  }
}

/** Whether the store can answer at `revision` (<= 0 = current) while its current revision is `current`; an ErrorId. */
export function checkRevision(store: MvccStore, revision: number, current: number): number {
  if (revision > current) return ErrorId.futureRev;
  if (revision > 0 && revision < store.compactRevision) return ErrorId.compacted;
  return ErrorId.none;
}
