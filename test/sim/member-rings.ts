/** The rings of a simulated member, as `workers/shared-memory.ts` makes them, small enough to run full now and then. */

import { viewOf } from "../../src/base/bytes.ts";
import { MemoryRing } from "../../src/ring/memory-ring.ts";
import { RecordType } from "../../src/ring/record-types.ts";
import type { RecordHandler, RingReader } from "../../src/ring/ring.ts";
import type { Invariants } from "./invariants.ts";

export interface MemberRings {
  readonly mainToRaft: MemoryRing;
  readonly mainToApply: MemoryRing;
  readonly raftToApply: MemoryRing;
  readonly raftToMain: MemoryRing;
  readonly applyToMain: MemoryRing;
  readonly applyToRaft: MemoryRing;
  readonly applyToStorage: MemoryRing;
  readonly storageToApply: MemoryRing;
  readonly storageToRaft: MemoryRing;
  readonly storageToMain: MemoryRing;
  readonly applyToWatch: DrainedRing;
  readonly mainToWatch: MemoryRing;
  readonly storageToWatch: MemoryRing;
  readonly watchToApply: MemoryRing;
  readonly watchToMain: MemoryRing;
}

/** A ring whose writer waits for room by having its reader run. */
export class DrainedRing extends MemoryRing {
  /** Runs the reader once. */
  onFull: (() => void) | null = null;

  override waitForRoom(length: number): void {
    for (let free = -1; free < this.freeBytes();) {
      free = this.freeBytes();
      this.onFull?.();
    }
    super.waitForRoom(length);
  }
}

/** Whoever writes to these waits for room in a way that an in-memory ring cannot: they must never be full. */
const NEVER_FULL_BYTES = 1024 * 1024;
const DATA_RING_BYTES = 64 * 1024;
const STATUS_RING_BYTES = 4096;
/** Long events do not fit, and are left out. */
const EVENT_RING_BYTES = 16 * 1024;
/** Takes the longest response that is written at once. */
const RESPONSE_RING_BYTES = 2 * 1024 * 1024;

export function createRings(): MemberRings {
  return {
    mainToRaft: new MemoryRing(DATA_RING_BYTES),
    mainToApply: new MemoryRing(DATA_RING_BYTES),
    raftToApply: new MemoryRing(DATA_RING_BYTES),
    raftToMain: new MemoryRing(STATUS_RING_BYTES),
    applyToMain: new MemoryRing(NEVER_FULL_BYTES),
    applyToRaft: new MemoryRing(NEVER_FULL_BYTES),
    applyToStorage: new MemoryRing(NEVER_FULL_BYTES),
    storageToApply: new MemoryRing(STATUS_RING_BYTES),
    storageToRaft: new MemoryRing(STATUS_RING_BYTES),
    storageToMain: new MemoryRing(STATUS_RING_BYTES),
    applyToWatch: new DrainedRing(EVENT_RING_BYTES),
    mainToWatch: new MemoryRing(STATUS_RING_BYTES),
    storageToWatch: new MemoryRing(STATUS_RING_BYTES),
    watchToApply: new MemoryRing(NEVER_FULL_BYTES),
    watchToMain: new MemoryRing(RESPONSE_RING_BYTES),
  };
}

/** Payload of an `entry` record before the data. */
const ENTRY_HEAD_BYTES = 16;

/** The ring from raft to apply, with every entry in it shown to the checkers. */
export class WatchedEntries implements RingReader {
  readonly #ring: MemoryRing;
  #handler: RecordHandler = () => undefined;
  readonly #watch: RecordHandler;

  /** @param onApplied told of each entry that was handed to apply */
  constructor(ring: MemoryRing, member: string, invariants: Invariants, onApplied: (index: number) => void) {
    this.#ring = ring;
    this.#watch = (type, flags, id, bytes, start, end) => {
      if (type === RecordType.entry) {
        const view = viewOf(bytes);
        const at = bytes.byteOffset + start;
        const term = view.getFloat64(at, true);
        const entryType = view.getUint32(at + 8, true);
        invariants.applies(member, id, term, entryType, bytes, start + ENTRY_HEAD_BYTES, end);
      }
      this.#handler(type, flags, id, bytes, start, end);
      if (type === RecordType.entry) onApplied(id);
    };
  }

  drain(handler: RecordHandler, recordsMax: number): number {
    this.#handler = handler;
    return this.#ring.drain(this.#watch, recordsMax);
  }

  endDrain(): void {
    this.#ring.endDrain();
  }

  isEmpty(): boolean {
    return this.#ring.isEmpty();
  }
}
