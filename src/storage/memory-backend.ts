/**
 * The backend in memory: for tests, and for `--data-dir=:memory:`, where the apply thread owns it directly. Keeps the
 * contract of `backend.ts`: readers see nothing before its commit. Unlike LMDB's, they see the newest commit without
 * `refresh`, so a scan must not be interrupted by a commit.
 */
import {
  type BackendReader,
  type BackendWriter,
  BUCKETS,
  type BucketName,
  type RecordVisitor,
  type RevisionVisitor,
} from "../mvcc/backend.ts";
import { META_CONSISTENT_INDEX, META_TERM } from "./meta-keys.ts";
import {
  readRevisionMain,
  readRevisionSub,
  TOMBSTONE_KEY_BYTES,
  writeRevisionKey,
  writeUint64BE,
} from "./revision-key.ts";
import { RevisionLog } from "./revision-log.ts";

interface Pair {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Pairs by the key's bytes as a Latin-1 string, whose order is the bytes' order. */
type Bucket = Map<string, Pair>;

/** Opens an empty backend; what it holds is gone with it. */
export function openMemoryBackend(): BackendWriter {
  return new MemoryBackend();
}

class MemoryBackend implements BackendWriter {
  readonly #committed: CommittedState = { revisions: new RevisionLog(), visible: 0, buckets: new Map() };
  /** Changes to the other buckets since the last commit; undefined = deleted. */
  readonly #changes = new Map<BucketName, Map<string, Pair | undefined>>();
  /** Revision keys deleted since the last commit. */
  #deletions: Uint8Array[] = [];

  constructor() {
    for (const name of BUCKETS) this.#committed.buckets.set(name, new Map());
  }

  putRevision(key: Uint8Array, value: Uint8Array): void {
    const { revisions } = this.#committed;
    const before = revisions.count;
    const tombstone = key.length === TOMBSTONE_KEY_BYTES;
    const ascended = revisions.put(readRevisionMain(key, 0), readRevisionSub(key, 0), tombstone, value);
    // Only what ascends can stay invisible; anything else is a replay of what was committed before.
    if (!ascended) this.#committed.visible += revisions.count - before;
  }

  deleteRevision(key: Uint8Array): void {
    this.#deletions.push(key.slice());
  }

  put(bucket: BucketName, key: Uint8Array, value: Uint8Array): void {
    this.#changesOf(bucket).set(toText(key), { key: key.slice(), value: value.slice() });
  }

  delete(bucket: BucketName, key: Uint8Array): void {
    this.#changesOf(bucket).set(toText(key), undefined);
  }

  #changesOf(bucket: BucketName): Map<string, Pair | undefined> {
    let changes = this.#changes.get(bucket);
    if (changes === undefined) this.#changes.set(bucket, (changes = new Map()));
    return changes;
  }

  commit(consistentIndex: number, term: number): void {
    this.put("meta", META_CONSISTENT_INDEX, encodeNumber(consistentIndex));
    this.put("meta", META_TERM, encodeNumber(term));
    for (const [name, changes] of this.#changes) {
      const bucket = this.#committed.buckets.get(name) as Bucket;
      for (const [text, pair] of changes) {
        if (pair === undefined) bucket.delete(text);
        else bucket.set(text, pair);
      }
    }
    this.#changes.clear();
    const { revisions } = this.#committed;
    for (const key of this.#deletions) {
      revisions.remove(readRevisionMain(key, 0), readRevisionSub(key, 0), key.length === TOMBSTONE_KEY_BYTES);
    }
    if (this.#deletions.length > 0) this.#deletions = [];
    revisions.compact();
    this.#committed.visible = revisions.count;
  }

  size(): { allocatedBytes: number; inUseBytes: number } {
    return this.#committed.revisions.size();
  }

  reader(): BackendReader {
    return new MemoryReader(this.#committed);
  }

  close(): void {}
}

/** What readers share with the writer. */
interface CommittedState {
  readonly revisions: RevisionLog;
  /** Records of the log that are committed: the first so many. */
  visible: number;
  readonly buckets: Map<BucketName, Bucket>;
}

class MemoryReader implements BackendReader {
  readonly #state: CommittedState;

  constructor(state: CommittedState) {
    this.#state = state;
  }

  getRevision(main: number, sub: number, tombstone: boolean): Uint8Array | undefined {
    const { revisions, visible } = this.#state;
    const index = revisions.find(main, sub, tombstone);
    if (index === -1 || index >= visible || revisions.isRemoved(index)) return undefined;
    return revisions.value(index);
  }

  scanRevisions(fromMain: number, visit: RevisionVisitor, fromSub = 0): void {
    const { revisions, visible } = this.#state;
    for (let index = revisions.lowerBound(fromMain, fromSub, false); index < visible; index++) {
      if (revisions.isRemoved(index)) continue;
      const value = revisions.value(index);
      const main = revisions.mainAt(index);
      if (!visit(main, revisions.subAt(index), revisions.isTombstone(index), value, value.length)) return;
    }
  }

  get(bucket: BucketName, key: Uint8Array): Uint8Array | undefined {
    if (bucket === "key") {
      const tombstone = key.length === TOMBSTONE_KEY_BYTES;
      return this.getRevision(readRevisionMain(key, 0), readRevisionSub(key, 0), tombstone)?.slice();
    }
    return this.#state.buckets.get(bucket)?.get(toText(key))?.value.slice();
  }

  scan(bucket: BucketName, visit: RecordVisitor): void {
    if (bucket === "key") {
      this.#scanRevisionKeys(visit);
      return;
    }
    const pairs = [...(this.#state.buckets.get(bucket) as Bucket)];
    pairs.sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [, pair] of pairs) visit(pair.key, pair.value);
  }

  #scanRevisionKeys(visit: RecordVisitor): void {
    const key = new Uint8Array(TOMBSTONE_KEY_BYTES);
    this.scanRevisions(0, (main, sub, tombstone, bytes, length) => {
      visit(key.subarray(0, writeRevisionKey(key, 0, main, sub, tombstone)), bytes.subarray(0, length));
      return true;
    });
  }

  entries(bucket: BucketName): Array<{ key: Uint8Array; value: Uint8Array }> {
    const result: Array<{ key: Uint8Array; value: Uint8Array }> = [];
    this.scan(bucket, (key, value) => result.push({ key: key.slice(), value: value.slice() }));
    return result;
  }

  refresh(): void {}

  close(): void {}
}

function toText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

function encodeNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  writeUint64BE(bytes, 0, value);
  return bytes;
}
