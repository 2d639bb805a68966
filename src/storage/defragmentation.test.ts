/** A database is defragmented while it changes: nothing is lost, nothing comes back, and readers follow. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";

import { tempDir } from "../../test/support/temp-dir.ts";
import { Prng } from "../base/prng.ts";
import { BUCKETS, type BackendReader } from "../mvcc/backend.ts";
import { MemoryRing } from "../ring/memory-ring.ts";
import { ChangeTracker } from "./change-tracker.ts";
import { CopyCancelledError, copyDatabase } from "./copy-database.ts";
import { Defragmentation } from "./defragmentation.ts";
import { createGenerationMemory, nextGeneration } from "./database-generation.ts";
import { openFollowingReader } from "./following-reader.ts";
import { type LmdbWriter, openLmdbBackend } from "./lmdb-backend.ts";
import { openLmdbReader } from "./lmdb-reader.ts";
import { recover } from "./recover.ts";
import { RingSink } from "./revision-sink.ts";
import { StorageLoop } from "./storage-loop.ts";
import { SEED } from "../../test/support/seed.ts";

const VALUE = new Uint8Array(2000).fill(7);
const TERM = 3;

/** The storage thread's parts, and a model of what it should hold. */
class Setup {
  readonly path: string;
  readonly target: string;
  readonly generation = createGenerationMemory();
  readonly #inbound = new MemoryRing(1 << 22);
  readonly sink = new RingSink(this.#inbound);
  readonly loop: StorageLoop;
  backend: LmdbWriter;
  readonly revisions = new Set<number>();
  readonly leases = new Map<string, string>();
  revision = 1;
  index = 0;

  constructor(t: TestContext) {
    const folder = tempDir(t, "defrag");
    this.path = join(folder, "db");
    this.target = join(folder, "tmp-defrag");
    this.backend = openLmdbBackend(this.path);
    this.loop = new StorageLoop({
      backend: this.backend,
      inbound: this.#inbound,
      outbound: [],
      batchIntervalMs: 100,
      batchOpsMax: 50,
      clock: { monotonicMs: () => 0, unixMs: () => 0 },
      recovered: { consistentIndex: 0, term: 0, revision: 1 },
    });
    t.after(() => this.backend.close());
  }

  put(): void {
    this.revisions.add(++this.revision);
    this.sink.putRevision(this.revision, 0, VALUE, 0, VALUE.length);
  }

  delete(revision: number): void {
    if (this.revisions.delete(revision)) this.sink.deleteRevision(revision, 0, false);
  }

  lease(name: string, value: string): void {
    if (value === "") this.leases.delete(name);
    else this.leases.set(name, value);
    if (value === "") this.sink.delete("lease", Buffer.from(name));
    else this.sink.put("lease", Buffer.from(name), Buffer.from(value));
  }

  /** Ends an entry and lets the loop take it all. */
  endEntry(): void {
    this.sink.applied(++this.index, TERM, this.revision);
    this.sink.publish();
    while (this.loop.turn(this.index) === 0);
  }

  /** Commits, and copies the database. `meanwhile` runs while it is copied; the work is told of that, and of what changes later. */
  async copied(meanwhile?: () => void): Promise<{ work: Defragmentation; next: LmdbWriter }> {
    this.loop.commitNow();
    const tracker = new ChangeTracker();
    this.loop.track(tracker);
    this.loop.commitNow();
    const source = openLmdbReader(this.path);
    const copying = copyDatabase(source, this.target);
    meanwhile?.();
    const { revision } = await copying;
    source.close();
    return this.work(tracker, revision);
  }

  /** The work that follows a copy up to `revision`. */
  work(tracker: ChangeTracker, revision: number): { work: Defragmentation; next: LmdbWriter } {
    const next = openLmdbBackend(this.target);
    const reader = openLmdbReader(this.path);
    const { target, path } = this;
    return {
      work: new Defragmentation({ next, reader, tracker, revision, target, databasePath: path }),
      next,
    };
  }

  swap(work: Defragmentation, next: LmdbWriter): void {
    while (!work.step());
    assert.equal(work.finish(this.loop), true);
    const old = this.backend;
    this.backend = next;
    nextGeneration(this.generation);
    old.close();
  }

  check(reader: BackendReader): void {
    reader.refresh();
    const found = new Set<number>();
    reader.scanRevisions(0, (main, _sub, _tombstone, bytes, length) => {
      assert.equal(Buffer.compare(bytes.subarray(0, length), VALUE), 0);
      return found.add(main) !== undefined;
    });
    assert.deepEqual([...found], [...this.revisions]);
    const leases = reader
      .entries("lease")
      .map(({ key, value }) => [key, value].map((part) => Buffer.from(part).toString()));
    assert.deepEqual(new Map(leases as Array<[string, string]>), this.leases);
    assert.deepEqual([recover(reader).consistentIndex, recover(reader).term], [this.index, TERM]);
  }
}

test("what changes during the copy and between the slices is in the file that takes the database's place", async (t) => {
  t.diagnostic(`SEED=${SEED}`);
  const random = new Prng(SEED);
  const below = (n: number): number => random.nextUint32() % n;
  const db = new Setup(t);
  const change = (): void => {
    for (let i = below(40); i >= 0; i--) db.put();
    for (let i = below(40); i > 0; i--) db.delete(2 + below(db.revision));
    for (let i = below(4); i > 0; i--) db.lease(`lease${below(30)}`, below(3) === 0 ? "" : `v${below(1e6)}`);
    db.endEntry();
  };
  for (let i = 0; i < 60; i++) change();
  const reader = openFollowingReader(db.path, db.generation);
  for (let round = 0; round < 3; round++) {
    for (const revision of [...db.revisions].slice(0, db.revisions.size / 2)) db.delete(revision);
    db.endEntry();
    const changeTenTimes = (): void => {
      for (let i = 0; i < 10; i++) change();
    };
    const { work, next } = await db.copied(changeTenTimes);
    changeTenTimes();
    for (let i = 0; i < 5; i++) {
      work.step();
      change();
    }
    db.swap(work, next);
    db.check(reader);
    change();
    db.loop.commitNow();
    db.check(reader);
    assert.deepEqual(readdirSync(join(db.path, "..")).sort(), ["db", "db-lock"]);
  }
  reader.close();
});

test("a change that is inside an entry is waited for", async (t) => {
  const db = new Setup(t);
  db.put();
  db.endEntry();
  const { work, next } = await db.copied();
  db.put();
  db.sink.publish();
  db.loop.turn(0);
  assert.equal(work.step(), true);
  assert.equal(work.finish(db.loop), false);
  db.endEntry();
  db.swap(work, next);
  const reader = openLmdbReader(db.path);
  db.check(reader);
  reader.close();
});

test("from the moment the copy has the database's name there is no way back to the old file", async (t) => {
  const db = new Setup(t);
  db.put();
  db.endEntry();
  const { work, next } = await db.copied();
  t.after(() => next.close());
  assert.equal(work.step(), true);
  rmSync(`${db.target}-lock`);
  assert.equal(work.mayGoBack, true);
  assert.throws(() => work.finish(db.loop), { code: "ENOENT" });
  assert.equal(work.mayGoBack, false, "what the loop commits now has no name");
});

test("a copy that is cancelled, and one that is given up, leave nothing", async (t) => {
  const db = new Setup(t);
  for (let i = 0; i < 1200; i++) db.put();
  db.endEntry();
  db.loop.commitNow();
  for (let i = 2; i < 900; i++) db.delete(i);
  db.endEntry();
  db.loop.commitNow();
  const source = openLmdbReader(db.path);
  await assert.rejects(copyDatabase(source, db.target, { isCancelled: () => true }), CopyCancelledError);
  assert.equal(existsSync(db.target), false);
  const { revision, records } = await copyDatabase(source, db.target);
  assert.deepEqual([revision, records >= 300, records < 400], [1201, true, true]);
  assert.ok(statSync(db.target).size < statSync(db.path).size / 3, "it has no free pages");
  const { work } = db.work(new ChangeTracker(), revision);
  await work.abandon();
  db.check(source);
  source.close();
});

test("the tracker hands over only what is committed, each key once", () => {
  const tracker = new ChangeTracker();
  const key = (n: number): Uint8Array => new Uint8Array(17).fill(n);
  tracker.noteDeletion(key(1));
  tracker.noteKey(BUCKETS[1], key(9));
  assert.equal(tracker.pending, 0);
  tracker.noteCommit();
  tracker.noteKey(BUCKETS[1], key(9));
  tracker.noteKey(BUCKETS[1], key(8));
  for (let i = 2; i < 3000; i++) tracker.noteDeletion(key(i % 256));
  assert.equal(tracker.pending, 2);
  const keys: number[] = [];
  tracker.takeKeys(10, (bucket, name) => assert.equal(bucket, "lease") ?? keys.push(name[0]));
  const deletions: number[] = [];
  tracker.takeDeletions(10, (name) => deletions.push(name[0]));
  assert.deepEqual([keys, deletions], [[9], [1]]);
  tracker.noteCommit();
  assert.equal(
    tracker.takeKeys(10, (_, name) => keys.push(name[0])),
    2,
  );
  assert.equal(
    tracker.takeDeletions(5000, (name) => deletions.push(name[0])),
    2998,
  );
  assert.deepEqual([keys, deletions[2998], tracker.pending], [[9, 9, 8], 2999 % 256, 0]);
});
