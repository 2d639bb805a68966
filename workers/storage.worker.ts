/**
 * The storage thread. Owns the LMDB environment and its only write transaction; never reads sockets, never decides anything
 * about state. It sleeps in `Atomics.wait` on its doorbell until apply publishes or a commit is due. It stops when told to,
 * after a last commit. The loop itself: `src/storage/storage-loop.ts`.
 */

import { rmSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { dirname } from "node:path";
import { workerData } from "node:worker_threads";
import { Membership } from "../src/cluster/membership.ts";
import { Doorbell } from "../src/ring/doorbell.ts";
import { SharedRingReader, SharedRingWriter } from "../src/ring/shared-ring.ts";
import { putDatabase } from "../src/snapshot/install-database.ts";
import { syncDirectory } from "../src/storage/checkpoint-writer.ts";
import { type LmdbWriter, openLmdbBackend } from "../src/storage/lmdb-backend.ts";
import { recover } from "../src/storage/recover.ts";
import { StorageLoop } from "../src/storage/storage-loop.ts";
import { runBlockingLoop } from "./blocking-loop.ts";
import { type StorageControl, type WorkerData, exposeControl } from "./control.ts";

const { memory, options } = workerData as WorkerData;
const doorbell = new Doorbell(memory.doorbells.storage);
const inbound = new SharedRingReader(memory.rings.applyToStorage);
const outbound = [
  new SharedRingWriter(memory.rings.storageToApply, new Doorbell(memory.doorbells.apply)),
  new SharedRingWriter(memory.rings.storageToRaft, new Doorbell(memory.doorbells.raft)),
  new SharedRingWriter(memory.rings.storageToMain, new Doorbell(memory.doorbells.main)),
];

let backend: LmdbWriter | null = null;
let loop: StorageLoop;
let stopping = false;
let sleepMs = Infinity;
let ended: Promise<void> = Promise.resolve();

/**
 * How long apply's records may gather in the ring before they are looked at. Nobody waits for them (durability is the WAL's),
 * and a thread that does not sleep on its doorbell costs apply no wake-up.
 */
const GATHER_MS = 2;
const DISCARD_RECORDS = 4096;
const gather = new Int32Array(new SharedArrayBuffer(4));

function turn(): boolean {
  const hadRecords = !inbound.isEmpty();
  sleepMs = loop.turn(performance.now());
  if (sleepMs === 0) return true;
  if (hadRecords) Atomics.wait(gather, 0, 0, GATHER_MS);
  return hadRecords;
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
      inbound,
      outbound,
      batchIntervalMs: options.batchIntervalMs,
      batchOpsMax: options.batchOpsMax,
      clock: { monotonicMs: () => performance.now(), unixMs: () => Date.now() },
      recovered,
    });
    ended = runBlockingLoop(doorbell, {
      turn,
      hasWork: () => !inbound.isEmpty(),
      sleepMs: () => sleepMs,
      stopped: () => stopping,
    }).catch(fail);
  },

  async replace(built): ReturnType<StorageControl["replace"]> {
    if (backend === null) throw new Error("a database is replaced before it is open");
    stopping = true;
    await ended;
    backend.close();
    await backend.closed;
    // Changes of the old state, which the new one does not build on.
    while (inbound.drain(() => {}, DISCARD_RECORDS) > 0);
    rmSync(options.checkpointPath, { force: true });
    putDatabase(built, options.databasePath);
    stopping = false;
    return control.open();
  },

  async stop(): Promise<void> {
    stopping = true;
    await ended;
    try {
      loop.stop(performance.now());
    } catch (error) {
      fail(error);
    }
  },

  abandon(): void {
    stopping = true;
    backend?.close();
  },
};

exposeControl(control);
