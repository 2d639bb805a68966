/**
 * Where the apply thread hands over what it did: onto the ring to the storage thread, or, with `--data-dir=:memory:`,
 * straight into a backend. Both take revisions (from `src/mvcc`), changes of the other buckets, and the mark behind each
 * applied entry that makes everything before it a consistent cut.
 */
import { copyBytes } from "../base/copy-bytes.ts";
import type { RevisionSink } from "../mvcc/store.ts";
import { FLAG_TRACED, RecordType } from "../ring/record-types.ts";
import { TRACE_PREFIX_BYTES, writePrefix } from "../ring/trace.ts";
import type { RingWriter } from "../ring/ring.ts";
import { writeWaiting } from "../ring/write-waiting.ts";
import { type BackendWriter, BUCKETS, type BucketName } from "../mvcc/backend.ts";
import { REVISION_KEY_BYTES, TOMBSTONE_KEY_BYTES, writeRevisionKey } from "./revision-key.ts";

/** All that apply writes to storage. Bytes are borrowed. */
export interface StorageSink extends RevisionSink {
  put(bucket: BucketName, key: Uint8Array, value: Uint8Array): void;
  delete(bucket: BucketName, key: Uint8Array): void;
  /** Everything handed over before belongs to entries up to `consistentIndex`; `revision` is the store's after them. */
  applied(consistentIndex: number, term: number, revision: number): void;
  /** Asks for a commit now; `token` comes back in the `committed` record (or is {@link DirectSink.servedToken}). */
  flush(token: number): void;
  /** What was handed over last is of a sampled request, the entry `index`: its commit is to be reported. Not in memory mode. */
  traced?(index: number, context: Uint8Array, sentMs: number): void;
  /** Once a batch: makes what was handed over visible to the storage thread. */
  publish(): void;
}

const MAX_KEY_LENGTH = 0xffff;
const BUCKET_HEADER_BYTES = 3;

/** Encodes onto the ring; waits for the storage thread when the ring is full. */
export class RingSink implements StorageSink {
  /** Revisions put and removed: how far the key index has moved on. */
  revisionChanges = 0;
  readonly #ring: RingWriter;
  /** Staging for records longer than the ring takes in one piece. */
  #long = new Uint8Array(0);
  /** A commit was asked for since the last publish. */
  #isAwaited = false;

  constructor(ring: RingWriter) {
    this.#ring = ring;
  }

  putRevision(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void {
    this.#revision(RecordType.revisionPut, main, sub, false, bytes, start, end);
  }

  putTombstone(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void {
    this.#revision(RecordType.revisionPut, main, sub, true, bytes, start, end);
  }

  deleteRevision(main: number, sub: number, tombstone: boolean): void {
    this.#revision(RecordType.revisionDelete, main, sub, tombstone, EMPTY, 0, 0);
  }

  #revision(
    type: number,
    main: number,
    sub: number,
    tombstone: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    this.revisionChanges++;
    const keyLength = tombstone ? TOMBSTONE_KEY_BYTES : REVISION_KEY_BYTES;
    const length = 1 + keyLength + end - start;
    const long = length > this.#ring.inlineBytesMax;
    const offset = long ? 0 : this.#reserve(length);
    const target = long ? this.#longBuffer(length) : this.#ring.bytes;
    target[offset] = keyLength;
    writeRevisionKey(target, offset + 1, main, sub, tombstone);
    copyBytes(bytes, start, end, target, offset + 1 + keyLength);
    if (long) writeWaiting(this.#ring, type, 0, target, length);
    else this.#ring.commit(type, 0, 0, length);
  }

  put(bucket: BucketName, key: Uint8Array, value: Uint8Array): void {
    this.#bucket(RecordType.bucketPut, bucket, key, value);
  }

  delete(bucket: BucketName, key: Uint8Array): void {
    this.#bucket(RecordType.bucketDelete, bucket, key, EMPTY);
  }

  #bucket(type: number, bucket: BucketName, key: Uint8Array, value: Uint8Array): void {
    if (key.length > MAX_KEY_LENGTH) throw new RangeError(`key of ${key.length} bytes in bucket ${bucket}`);
    const record = new Uint8Array(BUCKET_HEADER_BYTES + key.length + value.length);
    record[0] = BUCKETS.indexOf(bucket);
    record[1] = key.length;
    record[2] = key.length >>> 8;
    record.set(key, BUCKET_HEADER_BYTES);
    record.set(value, BUCKET_HEADER_BYTES + key.length);
    writeWaiting(this.#ring, type, 0, record, record.length);
  }

  traced(index: number, context: Uint8Array, sentMs: number): void {
    const offset = this.#reserve(TRACE_PREFIX_BYTES);
    writePrefix(this.#ring.bytes, offset, context, sentMs);
    this.#ring.commit(RecordType.traced, FLAG_TRACED, index, TRACE_PREFIX_BYTES);
  }

  applied(consistentIndex: number, term: number, revision: number): void {
    const offset = this.#reserve(16);
    this.#ring.view.setFloat64(offset, term, true);
    this.#ring.view.setFloat64(offset + 8, revision, true);
    this.#ring.commit(RecordType.applied, 0, consistentIndex, 16);
  }

  flush(token: number): void {
    this.#reserve(0);
    this.#ring.commit(RecordType.flush, 0, token, 0);
    this.#isAwaited = true;
  }

  publish(): void {
    if (this.#isAwaited) this.#ring.publishUrgently();
    else this.#ring.publish();
    this.#isAwaited = false;
  }

  #reserve(length: number): number {
    let offset = this.#ring.reserve(length);
    while (offset === -1) {
      this.#ring.publish(); // or the consumer would never see what fills the ring
      this.#ring.waitForRoom(length);
      offset = this.#ring.reserve(length);
    }
    return offset;
  }

  /** What is longer than a ring takes at once is rare: its memory is not kept. */
  #longBuffer(length: number): Uint8Array {
    if (length > this.#ring.payloadBytesMax) return new Uint8Array(length);
    if (this.#long.length < length) this.#long = new Uint8Array(length);
    return this.#long;
  }
}

const EMPTY = new Uint8Array(0);
/** Writes into a backend of the same thread; every `publish` commits. */
export class DirectSink implements StorageSink {
  readonly #backend: BackendWriter;
  readonly #putKey = new Uint8Array(REVISION_KEY_BYTES);
  readonly #tombstoneKey = new Uint8Array(TOMBSTONE_KEY_BYTES);
  #consistentIndex: number;
  #term: number;
  #dirty = false;
  /** Store revision of the newest commit; 0 before the first. */
  committedRevision = 0;
  /** Token of the newest flush that was served. */
  servedToken = 0;
  #revision = 0;
  #token = 0;

  /** @param recovered what the backend holds; a new one holds 0 and 0 */
  constructor(backend: BackendWriter, recovered = { consistentIndex: 0, term: 0 }) {
    this.#backend = backend;
    this.#consistentIndex = recovered.consistentIndex;
    this.#term = recovered.term;
  }

  putRevision(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void {
    writeRevisionKey(this.#putKey, 0, main, sub, false);
    this.#backend.putRevision(this.#putKey, bytes.subarray(start, end));
  }

  putTombstone(main: number, sub: number, bytes: Uint8Array, start: number, end: number): void {
    writeRevisionKey(this.#tombstoneKey, 0, main, sub, true);
    this.#backend.putRevision(this.#tombstoneKey, bytes.subarray(start, end));
  }

  deleteRevision(main: number, sub: number, tombstone: boolean): void {
    const key = tombstone ? this.#tombstoneKey : this.#putKey;
    writeRevisionKey(key, 0, main, sub, tombstone);
    this.#backend.deleteRevision(key);
  }

  put(bucket: BucketName, key: Uint8Array, value: Uint8Array): void {
    this.#backend.put(bucket, key, value);
  }

  delete(bucket: BucketName, key: Uint8Array): void {
    this.#backend.delete(bucket, key);
  }

  applied(consistentIndex: number, term: number, revision: number): void {
    this.#consistentIndex = consistentIndex;
    this.#term = term;
    this.#revision = revision;
    this.#dirty = true;
  }

  flush(token: number): void {
    this.#token = Math.max(this.#token, token);
    this.#dirty = true;
  }

  /** Bytes that the backend takes. */
  size(): { allocatedBytes: number; inUseBytes: number } {
    return this.#backend.size();
  }

  publish(): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#backend.commit(this.#consistentIndex, this.#term);
    this.committedRevision = this.#revision;
    this.servedToken = this.#token;
  }
}
