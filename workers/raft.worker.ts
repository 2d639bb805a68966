/**
 * The raft thread. Owns the Raft state machine, the WAL's files and the clock ticks. It keeps its event loop: flushes are
 * asynchronous, and its doorbell is awaited, so that a slow disk delays neither peers nor ticks. It never looks into an entry.
 * The loop itself: `src/raft/raft-loop.ts`.
 */

import { flushCompileCache } from "node:module";
import { workerData } from "node:worker_threads";
import type { EntryBatch } from "../src/raft/raft.ts";
import { type RaftLoop, startRaftLoop } from "../src/raft/raft-loop.ts";
import { SingleVoter } from "../src/raft/single-voter.ts";
import { Doorbell } from "../src/ring/doorbell.ts";
import { SharedRingReader, SharedRingWriter } from "../src/ring/shared-ring.ts";
import { type RaftControl, type WorkerData, exposeControl, threadLogger } from "./control.ts";
import { type OpenedLog, openLog } from "./raft-log.ts";

const { memory, options } = workerData as WorkerData;
const logger = threadLogger(options.logLevel);
const log = (
  level: "debug" | "info" | "warn" | "error",
  message: string,
  fields: Record<string, unknown>,
): void => {
  logger[level](message, fields);
};

let opened: OpenedLog;
let appliedIndex = 0;
let loop: RaftLoop;
let ticker: NodeJS.Timeout;

function* termsOf(batches: readonly EntryBatch[]): Iterable<number> {
  for (const batch of batches) {
    for (let i = 0; i < batch.count; i++) yield batch.term(i);
  }
}

/** One timer for all short waits: a new one replaces the last. */
let shortWait: NodeJS.Timeout | undefined;
let afterShortWait = (): void => undefined;

function callAfter(milliseconds: number, callback: () => void): void {
  afterShortWait = callback;
  shortWait ??= setTimeout(() => afterShortWait(), milliseconds);
  shortWait.refresh();
}

function start(): RaftLoop {
  const { storage, hardState, entries, lastIndex, appliedTerm, snapshotIndex, identity } = opened;
  return startRaftLoop({
    consensus: new SingleVoter({
      nodeId: identity.memberId,
      hardState,
      baseIndex: appliedIndex,
      baseTerm: appliedTerm,
      terms: termsOf(entries),
      sink: storage,
    }),
    storage,
    recovered: entries,
    lastIndex,
    appliedIndex,
    snapshotIndex,
    snapshotCount: options.snapshotCount,
    inboxes: [
      new SharedRingReader(memory.rings.mainToRaft),
      new SharedRingReader(memory.rings.storageToRaft),
    ],
    toApply: new SharedRingWriter(memory.rings.raftToApply, new Doorbell(memory.doorbells.apply)),
    toMain: new SharedRingWriter(memory.rings.raftToMain, new Doorbell(memory.doorbells.main)),
    doorbell: new Doorbell(memory.doorbells.raft),
    callAfter,
    yieldToEvents: () => new Promise((resolve) => setImmediate(resolve)),
    log,
  });
}

const control: RaftControl = {
  async open(recovered): ReturnType<RaftControl["open"]> {
    appliedIndex = recovered.consistentIndex;
    opened = await openLog(options, recovered, {
      unsafeNoFsync: options.unsafeNoFsync,
      segmentsKept: options.walsMax,
      log,
    });
    const { identity, lastIndex, entries, appliedTerm } = opened;
    const newest = entries.at(-1);
    return { identity, lastIndex, lastTerm: newest?.term(newest.count - 1) ?? appliedTerm };
  },

  run(): void {
    flushCompileCache(); // a member is more often killed than stopped
    loop = start();
    ticker = setInterval(() => loop.tick(), options.tickMs);
    // A loop that dies ends the thread, and with it the member.
    loop.done.catch((error: unknown) => {
      queueMicrotask(() => {
        throw error;
      });
    });
  },

  async stop(): Promise<void> {
    clearInterval(ticker);
    await loop.stop();
  },
};

exposeControl(control);
