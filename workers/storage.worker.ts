/**
 * The storage thread. Owns the LMDB environment and its only write transaction; never reads sockets, never decides anything
 * about state. It sleeps in `Atomics.wait` on its doorbell until apply publishes or a commit is due. It stops when told to,
 * after a last commit. The loop itself: `src/storage/storage-loop.ts`.
 */

import { rmSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { dirname } from "node:path";
import { openMeters } from "../src/base/meters.ts";
import { STORAGE_LAYOUT } from "../src/base/thread-meters.ts";
import { Membership } from "../src/cluster/membership.ts";
import { Doorbell } from "../src/ring/doorbell.ts";
import { SharedRingReader, SharedRingWriter } from "../src/ring/shared-ring.ts";
import { ChangeTracker } from "../src/storage/change-tracker.ts";
import { syncDirectory } from "../src/storage/sync-directory.ts";
import { Defragmentation } from "../src/storage/defragmentation.ts";
import { nextGeneration } from "../src/storage/database-generation.ts";
import { type LmdbWriter, openLmdbBackend } from "../src/storage/lmdb-backend.ts";
import { openLmdbReader } from "../src/storage/lmdb-reader.ts";
import { recover } from "../src/storage/recover.ts";
import { StorageLoop } from "../src/storage/storage-loop.ts";
import { runBlockingLoop } from "./blocking-loop.ts";
import { type StorageControl, exposeControl, receiveWorkerData } from "./control.ts";
import { ThreadVitals } from "./thread-vitals.ts";

const { memory, options } = await receiveWorkerData();
const tracing = options.tracing ? await import("./worker-tracing.ts") : null;
const doorbell = new Doorbell(memory.doorbells.storage);
const vitals = new ThreadVitals(memory.vitals.storage);
const inbound = new SharedRingReader(memory.rings.applyToStorage);
const toMain = new SharedRingWriter(memory.rings.storageToMain, new Doorbell(memory.doorbells.main));
const outbound = [
  new SharedRingWriter(memory.rings.storageToApply, new Doorbell(memory.doorbells.apply)),
  new SharedRingWriter(memory.rings.storageToRaft, new Doorbell(memory.doorbells.raft)),
  toMain,
];
const toWatch = new SharedRingWriter(memory.rings.storageToWatch, new Doorbell(memory.doorbells.watch));

let backend: LmdbWriter | null = null;
let loop: StorageLoop;
let stopping = false;
let sleepMs = Infinity;
/** The last turn took records, and nothing else waits. */
let mayGather = false;
/** Notes changes since a defragmentation began; null without one. */
let tracker: ChangeTracker | null = null;
/** The second half of a defragmentation, which runs between two turns of the loop. */
let catchUp: CatchUp | null = null;
/** Its end, or its answer, is still to come, and the event loop brings it. */
let awaitsCatchUp = false;
/** How long the thread may sleep then. */
const EVENT_WAIT_MS = 1;
let ended: Promise<void> = Promise.resolve();

/**
 * How long apply's records may gather in the ring before they are looked at. Nobody waits for them (durability is the WAL's),
 * and a thread that does not sleep on its doorbell costs apply no wake-up.
 */
const GATHER_MS = 2;
/**
 * Pause between two turns of work that goes on (a compaction's deletions, a copy's slices). Whoever runs on goes on until the kernel's tick when
 * cores are few, and those whom somebody waits for are kept waiting: docs/decisions/013.
 */
const REST_MS = 0.1;
/** Where so few came, a thread that looks every 2 ms would be woken for each of them: it naps until they are to be committed. */
const FEW_RECORDS = 16;
const DISCARD_RECORDS = 4096;
const gather = new Int32Array(new SharedArrayBuffer(4));

interface CatchUp {
  readonly work: Defragmentation;
  readonly next: LmdbWriter;
  readonly ended: PromiseWithResolvers<void>;
}

function isCopying(): boolean {
  return catchUp !== null || awaitsCatchUp;
}

function turn(): boolean {
  const hadRecords = !inbound.isEmpty();
  mayGather = false;
  sleepMs = loop.turn(performance.now());
  if (sleepMs === 0) return true; // the ring held more than a turn takes
  if (catchUp !== null) {
    runCatchUp(catchUp);
    return true;
  }
  mayGather = hadRecords;
  return hadRecords;
}

/**
 * One slice; the last one puts the copy in the database's place. What goes wrong before that leaves the database as it is, what goes
 * wrong behind it ends the thread.
 */
function runCatchUp({ work, next, ended }: CatchUp): void {
  try {
    if (!work.step() || !work.finish(loop)) return;
  } catch (error) {
    if (!work.mayGoBack) throw error;
    catchUp = null;
    endTracking();
    work.abandon().then(
      () => ended.reject(error),
      () => ended.reject(error),
    );
    return;
  }
  catchUp = null;
  tracker = null;
  const old = backend;
  backend = next;
  nextGeneration(memory.databaseGeneration);
  // Tells everybody: readers let go of the old file, and main knows the new size when the answer comes.
  sleepMs = loop.turn(performance.now());
  old?.close();
  old?.closed.then(ended.resolve, ended.reject);
}

function endTracking(): void {
  tracker = null;
  loop.track(null);
}

/** The database is about to be closed or replaced: nothing comes of a defragmentation. */
async function endDefragment(): Promise<void> {
  const current = catchUp;
  catchUp = null;
  if (tracker !== null) endTracking();
  if (current === null) return;
  await current.work.abandon();
  current.ended.reject(new Error("the defragmentation was interrupted"));
}

/** The thread ends with this error, and must not take an open transaction along (see the supervisor's `abandon`). */
function fail(error: unknown): never {
  backend?.close();
  throw error;
}

const control: StorageControl = {
  open(): ReturnType<StorageControl["open"]> {
    backend = openLmdbBackend(options.databasePath);
    // The log comes next, and must never be found without the database: its name must survive a power cut too.
    syncDirectory(dirname(options.databasePath));
    const reader = backend.reader();
    const { consistentIndex, term, members, membersRemoved } = recover(reader);
    reader.close();
    const membership = new Membership();
    membership.restore(members, membersRemoved, "");
    const all = [...membership.members.values()];
    return Promise.resolve({
      consistentIndex,
      term,
      voters: all.filter(({ isLearner }) => !isLearner).map(({ id }) => id),
      learners: all.filter(({ isLearner }) => isLearner).map(({ id }) => id),
      removed: [...membership.removed],
    });
  },

  run(recovered): void {
    flushCompileCache(); // a member is more often killed than stopped
    if (backend === null) throw new Error("storage is run before it is open");
    loop = new StorageLoop({
      backend,
      tracer: tracing?.createCommitTracer(toMain) ?? null,
      inbound,
      outbound,
      batchIntervalMs: options.batchIntervalMs,
      batchOpsMax: options.batchOpsMax,
      clock: { monotonicMs: () => performance.now(), unixMs: () => Date.now() },
      recovered,
      meters: openMeters(STORAGE_LAYOUT, memory.meters.storage),
    });
    ended = runBlockingLoop(doorbell, vitals, {
      turn,
      gather: () => void Atomics.wait(gather, 0, 0, mayGather ? GATHER_MS : REST_MS),
      mayNap: () => loop.taken <= FEW_RECORDS && sleepMs > 0 && sleepMs < Infinity && !isCopying(),
      hasWork: () => !inbound.isEmpty(),
      sleepMs: () => (awaitsCatchUp ? Math.min(sleepMs, EVENT_WAIT_MS) : sleepMs),
      stopped: () => stopping,
      waitsForEvents: () => awaitsCatchUp,
    }).catch(fail);
  },

  beginDefragment(): Promise<void> {
    if (tracker !== null) return Promise.reject(new Error("a defragmentation is in progress"));
    tracker = new ChangeTracker();
    loop.track(tracker);
    // Apply hands whole batches of entries over: the end of one that has begun is on its way.
    while (!loop.commitNow()) {
      loop.turn(performance.now());
      Atomics.wait(gather, 0, 0, 1);
    }
    return Promise.resolve();
  },

  finishDefragment(target, revision): Promise<void> {
    if (tracker === null) return Promise.reject(new Error("the defragmentation was interrupted"));
    const next = openLmdbBackend(target);
    const reader = openLmdbReader(options.databasePath);
    const { databasePath } = options;
    const work = new Defragmentation({ next, reader, tracker, revision, target, databasePath });
    catchUp = { work, next, ended: Promise.withResolvers() };
    const { promise } = catchUp.ended;
    awaitsCatchUp = true;
    const answered = (): void => void setImmediate(() => (awaitsCatchUp = false));
    promise.then(answered, answered);
    return promise;
  },

  followedByWatch(): void {
    if (outbound.includes(toWatch)) return;
    outbound.push(toWatch);
    loop.announceCommit();
  },

  abandonDefragment: endDefragment,

  async replace(built): ReturnType<StorageControl["replace"]> {
    if (backend === null) throw new Error("a database is replaced before it is open");
    stopping = true;
    await ended;
    await endDefragment();
    backend.close();
    await backend.closed;
    // Changes of the old state, which the new one does not build on.
    while (inbound.drain(() => {}, DISCARD_RECORDS) > 0);
    rmSync(options.checkpointPath, { force: true });
    // The loop has ended, so the event loop is there to load this.
    const { putDatabase } = await import("../src/snapshot/install-database.ts");
    putDatabase(built, options.databasePath);
    nextGeneration(memory.databaseGeneration);
    stopping = false;
    return control.open();
  },

  async stop(): Promise<void> {
    stopping = true;
    await ended;
    await endDefragment();
    try {
      loop.stop(performance.now());
    } catch (error) {
      fail(error);
    }
  },

  abandon(): void {
    stopping = true;
    // Its promise is for nobody any more.
    endDefragment().catch(() => undefined);
    backend?.close();
  },
};

exposeControl(control);
