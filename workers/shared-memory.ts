import { type Layout, meterBytes } from "../src/base/meters.ts";
import {
  APPLY_LAYOUT,
  RAFT_LAYOUT,
  STORAGE_LAYOUT,
  VITALS_LAYOUT,
  WATCH_LAYOUT,
} from "../src/base/thread-meters.ts";
import { createDoorbellMemory } from "../src/ring/doorbell.ts";
import { RING_BYTES_MAX, createRingMemory } from "../src/ring/shared-ring.ts";
import { createGenerationMemory } from "../src/storage/database-generation.ts";
import type { LogThreshold } from "../src/telemetry/logger.ts";
import { WATCH_STATE_BYTES } from "../src/watch/watch-state.ts";
import type { SharedMemory } from "./control.ts";

/** gRPC lets requests be this much longer than `--max-request-bytes`, so that apply can refuse them with etcd's own words. */
export const RECEIVE_OVERHEAD_BYTES = 512 * 1024;
/** A ring takes payloads up to half its size; this many times the longest message leaves room for others beside it. */
const RING_TO_MESSAGE_RATIO = 4;
const MESSAGE_RING_BYTES_MIN = 8 * 1024 * 1024;
const STATUS_RING_BYTES = 64 * 1024;
/** Half of it is the longest membership: thousands of members removed over the years. */
const MEMBERSHIP_RING_BYTES = 1024 * 1024;

/** Longest `--max-request-bytes` for which rings can be made. */
const REQUEST_BYTES_CEILING = RING_BYTES_MAX / RING_TO_MESSAGE_RATIO - RECEIVE_OVERHEAD_BYTES;

/**
 * Makes the rings and doorbells of one member. Pages are taken from the system as the rings are first written to.
 * @throws an Error when requests may be longer than the largest ring can carry
 */
export function createSharedMemory(
  requestBytesMax: number,
  { memory: logThreshold }: LogThreshold,
): SharedMemory {
  if (requestBytesMax > REQUEST_BYTES_CEILING) {
    throw new Error(
      `--max-request-bytes is ${requestBytesMax}, at most ${REQUEST_BYTES_CEILING} are possible`,
    );
  }
  const longest = requestBytesMax + RECEIVE_OVERHEAD_BYTES;
  const message = (): SharedArrayBuffer =>
    createRingMemory(Math.max(MESSAGE_RING_BYTES_MIN, longest * RING_TO_MESSAGE_RATIO));
  const status = (): SharedArrayBuffer => createRingMemory(STATUS_RING_BYTES);
  return {
    rings: {
      mainToRaft: message(),
      mainToApply: message(),
      raftToApply: message(),
      raftToMain: status(),
      applyToMain: message(),
      applyToStorage: message(),
      applyToRaft: createRingMemory(MEMBERSHIP_RING_BYTES),
      storageToApply: status(),
      storageToRaft: status(),
      storageToMain: status(),
      applyToWatch: message(),
      mainToWatch: status(),
      storageToWatch: status(),
      watchToApply: message(),
      watchToMain: message(),
    },
    doorbells: {
      main: createDoorbellMemory(),
      raft: createDoorbellMemory(),
      apply: createDoorbellMemory(),
      storage: createDoorbellMemory(),
      watch: createDoorbellMemory(),
    },
    watchState: new SharedArrayBuffer(WATCH_STATE_BYTES),
    databaseGeneration: createGenerationMemory(),
    logThreshold,
    vitals: {
      main: meters(VITALS_LAYOUT),
      raft: meters(VITALS_LAYOUT),
      apply: meters(VITALS_LAYOUT),
      storage: meters(VITALS_LAYOUT),
      watch: meters(VITALS_LAYOUT),
    },
    meters: {
      raft: meters(RAFT_LAYOUT),
      apply: meters(APPLY_LAYOUT),
      storage: meters(STORAGE_LAYOUT),
      watch: meters(WATCH_LAYOUT),
    },
  };
}

function meters(layout: Layout): SharedArrayBuffer {
  return new SharedArrayBuffer(meterBytes(layout));
}
