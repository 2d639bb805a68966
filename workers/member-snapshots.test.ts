/**
 * Snapshots with the real storage and apply threads and the real pool: the test plays raft and main, whose ends of the rings
 * it holds.
 */
import assert from "node:assert/strict";
import { openMeters } from "../src/base/meters.ts";
import { MAIN_LAYOUT } from "../src/base/thread-meters.ts";
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ErrorId } from "../src/base/errors.ts";
import { viewOf } from "../src/base/bytes.ts";
import { simpleConfState } from "../src/cluster/conf-state.ts";
import { formatMember } from "../src/cluster/membership.ts";
import { MessageBuilder } from "../src/proto/message-builder.ts";
import { RaftField } from "../src/proto/raft-request.ts";
import { snapshotFileName } from "../src/raft/snapshot-service.ts";
import { Doorbell } from "../src/ring/doorbell.ts";
import { ReadKind, RecordType } from "../src/ring/record-types.ts";
import { SharedRingReader, SharedRingWriter } from "../src/ring/shared-ring.ts";
import { verifySnapshot } from "../src/snapshot/read-snapshot.ts";
import { writeSnapshot } from "../src/snapshot/snapshot.ts";
import { openLmdbBackend } from "../src/storage/lmdb-backend.ts";
import { openMemoryBackend } from "../src/storage/memory-backend.ts";
import { writeRevisionKey } from "../src/storage/revision-key.ts";
import { createWal } from "../src/wal/open-wal.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { waitFor } from "../test/support/wait.ts";
import { type ApplyControl, type MemberOptions, type StorageControl, type WatchControl } from "./control.ts";
import { MemberSnapshots } from "./member-snapshots.ts";
import { LogThreshold } from "../src/telemetry/logger.ts";
import { createSharedMemory } from "./shared-memory.ts";
import { MemberThreads } from "./threads.ts";

const BOUND_MS = 20_000;
const MEMBER_ID = 0xa1n;
const CONF_STATE = simpleConfState([MEMBER_ID], []);
const RAFT_OPENED = { identity: { clusterId: 1n, memberId: MEMBER_ID }, lastIndex: 0, lastTerm: 0 };
const utf8 = (text: string): Uint8Array => Buffer.from(text);
const LOG = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {}, write: () => {} };

/** Answers of apply and acknowledgements of storage, as main sees them. */
interface Seen {
  readonly errors: Map<number, number>;
  readonly responses: Map<number, Buffer>;
  readonly streams: Set<number>;
  appliedIndex: number;
  revision: number;
  durableIndex: number;
}

class Threads {
  readonly seen: Seen = {
    errors: new Map(),
    responses: new Map(),
    streams: new Set(),
    appliedIndex: 0,
    revision: 0,
    durableIndex: 0,
  };
  readonly snapshots: MemberSnapshots;
  readonly storage;
  readonly apply;
  readonly watch;
  readonly #threads = new MemberThreads(createSharedMemory(1024 * 1024, LogThreshold.at("error")));
  readonly #toApply: SharedRingWriter;
  readonly #readsToApply: SharedRingWriter;
  readonly #inboxes: readonly SharedRingReader[];

  constructor(t: TestContext, options: MemberOptions) {
    const { rings, doorbells } = this.#threads.memory;
    this.#toApply = new SharedRingWriter(rings.raftToApply, new Doorbell(doorbells.apply));
    this.#readsToApply = new SharedRingWriter(rings.mainToApply, new Doorbell(doorbells.apply));
    this.#inboxes = [rings.applyToMain, rings.storageToMain].map((ring) => new SharedRingReader(ring));
    t.after(() => this.#threads.terminate());
    this.#threads.begin(options);
    this.apply = this.#threads.control<ApplyControl>("apply");
    this.storage = options.inMemory ? null : this.#threads.control<StorageControl>("storage");
    this.watch = this.#threads.control<WatchControl>("watch");
    this.snapshots = new MemberSnapshots({
      options,
      apply: this.apply,
      storage: this.storage,
      watch: this.watch,
      log: LOG as never,
      meters: openMeters(MAIN_LAYOUT),
    });
  }

  async run(): Promise<void> {
    const recovered = await this.storage?.open();
    const { revision } = await this.apply.open();
    if (recovered !== undefined) await this.storage?.run({ ...recovered, revision });
    await this.watch.run(revision);
    await this.storage?.followedByWatch();
    await this.apply.run(RAFT_OPENED);
    this.snapshots.running(RAFT_OPENED);
  }

  async stop(): Promise<void> {
    await this.snapshots.close();
    await this.apply.stop();
    await this.watch.stop();
    await this.storage?.stop();
  }

  /** A committed entry with a Put of another member. */
  put(index: number, key: string, value: Uint8Array): void {
    const put = new MessageBuilder().bytes(1, utf8(key)).bytes(2, value);
    const header = new MessageBuilder().uint64(1, 7n << 48n);
    const data = new MessageBuilder().message(RaftField.put, put).message(RaftField.header, header).finish();
    const payload = Buffer.alloc(16 + data.length);
    payload.writeDoubleLE(3, 0);
    payload.set(data, 16);
    this.#toApply.write(RecordType.entry, 0, index, payload, 0, payload.length);
    this.#toApply.publish();
  }

  /** A serializable Range over everything from `key` on. */
  read(requestId: number, key: string): void {
    const range = new MessageBuilder().bytes(1, utf8(key)).bytes(2, new Uint8Array(1)).finish();
    const payload = Buffer.concat([Uint8Array.of(ReadKind.range), range]);
    this.#readsToApply.write(RecordType.read, 0, requestId, payload, 0, payload.length);
    this.#readsToApply.publish();
  }

  until(what: string, holds: (seen: Seen) => boolean): Promise<true> {
    return waitFor(what, BOUND_MS, () => {
      for (const inbox of this.#inboxes) inbox.drain(this.#take, 1000);
      return holds(this.seen) || undefined;
    });
  }

  readonly #take = (
    type: number,
    _flags: number,
    id: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void => {
    const view = viewOf(bytes);
    const at = bytes.byteOffset + start;
    if (type === RecordType.error) this.seen.errors.set(id, view.getUint32(at, true));
    else if (type === RecordType.response) this.seen.responses.set(id, Buffer.from(bytes.slice(start, end)));
    else if (type === RecordType.streamHead) this.seen.streams.add(id);
    else if (type === RecordType.committed) this.seen.durableIndex = id;
    else if (type === RecordType.applyStatus) {
      this.seen.appliedIndex = view.getFloat64(at, true);
      this.seen.revision = view.getFloat64(at + 8, true);
    }
  };
}

function memberOptions(folder: string, inMemory = false): MemberOptions {
  const snapDir = join(folder, "snap");
  mkdirSync(snapDir, { recursive: true });
  const options: Partial<MemberOptions> = {
    inMemory,
    databasePath: join(snapDir, "db"),
    checkpointPath: join(snapDir, "index.ckpt"),
    walDir: join(folder, "wal"),
    snapDir,
    firstRequestId: 1,
    learnersMax: 1,
    batchIntervalMs: 10,
    batchOpsMax: 10_000,
    valueCacheBytes: 16 * 1024 * 1024,
  };
  return options as MemberOptions;
}

/** A snapshot as a leader would send it: at `index`, with one key of revision 900. */
function leaveReceived(snapDir: string, index: number): void {
  const backend = openMemoryBackend();
  const revision = new Uint8Array(17);
  writeRevisionKey(revision, 0, 900, 0, false);
  const keyValue = new MessageBuilder()
    .bytes(1, utf8("from the leader"))
    .number(2, 900)
    .number(3, 900)
    .number(4, 1);
  backend.putRevision(revision, keyValue.bytes(5, utf8("value")).finish());
  const member = {
    id: MEMBER_ID,
    name: "",
    peerUrls: ["http://127.0.0.1:1"],
    clientUrls: [],
    isLearner: false,
  };
  backend.put("members", utf8("a1"), utf8(formatMember(member)));
  backend.commit(index, 4);
  writeSnapshot(backend.reader(), join(snapDir, snapshotFileName(index)));
}

async function installsWhileServing(t: TestContext, inMemory: boolean): Promise<void> {
  const options = memberOptions(tempDir(t, "install"), inMemory);
  const threads = new Threads(t, options);
  await threads.run();
  for (let index = 1; index <= 40; index++) threads.put(index, `key${index}`, new Uint8Array(50_000));
  await threads.until("entries to be applied", (seen) => seen.appliedIndex === 40);
  // Longer than one record, and nobody takes it: it is under way when the state changes.
  threads.read(50, "key");
  await threads.until("an answer in pieces", (seen) => seen.streams.has(50));

  leaveReceived(options.snapDir, 500);
  await threads.snapshots.verify({ index: 500, term: 4, confState: CONF_STATE });
  await threads.snapshots.install({ index: 500, term: 4, confState: CONF_STATE });
  await threads.until(
    "the status of the new state",
    (seen) => seen.appliedIndex === 500 && seen.revision === 900,
  );
  assert.equal(threads.seen.errors.get(50), ErrorId.leaderChanged);
  threads.read(51, "a");
  await threads.until("an answer from the new state", (seen) => seen.responses.has(51));
  const answer = threads.seen.responses.get(51)?.toString("latin1") ?? "";
  assert.ok(answer.includes("from the leader") && !answer.includes("key1"));

  // Entry 40 was in the ring meanwhile, say; 501 is the next that counts.
  threads.put(40, "old", utf8("old"));
  threads.put(501, "next", utf8("next"));
  await threads.until(
    "the next entry to be durable",
    (seen) => seen.durableIndex === 501 && seen.revision === 901,
  );
  const next = await threads.snapshots.create();
  assert.equal(next.meta.index, 501);
  assert.deepEqual(next.meta.confState, CONF_STATE);
  assert.equal(statSync(next.path).size, next.bytes);
  assert.equal(verifySnapshot(next.path, { index: 501, term: 3 }).revisions, 2);
  threads.snapshots.release(next);
  assert.equal(existsSync(next.path), false);
  const left = readdirSync(options.snapDir).filter(
    (name) => name.startsWith("tmp") || name.endsWith(".snap.db"),
  );
  assert.deepEqual(left, []);
  await threads.stop();
}

test("a snapshot takes the place of the state while the member serves", (t) =>
  installsWhileServing(t, false));

test("so it does where nothing is kept on disk", (t) => installsWhileServing(t, true));

test("a snapshot that is damaged is refused, and the state stays", async (t) => {
  const options = memberOptions(tempDir(t, "install"));
  const threads = new Threads(t, options);
  await threads.run();
  threads.put(1, "a", utf8("b"));
  await threads.until("the entry to be durable", (seen) => seen.durableIndex === 1);
  writeFileSync(join(options.snapDir, snapshotFileName(500)), Buffer.alloc(8192));
  const meta = { index: 500, term: 4, confState: CONF_STATE };
  await assert.rejects(threads.snapshots.verify(meta), /not a database of etcd/);
  await assert.rejects(threads.snapshots.install(meta), /00000001f4\.snap\.db is not a database of etcd/);
  threads.put(2, "c", utf8("d"));
  await threads.until("the next entry to be durable", (seen) => seen.durableIndex === 2);
  threads.snapshots.discard(meta);
  const path = join(options.snapDir, snapshotFileName(500));
  await waitFor("the file to go", BOUND_MS, () => !existsSync(path) || undefined);
  await threads.stop();
});

async function startWithReceived(
  t: TestContext,
  { marker, databaseIndex }: { marker: boolean; databaseIndex: number },
): Promise<{ index: number; left: string[] }> {
  const folder = tempDir(t, "pending");
  const options = memberOptions(folder);
  const backend = openLmdbBackend(options.databasePath);
  backend.commit(databaseIndex, 4);
  backend.close();
  await backend.closed;
  const wal = await createWal(options.walDir, { nodeId: MEMBER_ID, clusterId: 1n });
  if (marker) {
    wal.appendHardState({ term: 4, vote: 0n, commit: 500 });
    wal.appendSnapshot({ index: 500, term: 4, confState: CONF_STATE });
    await wal.flush();
  }
  await wal.close();
  leaveReceived(options.snapDir, 500);
  copyFileSync(join(options.snapDir, snapshotFileName(500)), join(options.snapDir, snapshotFileName(600)));

  const threads = new Threads(t, options);
  assert.ok(threads.storage);
  const { consistentIndex } = await threads.snapshots.finishInstall(await threads.storage.open());
  await threads.snapshots.close();
  await threads.storage.abandon();
  return {
    index: consistentIndex,
    left: readdirSync(options.snapDir).filter((name) => !name.startsWith("db")),
  };
}

test("an installation that a crash interrupted is finished at start", async (t) => {
  assert.deepEqual(await startWithReceived(t, { marker: true, databaseIndex: 95 }), { index: 500, left: [] });
});

test("a file that the log has no marker for, or that is installed already, is only deleted", async (t) => {
  assert.deepEqual(await startWithReceived(t, { marker: false, databaseIndex: 95 }), { index: 95, left: [] });
  assert.deepEqual(await startWithReceived(t, { marker: true, databaseIndex: 700 }), {
    index: 700,
    left: [],
  });
});
