/**
 * The watch thread. Owns who watches what and how far each watcher is; it reads LMDB (through a reader of its own) for watchers
 * that are behind, and never writes anything but responses to main. It sleeps in `Atomics.wait` on its doorbell. The loop itself:
 * `src/watch/watch.ts`.
 */

import { flushCompileCache } from "node:module";
import { openMeters } from "../src/base/meters.ts";
import { Prng } from "../src/base/prng.ts";
import { WATCH_LAYOUT } from "../src/base/thread-meters.ts";
import { Doorbell } from "../src/ring/doorbell.ts";
import { SharedRingReader, SharedRingWriter } from "../src/ring/shared-ring.ts";
import { openFollowingReader } from "../src/storage/following-reader.ts";
import { readCompactRevision } from "../src/storage/recover.ts";
import { DatabaseHistory, type EventHistory } from "../src/watch/event-history.ts";
import { WatchLoop } from "../src/watch/watch.ts";
import { AskedHistory } from "../src/watch/watch-query.ts";
import { runBlockingLoop } from "./blocking-loop.ts";
import { type WatchControl, exposeControl, receiveWorkerData } from "./control.ts";
import { ThreadVitals } from "./thread-vitals.ts";

const { memory, options } = await receiveWorkerData();
const tracing = options.tracing ? await import("./worker-tracing.ts") : null;
const doorbell = new Doorbell(memory.doorbells.watch);
const vitals = new ThreadVitals(memory.vitals.watch);
const toApply = new SharedRingWriter(memory.rings.watchToApply, new Doorbell(memory.doorbells.apply));

let loop: WatchLoop;
let history: EventHistory;
let stopping = false;
let ended: Promise<void> = Promise.resolve();

function openHistory(): EventHistory {
  if (options.inMemory) return new AskedHistory(toApply);
  const reader = openFollowingReader(options.databasePath, memory.databaseGeneration);
  return new DatabaseHistory(reader, readCompactRevision);
}

const control: WatchControl = {
  run(committed): void {
    flushCompileCache(); // a member is more often killed than stopped
    const toMain = new SharedRingWriter(memory.rings.watchToMain, new Doorbell(memory.doorbells.main));
    loop = new WatchLoop({
      spans: tracing?.createSpanReporter(toMain) ?? null,
      fromApply: new SharedRingReader(memory.rings.applyToWatch),
      fromMain: new SharedRingReader(memory.rings.mainToWatch),
      fromStorage: options.inMemory ? null : new SharedRingReader(memory.rings.storageToWatch),
      toMain,
      toApply,
      state: new Int32Array(memory.watchState),
      committed,
      fragmentBytes: options.receiveBytesMax,
      progressIntervalMs: options.watchProgressIntervalMs,
      prng: new Prng(Math.random() * 2 ** 32),
      meters: openMeters(WATCH_LAYOUT, memory.meters.watch),
    });
    history = openHistory();
    loop.setHistory(history);
    ended = runBlockingLoop(doorbell, vitals, {
      turn: () => loop.turn(performance.now()),
      hasWork: () => !loop.inboxesEmpty(),
      sleepMs: () => loop.sleepMs(performance.now()),
      stopped: () => stopping,
    });
  },

  suspend(): Promise<void> {
    loop.setHistory(null);
    loop.abandonQuestion();
    history.close();
    return Promise.resolve();
  },

  resume(): Promise<void> {
    history = openHistory();
    loop.setHistory(history);
    return Promise.resolve();
  },

  async stop(): Promise<void> {
    stopping = true;
    await ended;
    history.close();
  },
};

exposeControl(control);
