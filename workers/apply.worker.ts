/**
 * The apply thread. Owns the key index, the values in memory, the current and the compacted revision and the membership; it
 * alone decides what an entry does. It reads LMDB (through a reader of its own) for values that have left memory, and never
 * writes it: what changed goes to the storage thread, except in memory mode, where it holds the backend itself.
 * It sleeps in `Atomics.wait` on its doorbell. The loop itself: `src/apply/apply-loop.ts`.
 */

import { flushCompileCache } from "node:module";
import { AlarmFeed } from "../src/apply/alarm-feed.ts";
import type { CompactionWatcher } from "../src/apply/apply-compaction.ts";
import { ApplyLoop } from "../src/apply/apply-loop.ts";
import type { SlowApply } from "../src/apply/slow-applies.ts";
import { ERRORS, ErrorId } from "../src/base/errors.ts";
import { openMeters } from "../src/base/meters.ts";
import { APPLY_LAYOUT } from "../src/base/thread-meters.ts";
import { formatGoDuration } from "../src/config/go-values.ts";
import { ApplyMachine } from "../src/apply/apply-machine.ts";
import { LeaseDuties } from "../src/apply/lease-duties.ts";
import { MembershipFeed } from "../src/apply/membership-feed.ts";
import { MembershipHook } from "../src/apply/membership-hook.ts";
import { ProposerIds } from "../src/apply/proposer-ids.ts";
import { RingResponseSink } from "../src/apply/ring-response-sink.ts";
import { HashKvJobs } from "../src/apply/hash-kv-jobs.ts";
import { WatchAnswers } from "../src/apply/watch-answers.ts";
import { WatchFeed, WatchedSink } from "../src/apply/watch-feed.ts";
import type { Clock } from "../src/base/clock.ts";
import { responseHeader } from "../src/proto/response-header.ts";
import type { BackendWriter } from "../src/mvcc/backend.ts";
import { openMemoryBackend } from "../src/storage/memory-backend.ts";
import { Doorbell } from "../src/ring/doorbell.ts";
import { SharedRingReader, SharedRingWriter } from "../src/ring/shared-ring.ts";
import { type ApplyState, checkMember, closeState, openState } from "./apply-state.ts";
import { runBlockingLoop } from "./blocking-loop.ts";
import {
  type ApplyControl,
  type ReceivedSnapshot,
  type RaftOpened,
  exposeControl,
  receiveWorkerData,
  threadLogger,
} from "./control.ts";
import { IndexCheckpoints } from "./index-checkpoint.ts";
import { ThreadVitals } from "./thread-vitals.ts";

const { memory, options } = await receiveWorkerData();
const tracing = options.tracing ? await import("./worker-tracing.ts") : null;
const logger = threadLogger(memory);
const doorbell = new Doorbell(memory.doorbells.apply);
const vitals = new ThreadVitals(memory.vitals.apply);
const meters = openMeters(APPLY_LAYOUT, memory.meters.apply);
const clock: Clock = { monotonicMs: () => performance.now(), unixMs: () => Date.now() };
const fromRaft = new SharedRingReader(memory.rings.raftToApply);
const fromMain = new SharedRingReader(memory.rings.mainToApply);
const fromStorage = new SharedRingReader(memory.rings.storageToApply);
const toMain = new SharedRingWriter(memory.rings.applyToMain, new Doorbell(memory.doorbells.main));
const toRaft = new SharedRingWriter(memory.rings.applyToRaft, new Doorbell(memory.doorbells.raft));
const toStorage = new SharedRingWriter(memory.rings.applyToStorage, new Doorbell(memory.doorbells.storage));

const toWatch = new SharedRingWriter(memory.rings.applyToWatch, new Doorbell(memory.doorbells.watch));
const watch = new WatchFeed({
  toWatch,
  fromWatch: new SharedRingReader(memory.rings.watchToApply),
  state: new Int32Array(memory.watchState),
});

/** Records discarded at once. */
const DISCARD_RECORDS = 4096;

let state: ApplyState;
let loop: ApplyLoop;
/** Null when nothing is kept on disk. */
let checkpoints: IndexCheckpoints | null = null;
let stopping = false;
/** Loads of code under way, which the event loop brings. */
let loading = 0;
/** How long the thread may sleep then. */
const EVENT_WAIT_MS = 1;
/** The state is about to be replaced: what is in the rings waits for the new one. */
let suspended = false;
let ended: Promise<void> = Promise.resolve();

function createLoop({ identity, lastIndex, lastTerm }: RaftOpened): ApplyLoop {
  const { store, sink, membership, reader, recovered } = state;
  const responses = new RingResponseSink(toMain);
  const feed = new MembershipFeed(toRaft, toMain);
  const ids = new ProposerIds({
    memberId: identity.memberId,
    bootId: options.firstRequestId,
    bootIndex: lastIndex,
    bootTerm: lastTerm,
  });
  const hook = new MembershipHook({
    membership,
    identity,
    learnersMax: options.learnersMax,
    buckets: sink,
    responses,
    ids,
    feed,
    log: (level, message, fields) => logger[level](message, fields),
  });
  const alarms = new AlarmFeed(toMain);
  // The two know each other: compactions wait for hashes, hashes carry the machine's term.
  const compactionWatcher: CompactionWatcher = {
    begin: (revision) => {
      if (options.hashesCompactions) hashes.begin(revision);
    },
    get isBusy() {
      return hashes.isBusy;
    },
    ended: (revision, tookMs) => {
      const fields = { "compact-revision": revision, took: formatGoDuration(tookMs) };
      logger.info("finished scheduled compaction", fields);
    },
  };
  const machine = new ApplyMachine({
    store,
    clusterId: identity.clusterId,
    memberId: identity.memberId,
    responses,
    buckets: state.bucketSink,
    requests: hook,
    leases: {
      lessor: state.lessor,
      nowMs: () => performance.now(),
      persistsCheckpoints: () =>
        options.leaseCheckpointPersist || knowsRemainingTtl(membership.clusterVersion),
    },
    consistentIndex: recovered.consistentIndex,
    consistentTerm: recovered.term,
    ids,
    compactionPending: state.compactionPending,
    compactionPace: options.compactionPace,
    meters,
    clock,
    space: { alarms: state.alarms, quotaBytes: options.quotaBytes, reporter: alarms },
    compactionWatcher,
  });
  const hashes = new HashKvJobs(
    {
      store,
      responses,
      openScan: state.openHashScan,
      scansSeeChanges: options.inMemory,
      openWholeScan: state.openWholeScan,
      onCompactionHash: (hash) => alarms.compactionHash(hash),
      header: () => responseHeader(identity, store.revision, machine.appliedTerm),
      requestCommit: () => sink.flush(0),
      timing: { meters, clock },
    },
    store.revision,
  );
  const answers = new WatchAnswers({ store, reader, toWatch });
  watch.attach({ store, answers, requestCommit: () => sink.flush(0) });
  return new ApplyLoop({
    machine,
    hashes,
    store,
    membership,
    identity,
    fromRaft,
    fromMain,
    fromStorage,
    toRaft,
    toMain,
    feed,
    watch,
    storage: sink,
    ...tracing?.createApplyTracing(options, toMain),
    direct: state.direct,
    leaseDuties:
      machine.leases &&
      new LeaseDuties({
        leases: machine.leases,
        toMain,
        electionTimeoutMs: options.electionTicks * options.tickMs,
      }),
    nowMs: () => performance.now(),
    metrics: { meters, slowMs: options.warningApplyDurationMs },
    onSlow: logSlow,
    onCommitted: () => reader.refresh(),
  });
}

function logSlow({ tookMs, prefix, request, errorId }: SlowApply): void {
  logger.warn("apply request took too long", {
    took: formatGoDuration(tookMs),
    "expected-duration": formatGoDuration(options.warningApplyDurationMs),
    prefix,
    request,
    response: "",
    ...(errorId === ErrorId.none ? {} : { error: ERRORS[errorId].message }),
  });
}

/** Members before 3.6 do not know leasepb.Lease.RemainingTTL. */
function knowsRemainingTtl(clusterVersion: string): boolean {
  const [major = 0, minor = 0] = clusterVersion.split(".").map(Number);
  return major > 3 || (major === 3 && minor >= 6);
}

/** Memory mode: a backend with what a received snapshot holds. Checked as it is read. */
async function readIntoMemory(snapshot: ReceivedSnapshot): Promise<BackendWriter> {
  const { readSnapshot } = await import("../src/snapshot/read-snapshot.ts");
  const backend = openMemoryBackend();
  readSnapshot(snapshot.path, snapshot, {
    put: (bucket, key, value) => {
      if (bucket === "key") backend.putRevision(key, value);
      else backend.put(bucket, key, value);
    },
  });
  backend.commit(snapshot.index, snapshot.term);
  return backend;
}

const control: ApplyControl = {
  async open(snapshot): ReturnType<ApplyControl["open"]> {
    // What storage said of the database that was there before, if one was.
    while (fromStorage.drain(() => {}, DISCARD_RECORDS) > 0);
    const { databaseGeneration } = memory;
    state = openState(
      options,
      { toStorage, databaseGeneration },
      logger,
      snapshot && (await readIntoMemory(snapshot)),
      (storage) => new WatchedSink(storage, watch),
    );
    const { store, membership, recovered } = state;
    const { consistentIndex } = recovered;
    return { consistentIndex, revision: store.revision, clusterVersion: membership.clusterVersion };
  },

  run(opened): void {
    flushCompileCache(); // a member is more often killed than stopped
    checkMember(state, opened.identity.memberId, options);
    loop = createLoop(opened);
    loop.start();
    checkpoints = options.inMemory
      ? null
      : new IndexCheckpoints({ state, loop, path: options.checkpointPath, logger });
    const idle = checkpoints?.idle;
    ended = runBlockingLoop(doorbell, vitals, {
      turn: () => loop.turn() || (idle?.turn(performance.now()) ?? false),
      restMs: () => loop.restMs,
      hasWork: () => !loop.inboxesEmpty(),
      sleepMs: () => {
        const nowMs = performance.now();
        const sleepMs = Math.min(idle?.sleepMs(nowMs) ?? Infinity, loop.sleepMs(nowMs));
        return loading > 0 ? Math.min(sleepMs, EVENT_WAIT_MS) : sleepMs;
      },
      stopped: () => suspended || (stopping && loop.inboxesEmpty()),
      waitsForEvents: () => loading > 0 || (idle?.waitsForEvents ?? false),
    });
  },

  async suspend(): Promise<void> {
    suspended = true;
    await ended;
    suspended = false;
    await checkpoints?.idle.stop();
    loop.abandon();
    closeState(state);
  },

  async writeSnapshot(path): ReturnType<ApplyControl["writeSnapshot"]> {
    loading++;
    const { writeSnapshot } = await import("../src/snapshot/snapshot.ts").finally(() => loading--);
    const reader = state.reader;
    reader.refresh();
    return writeSnapshot(reader, path);
  },

  async stop(): Promise<void> {
    stopping = true;
    await ended;
    await checkpoints?.writeLast((token) => loop.waitForCommit(token, doorbell));
    closeState(state);
  },
};

exposeControl(control);
