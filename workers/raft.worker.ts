/**
 * The raft thread. Owns the Raft state machine, the WAL's files, the clock ticks, and the connections to peers. It keeps its event
 * loop: flushes are asynchronous, and its doorbell is awaited, so that a slow disk delays neither peers nor ticks. It looks into no
 * entry but conf changes. The loop itself: `src/raft/raft-loop.ts`.
 */

import { flushCompileCache } from "node:module";
import { openMeters } from "../src/base/meters.ts";
import { Prng } from "../src/base/prng.ts";
import { RAFT_LAYOUT } from "../src/base/thread-meters.ts";
import { PeerTransport } from "../src/peer/peer-transport.ts";
import type { PeerEvents } from "../src/raft/peer-network.ts";
import type { RaftLoop } from "../src/raft/raft-loop.ts";
import type { SnapshotService } from "../src/raft/snapshot-service.ts";
import { startRaftLoop } from "../src/raft/start-raft-loop.ts";
import { Doorbell } from "../src/ring/doorbell.ts";
import { SharedRingReader, SharedRingWriter } from "../src/ring/shared-ring.ts";
import { advanceElection } from "./advance-election.ts";
import {
  type RaftControl,
  type Recovered,
  exposeControl,
  receiveWorkerData,
  threadLogger,
} from "./control.ts";
import { type OpenedLog, openLog } from "./raft-log.ts";
import { ThreadVitals } from "./thread-vitals.ts";

const { memory, options } = await receiveWorkerData();
const tracing = options.tracing ? await import("./worker-tracing.ts") : null;
const logger = threadLogger(memory);
const log = (
  level: "debug" | "info" | "warn" | "error",
  message: string,
  fields: Record<string, unknown>,
): void => {
  logger[level](message, fields);
};

const vitals = new ThreadVitals(memory.vitals.raft);
const meters = openMeters(RAFT_LAYOUT, memory.meters.raft);

let opened: OpenedLog;
let recovered: Recovered;
let network: PeerTransport;
let loop: RaftLoop;
let ticker: NodeJS.Timeout;
let tickedMs = 0;
const removed = Promise.withResolvers<void>();

/** Heartbeats that come later than etcd allows them to are counted, one a peer. */
function tick(): void {
  const nowMs = performance.now();
  const tookMs = nowMs - tickedMs;
  tickedMs = nowMs;
  vitals.timerLate(tookMs - options.tickMs);
  vitals.lookIfDue(nowMs);
  if (tookMs > 2 * options.tickMs && loop.consensus.isLeader) {
    const { voters, learners } = loop.consensus.confState;
    meters.lateHeartbeats.add(voters.length + learners.length - 1);
  }
  loop.tick();
}

/** One timer for all short waits: a new one replaces the last. */
let shortWait: NodeJS.Timeout | undefined;
let afterShortWait = (): void => undefined;

function callAfter(milliseconds: number, callback: () => void): void {
  afterShortWait = callback;
  shortWait ??= setTimeout(() => afterShortWait(), milliseconds);
  shortWait.refresh();
}

/** From now on peers are heard. */
function joinNetwork(events: PeerEvents): PeerTransport {
  network.start(events);
  for (const { id, peerUrls } of options.remotes) network.addRemote(id, peerUrls);
  return network;
}

function start(snapshots: SnapshotService): RaftLoop {
  const toMain = new SharedRingWriter(memory.rings.raftToMain, new Doorbell(memory.doorbells.main));
  const { electionTicks, preVote, snapshotCount, snapshotCatchupEntries, tickMs } = options;
  const { voters, learners } = recovered;
  return startRaftLoop({
    nodeId: opened.identity.memberId,
    contents: opened,
    confState: { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false },
    election: { electionTicks, preVote, prng: new Prng(Math.random() * 2 ** 32) },
    createNetwork: joinNetwork,
    snapshots,
    appliedIndex: recovered.consistentIndex,
    snapshotCount,
    catchUpEntries: snapshotCatchupEntries,
    firstReadNumber: options.firstRequestId,
    tickMs,
    fromMain: new SharedRingReader(memory.rings.mainToRaft),
    fromWorkers: [
      new SharedRingReader(memory.rings.storageToRaft),
      new SharedRingReader(memory.rings.applyToRaft),
    ],
    toApply: new SharedRingWriter(memory.rings.raftToApply, new Doorbell(memory.doorbells.apply)),
    toMain,
    ...tracing?.createRaftTracing(options, toMain),
    doorbell: new Doorbell(memory.doorbells.raft),
    callAfter,
    yieldToEvents: () => new Promise((resolve) => setImmediate(resolve)),
    onRemoved: () => removed.resolve(),
    log,
    metrics: { meters, slowReadMs: options.requestTimeoutMs },
  });
}

const control: RaftControl = {
  async open(found): ReturnType<RaftControl["open"]> {
    recovered = found;
    opened = await openLog(options, recovered, {
      unsafeNoFsync: options.unsafeNoFsync,
      segmentsKept: options.walsMax,
      log,
      onFlush: (tookMs, bytes, entries) => {
        meters.walFlush.observe(tookMs / 1000);
        meters.walBytes.add(bytes);
        meters.flushBytes.observe(bytes);
        if (entries > 0) meters.flushEntries.observe(entries);
      },
    });
    const { identity, lastIndex, entries, appliedTerm } = opened;
    network = await PeerTransport.listen({
      local: { ...identity, peerUrls: options.peerUrls, takesTraces: options.tracing },
      listenUrls: options.listenPeerUrls.map(({ text }) => text),
      snapshotFolder: options.snapDir,
      clock: { monotonicMs: () => performance.now(), unixMs: () => Date.now() },
      log,
      onSnapshotStored: (tookMs, syncMs) => {
        meters.snapshotSave.observe(tookMs / 1000);
        meters.snapshotSync.observe(syncMs / 1000);
      },
    });
    const newest = entries.at(-1);
    return { identity, lastIndex, lastTerm: newest?.term(newest.count - 1) ?? appliedTerm };
  },

  run(snapshots): void {
    flushCompileCache(); // a member is more often killed than stopped
    loop = start(snapshots);
    tickedMs = performance.now();
    ticker = setInterval(tick, options.tickMs);
    if (options.initialElectionTickAdvance) advanceElection(loop, network, options.electionTicks);
    // A loop that dies ends the thread, and with it the member.
    loop.done.catch((error: unknown) => {
      queueMicrotask(() => {
        throw error;
      });
    });
  },

  removed: () => removed.promise,

  peers: () => Promise.resolve(network.report()),

  async stop(): Promise<void> {
    clearInterval(ticker);
    await loop.stop();
  },
};

exposeControl(control);
