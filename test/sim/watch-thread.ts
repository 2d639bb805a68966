/** The watch thread of a simulated member: the product's loop over the simulated database, wired as `workers/watch.worker.ts` wires it. */

import { Prng } from "../../src/base/prng.ts";
import { readCompactRevision } from "../../src/storage/recover.ts";
import { DatabaseHistory, type EventHistory } from "../../src/watch/event-history.ts";
import { WatchLoop } from "../../src/watch/watch.ts";
import { type Canary, plantInHistory } from "./canaries.ts";
import type { MemberRings } from "./member-rings.ts";
import type { SimulatedDatabase } from "./simulated-database.ts";

/** Short, so that responses are split and notifications come. */
const FRAGMENT_BYTES = 8 * 1024;
const PROGRESS_INTERVAL_MS = 3000;

export interface WatchThreadOptions {
  readonly rings: MemberRings;
  readonly state: Int32Array;
  /** Revisions that the database holds. */
  readonly committed: number;
  readonly seed: number;
}

export function createWatchLoop({ rings, state, committed, seed }: WatchThreadOptions): WatchLoop {
  return new WatchLoop({
    fromApply: rings.applyToWatch,
    fromMain: rings.mainToWatch,
    fromStorage: rings.storageToWatch,
    toMain: rings.watchToMain,
    toApply: rings.watchToApply,
    state,
    committed,
    fragmentBytes: FRAGMENT_BYTES,
    progressIntervalMs: PROGRESS_INTERVAL_MS,
    prng: new Prng(seed),
  });
}

export function openHistory(database: SimulatedDatabase, canary: Canary | null): EventHistory {
  return plantInHistory(canary, new DatabaseHistory(database.reader(), readCompactRevision));
}
