/** The raft thread of a simulated member: the product's loop on simulated time, disk and network, wired as `workers/raft.worker.ts` wires it. */

import { Prng } from "../../src/base/prng.ts";
import type { RaftLoop } from "../../src/raft/raft-loop.ts";
import type { SnapshotService } from "../../src/raft/snapshot-service.ts";
import { startRaftLoop } from "../../src/raft/start-raft-loop.ts";
import type { OpenedLog } from "../../workers/raft-log.ts";
import { plantInConsensus, plantInStorage } from "./canaries.ts";
import type { MemberRings } from "./member-rings.ts";
import type { Life } from "./scheduler.ts";
import type { SimulatedMember } from "./simulated-member.ts";
import { SimulatedDoorbell } from "./simulated-threads.ts";

const ELECTION_TICKS = 10;
/** Small, so that runs write markers, compact, and send snapshots. */
const SNAPSHOT_COUNT = 100;
export const CATCH_UP_ENTRIES = 50;

export interface RaftThreadOptions {
  readonly member: SimulatedMember;
  readonly life: Life;
  readonly rings: MemberRings;
  readonly opened: OpenedLog;
  /** What storage holds. */
  readonly appliedIndex: number;
  readonly voters: readonly bigint[];
  readonly learners: readonly bigint[];
  readonly snapshots: SnapshotService;
  readonly firstReadNumber: number;
}

export function startRaftThread(options: RaftThreadOptions): RaftLoop {
  const { member, life, rings, opened, appliedIndex, voters, learners, snapshots } = options;
  const { scheduler, random, network, canary } = member.setup;
  const doorbell = new SimulatedDoorbell(scheduler, random, life);
  for (const ring of [rings.mainToRaft, rings.applyToRaft, rings.storageToRaft]) {
    ring.onPublish = () => doorbell.ring();
  }
  const loop = startRaftLoop({
    nodeId: member.id,
    contents: { ...opened, storage: plantInStorage(canary, opened.storage) },
    confState: { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false },
    election: { electionTicks: ELECTION_TICKS, preVote: true, prng: new Prng(random.nextUint32()) },
    createNetwork: (events) =>
      network.connect({
        id: member.id,
        life,
        events,
        storeSnapshot: (file, index) => member.snapshots.receive(file, index),
      }),
    snapshots,
    appliedIndex,
    snapshotCount: SNAPSHOT_COUNT,
    catchUpEntries: CATCH_UP_ENTRIES,
    firstReadNumber: options.firstReadNumber,
    tickMs: 100,
    fromMain: rings.mainToRaft,
    fromWorkers: [rings.storageToRaft, rings.applyToRaft],
    toApply: rings.raftToApply,
    toMain: rings.raftToMain,
    doorbell,
    callAfter: shortWaits(member, life),
    yieldToEvents: () => scheduler.sleep(0, life),
    onRemoved: () => scheduler.after(1000, life, () => member.setup.onRemoved(member)),
    log: () => undefined,
  });
  plantInConsensus(canary, loop.consensus);
  const tick = (): void => {
    loop.tick();
    scheduler.after(member.tickMs, life, tick);
  };
  scheduler.after(random.below(member.tickMs), life, tick);
  return loop;
}

/** One timer for all short waits, as in the worker: a new one replaces the last. */
function shortWaits(
  { setup }: SimulatedMember,
  life: Life,
): (milliseconds: number, callback: () => void) => void {
  let newest = 0;
  return (milliseconds, callback) => {
    const number = ++newest;
    setup.scheduler.after(milliseconds, life, () => {
      if (number === newest) callback();
    });
  };
}
