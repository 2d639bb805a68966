/**
 * What MVCC means, written to be read and not to be fast: tests compare the store with it. Also the backend behind the store:
 * it takes the sink's revisions, and gives back only what was committed.
 */
import { assert } from "../../src/base/assert.ts";
import type { KeyRange, RevisionSink, RevisionSource } from "../../src/mvcc/store.ts";

/** One change of one key. Keys are latin-1 strings, so that string order is byte order. */
export interface NaiveRevision {
  main: number;
  sub: number;
  key: string;
  tombstone: boolean;
  createRevision: number;
  version: number;
  value: string;
  lease: bigint;
}

export class NaiveMvcc {
  revision = 1;
  compactRevision = -1;
  /** All changes that compaction has left, in order. */
  revisions: NaiveRevision[] = [];
  #txnSub = -1;

  begin(): void {
    this.#txnSub = 0;
  }

  end(): void {
    if (this.#txnSub > 0) this.revision++;
    this.#txnSub = -1;
  }

  put(key: string, value: string, lease: bigint): void {
    const last = this.newest(key, Infinity);
    const main = this.revision + 1;
    const live = last !== undefined && !last.tombstone;
    this.revisions.push({
      main,
      sub: this.#txnSub++,
      key,
      tombstone: false,
      value,
      lease,
      createRevision: live ? last.createRevision : main,
      version: live ? last.version + 1 : 1,
    });
  }

  delete(range: KeyRange): number {
    const live = this.range(range, Infinity);
    for (const { key } of live) {
      const main = this.revision + 1;
      this.revisions.push({
        main,
        sub: this.#txnSub++,
        key,
        tombstone: true,
        value: "",
        lease: 0n,
        createRevision: 0,
        version: 0,
      });
    }
    return live.length;
  }

  /** Last change of `key` up to `revision`. */
  newest(key: string, revision: number): NaiveRevision | undefined {
    return this.revisions.findLast((change) => change.key === key && change.main <= revision);
  }

  /** Live keys of a range at `revision`, in order. */
  range(range: KeyRange, revision: number): NaiveRevision[] {
    const start = latin1(range.key);
    const end = range.end === null ? `${start}\0` : latin1(range.end);
    const unbounded = range.end !== null && (end === "\0" || end === "");
    const newest = new Map<string, NaiveRevision>();
    for (const change of this.revisions) {
      if (change.main <= revision && change.key >= start && (unbounded || change.key < end))
        newest.set(change.key, change);
    }
    return [...newest.values()]
      .filter((change) => !change.tombstone)
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  compact(revision: number): void {
    this.compactRevision = revision;
    this.revisions = this.revisions.filter((change) => {
      if (change.main > revision) return true;
      if (change.tombstone) return change.main === revision;
      return this.newest(change.key, revision) === change;
    });
  }
}

export function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

export interface StoredRevision {
  main: number;
  sub: number;
  tombstone: boolean;
  bytes: Uint8Array;
}

export class NaiveBackend implements RevisionSink, RevisionSource {
  readonly stored = new Map<string, StoredRevision>();
  committed = 1;
  reads = 0;
  /** After a checkpoint was loaded, compaction may repeat removals. */
  mayLack = false;

  putRevision(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void {
    this.stored.set(`${main}/${sub}`, { main, sub, tombstone: false, bytes: bytes.slice(start, end) });
  }

  putTombstone(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void {
    this.stored.set(`${main}/${sub}`, { main, sub, tombstone: true, bytes: bytes.slice(start, end) });
  }

  deleteRevision(main: number, sub: number, tombstone: boolean): void {
    const found = this.stored.get(`${main}/${sub}`);
    if (found === undefined && this.mayLack) return;
    assert(found?.tombstone === tombstone, "compaction removes what is not there", main, sub, tombstone);
    this.stored.delete(`${main}/${sub}`);
  }

  getRevision(main: number, sub: number, tombstone: boolean): Uint8Array | undefined {
    this.reads++;
    const found = this.stored.get(`${main}/${sub}`);
    return found !== undefined && main <= this.committed && found.tombstone === tombstone
      ? found.bytes
      : undefined;
  }

  sorted(): StoredRevision[] {
    return [...this.stored.values()].sort((a, b) => a.main - b.main || a.sub - b.sub);
  }
}
