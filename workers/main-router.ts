/** Main's ends of the rings: the router that writes into them, and the loop that takes what the workers send. */

import type { Config } from "../src/config/config.ts";
import type { MainMeters } from "../src/base/thread-meters.ts";
import { Doorbell } from "../src/ring/doorbell.ts";
import { SharedRingReader, SharedRingWriter } from "../src/ring/shared-ring.ts";
import { Router } from "../src/server/router.ts";
import type { SharedMemory } from "./control.ts";
import { eventLoopTurn } from "./event-loop-turn.ts";
import type { ThreadVitals } from "./thread-vitals.ts";

export interface MainRouterOptions {
  readonly memory: SharedMemory;
  readonly config: Config;
  readonly memberId: bigint;
  readonly firstRequestId: number;
  readonly meters: MainMeters;
  readonly vitals: ThreadVitals;
  readonly onFailure: (error: unknown) => void;
}

export function createRouter(options: MainRouterOptions): Router {
  const { memory, config, memberId, firstRequestId, meters, vitals, onFailure } = options;
  const { rings, doorbells } = memory;
  return new Router({
    toRaft: new SharedRingWriter(rings.mainToRaft, new Doorbell(doorbells.raft)),
    toApply: new SharedRingWriter(rings.mainToApply, new Doorbell(doorbells.apply)),
    toWatch: new SharedRingWriter(rings.mainToWatch, new Doorbell(doorbells.watch)),
    inboxes: [
      new SharedRingReader(rings.applyToMain),
      new SharedRingReader(rings.raftToMain),
      new SharedRingReader(rings.storageToMain),
      new SharedRingReader(rings.watchToMain),
    ],
    memberId,
    firstRequestId,
    requestTimeoutMs: config.requestTimeoutMs,
    electionTimeoutMs: config.electionTimeoutMs,
    requestBytesMax: config.requestBytesMax,
    onFailure,
    meters,
    onSweep: (lateMs) => vitals.timerLate(lateMs),
  });
}

/** Takes what the workers send to main, and lets sockets have their turn between two batches. Stops soon after main's doorbell has rung once more. */
export class Pump {
  readonly #router: Router;
  readonly #doorbell: Doorbell;
  #running = true;

  constructor(router: Router, memory: SharedMemory) {
    this.#router = router;
    this.#doorbell = new Doorbell(memory.doorbells.main);
  }

  /** Resolves after {@link stop}. */
  async run(): Promise<void> {
    while (this.#running) {
      if (this.#router.drainInboxes() > 0) {
        await eventLoopTurn();
        continue;
      }
      const sequence = this.#doorbell.prepareSleep();
      if (this.#router.inboxesEmpty()) await this.#doorbell.sleepAsync(sequence);
      this.#doorbell.awake();
    }
  }

  stop(): void {
    this.#running = false;
    this.#doorbell.requestControl();
  }
}
