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
}

/** Whoever writes to these waits for room in a way that an in-memory ring cannot: they must never be full. */
const NEVER_FULL_BYTES = 1024 * 1024;
const DATA_RING_BYTES = 64 * 1024;
const STATUS_RING_BYTES = 4096;

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
  };
}

/** Payload of an `entry` record before the data. */
const ENTRY_HEAD_BYTES = 16;

/** The ring from raft to apply, with every entry in it shown to the checkers. */
export class WatchedEntries implements RingReader {
  readonly #ring: MemoryRing;
  #handler: RecordHandler = () => undefined;
  readonly #watch: RecordHandler;

  constructor(ring: MemoryRing, member: string, invariants: Invariants) {
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
    };
  }

  drain(handler: RecordHandler, recordsMax: number): number {
    this.#handler = handler;
    return this.#ring.drain(this.#watch, recordsMax);
  }

  isEmpty(): boolean {
    return this.#ring.isEmpty();
  }
}
