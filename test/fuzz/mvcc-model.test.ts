/**
 * Random operations on the MVCC store and on a naive model, answers compared: multi-op txns, reads at any revision, cursors with
 * writes and compaction between their steps, values pushed out of memory, restarts from the backend and from checkpoints.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Prng } from "../../src/base/prng.ts";
import { KeepFilter } from "../../src/mvcc/hash-kv.ts";
import type { BackendReader } from "../../src/mvcc/backend.ts";
import { HashKv } from "../../src/storage/hash-kv.ts";
import { createKeyMeta, createMvccStore, type Mvcc } from "../../src/mvcc/mvcc.ts";
import type { KeyRange, RangeCursor } from "../../src/mvcc/store.ts";
import { KeyValueSchema } from "../../src/proto/gen/kv_pb.ts";
import { bytesOf, latin1, NaiveBackend, NaiveMvcc, type NaiveRevision } from "./mvcc-model.ts";
import { SEED } from "../support/seed.ts";

const RUN_MS = 1_500;
const OPTIONS = { valueBytesMax: 8192, valueChunkBytes: 4096, hashSeed: 1 };

interface OpenCursor {
  cursor: RangeCursor;
  expected: NaiveRevision[];
  given: number;
}

/** The encoding by protobuf-es: an implementation that is not ours. */
function encode(change: NaiveRevision): Uint8Array {
  return toBinary(
    KeyValueSchema,
    create(KeyValueSchema, {
      key: bytesOf(change.key),
      ...(change.tombstone
        ? {}
        : {
            createRevision: BigInt(change.createRevision),
            modRevision: BigInt(change.main),
            version: BigInt(change.version),
            value: bytesOf(change.value),
            lease: change.lease,
          }),
    }),
  );
}

class Run {
  readonly prng: Prng;
  readonly model = new NaiveMvcc();
  readonly backend = new NaiveBackend();
  readonly meta = createKeyMeta();
  readonly target = new Uint8Array(20_000);
  store: Mvcc = createMvccStore({ ...OPTIONS, source: this.backend, sink: this.backend });
  cursors: OpenCursor[] = [];
  checkpoint: { chunks: Uint8Array[]; revision: number } | null = null;

  constructor(seed: number) {
    this.prng = new Prng(seed);
  }

  step(): void {
    const { prng } = this;
    const choice = prng.below(100);
    if (choice < 40) this.txn();
    else if (choice < 60) this.readRange();
    else if (choice < 68) this.readKey();
    else if (choice < 76) this.openCursor();
    else if (choice < 84) this.advanceCursors();
    else if (choice < 90)
      this.commit(this.backend.committed + prng.below(this.model.revision - this.backend.committed + 1));
    else if (choice < 93) this.compact();
    else if (choice < 97) this.store.compactSlice(prng.below(40));
    else if (choice < 98) this.saveCheckpoint();
    else if (prng.chance(0.3)) this.restart(prng.chance(0.6));
    else this.finishCompaction();
  }

  key(): string {
    const number = this.prng.below(260);
    // Keys that are prefixes of each other, with zero bytes and high bytes, of all lengths modulo 4.
    return `k${"\0".repeat(number % 3)}${String.fromCharCode(number % 256)}${"x".repeat(number % 7)}`;
  }

  range(): KeyRange {
    const key = bytesOf(this.key());
    const kind = this.prng.below(6);
    if (kind === 0) return { key, end: null };
    if (kind === 1) return { key, end: new Uint8Array(1) };
    if (kind === 2) return { key: new Uint8Array(1), end: new Uint8Array(1) };
    return { key, end: bytesOf(this.key()) };
  }

  /** 0 or any revision that may be read. */
  revision(): number {
    if (this.prng.chance(0.4)) return 0;
    const low = Math.max(1, this.model.compactRevision);
    return low + this.prng.below(this.model.revision - low + 1);
  }

  txn(): void {
    const { prng, store, model } = this;
    store.beginTxn();
    model.begin();
    for (let ops = prng.below(prng.chance(0.1) ? 30 : 4); ops > 0; ops--) {
      if (prng.chance(0.75)) this.put();
      else {
        const range = prng.chance(0.5) ? { key: bytesOf(this.key()), end: null } : this.range();
        assert.equal(store.deleteRange(range), model.delete(range));
      }
      if (prng.chance(0.1)) this.readRange();
      if (prng.chance(0.05)) this.openCursor();
    }
    model.end();
    assert.equal(store.endTxn(), model.revision);
  }

  put(): void {
    const { prng } = this;
    const key = this.key();
    const length = prng.chance(0.02) ? 9000 : prng.below(150);
    const value = String.fromCharCode(prng.below(256)).repeat(length);
    const lease = prng.chance(0.8) ? 0n : (BigInt(prng.nextUint32()) << 31n) + BigInt(prng.below(5));
    const kb = bytesOf(`##${key}#`);
    const vb = bytesOf(`#${value}##`);
    this.store.put(
      kb,
      2,
      kb.length - 1,
      vb,
      1,
      vb.length - 2,
      Number(lease & 0xffff_ffffn),
      Number(lease >> 32n),
    );
    this.model.put(key, value, lease);
  }

  readRange(): void {
    const range = this.range();
    const revision = this.revision();
    const expected = this.model.range(range, revision === 0 ? Infinity : revision);
    assert.equal(this.store.count(range, revision), expected.length, "count");
    const size = this.store.measure(range, revision, 1e9, { keys: 0, encodedBytes: 0 });
    assert.deepEqual(size, {
      keys: expected.length,
      encodedBytes: expected.reduce((sum, change) => sum + encode(change).length, 0),
    });
    const open = { cursor: this.store.openCursor(range, revision), expected, given: 0 };
    this.advance(open, Infinity);
    open.cursor.close();
  }

  readKey(): void {
    const key = this.key();
    const revision = this.revision();
    const [expected] = this.model.range(
      { key: bytesOf(key), end: null },
      revision === 0 ? Infinity : revision,
    );
    const kb = bytesOf(key);
    assert.equal(this.store.lookup(kb, 0, kb.length, revision, this.meta), expected !== undefined);
    if (expected !== undefined) this.checkMeta(expected);
  }

  checkMeta(expected: NaiveRevision): void {
    const { meta, target } = this;
    assert.deepEqual(
      { ...meta, keyId: 0, location: 0, encodedBytes: 0 },
      {
        keyId: 0,
        location: 0,
        encodedBytes: 0,
        createRevision: expected.createRevision,
        modRevision: expected.main,
        sub: expected.sub,
        version: expected.version,
        leaseLow: Number(expected.lease & 0xffff_ffffn),
        leaseHigh: Number(expected.lease >> 32n),
      },
    );
    const end = this.store.copyKeyValue(meta, target, 3);
    assert.equal(end, 3 + meta.encodedBytes);
    assert.deepEqual(target.slice(3, end), encode(expected));
    const length = this.store.copyKey(meta.keyId, target, 5);
    assert.equal(latin1(target.subarray(5, 5 + length)), expected.key);
  }

  openCursor(): void {
    const range = this.range();
    const revision = this.revision();
    const expected = this.model.range(range, revision === 0 ? Infinity : revision);
    this.cursors.push({ cursor: this.store.openCursor(range, revision), expected, given: 0 });
  }

  advanceCursors(): void {
    for (const open of this.cursors) this.advance(open, this.prng.below(30));
    this.cursors = this.cursors.filter((open) => {
      const close = open.given > open.expected.length || this.prng.chance(0.1);
      if (close) open.cursor.close();
      return !close;
    });
  }

  advance(open: OpenCursor, steps: number): void {
    for (; steps > 0 && open.given <= open.expected.length; steps--) {
      const expected = open.expected[open.given++];
      assert.equal(open.cursor.next(this.meta), expected !== undefined, "cursor's end");
      if (expected !== undefined) this.checkMeta(expected);
    }
  }

  commit(main: number): void {
    this.backend.committed = main;
    this.store.committed(main);
  }

  compact(): void {
    const { model } = this;
    const low = Math.max(1, model.compactRevision + 1);
    if (low > model.revision) return;
    const revision = low + this.prng.below(Math.min(40, model.revision - low + 1));
    this.store.compact(revision);
    model.compact(revision);
  }

  closeCursors(): void {
    for (const { cursor } of this.cursors) cursor.close();
    this.cursors = [];
  }

  /** Carries compaction to its end, and compares what is left with the model. */
  finishCompaction(): void {
    this.closeCursors();
    while (!this.store.compactSlice(1 + this.prng.below(100)));
    const left = this.backend.sorted();
    assert.deepEqual(
      left.map(({ main, sub, tombstone }) => ({ main, sub, tombstone })),
      this.model.revisions.map(({ main, sub, tombstone }) => ({ main, sub, tombstone })),
    );
    for (const [index, change] of this.model.revisions.entries())
      assert.deepEqual(left[index].bytes, encode(change));
    const stats = this.store.stats();
    assert.equal(
      stats.keys,
      new Set(this.model.revisions.map((change) => change.key)).size,
      "keys in the index",
    );
    assert.equal(stats.olderRevisions, left.length - stats.keys, "older revisions in the index");
    assert.equal(stats.openCursors, 0);
  }

  saveCheckpoint(): void {
    this.commit(this.model.revision);
    const chunks = this.store.serialize().map((chunk) => chunk.slice());
    this.checkpoint = { chunks, revision: this.model.revision };
  }

  restart(withCheckpoint: boolean): void {
    this.closeCursors();
    this.commit(this.model.revision);
    const { compactRevision } = this.model;
    const finished = this.store.compactSlice(1) ? compactRevision : -1;
    // Not before the slice: with no live key at all HashKV covers what compaction still has to remove.
    const hash = this.hash();
    const store = createMvccStore({ ...OPTIONS, hashSeed: 2, source: this.backend, sink: this.backend });
    let after = 0;
    if (withCheckpoint && this.checkpoint !== null) {
      const loaded = store.loadCheckpoint(this.checkpoint.chunks, {
        revision: this.model.revision,
        scheduledCompactRevision: compactRevision,
      });
      if (loaded.refusal !== undefined) assert.ok(this.checkpoint.revision < compactRevision, loaded.refusal);
      else {
        after = loaded.revision;
        assert.equal(after, this.checkpoint.revision);
        this.backend.mayLack = true;
      }
    }
    for (const { main, sub, tombstone, bytes } of this.backend.sorted()) {
      if (main > after) assert.ok(store.restoreRevision(main, sub, tombstone, bytes));
    }
    store.finishRestore({ scheduledCompactRevision: compactRevision, finishedCompactRevision: finished });
    assert.equal(store.revision, this.model.revision);
    assert.equal(store.compactRevision, compactRevision);
    this.store = store;
    assert.equal(this.hash(), hash, "HashKV before and after a restart");
  }

  hash(): number {
    const keep = this.store.hashKeepSet(0);
    const filter = new KeepFilter(keep);
    const records = this.backend.sorted();
    const reader: Pick<BackendReader, "scanRevisions"> = {
      scanRevisions: (_fromMain, visit) => {
        records.every(({ main, sub, tombstone, bytes }) => visit(main, sub, tombstone, bytes, bytes.length));
      },
    };
    const hash = new HashKv(reader, {
      revision: keep.revision,
      compactRevision: keep.compactRevision,
      keeps: (main, sub) => filter.includes(main, sub),
    });
    assert.ok(hash.step(Infinity));
    return hash.hash;
  }
}

test(`the store answers as the model does (SEED=${SEED})`, () => {
  const until = performance.now() + RUN_MS;
  let rounds = 0;
  for (let seed = SEED; rounds === 0 || performance.now() < until; seed++, rounds++) {
    const run = new Run(seed);
    for (let step = 0; step < 700; step++) {
      try {
        run.step();
      } catch (error) {
        throw new Error(`seed ${seed}, step ${step}`, { cause: error });
      }
    }
    run.finishCompaction();
    run.readRange();
  }
});
