import type { RecordHandler, RingReader } from "../ring/ring.ts";

/** Records taken from one ring before the others and the sockets get their turn. */
const RECORDS_PER_DRAIN_MAX = 4096;
/** Bytes that the records of one ring may have copied for clients before that: about a millisecond of copies and socket writes. */
const COPIED_BYTES_PER_DRAIN_MAX = 1024 * 1024;

/** The rings that bring answers and states to main, drained in turn. */
export class RouterInboxes {
  readonly #rings: readonly RingReader[];
  readonly #take: RecordHandler;
  /** The ring that is being drained, and what its records have copied. */
  #draining: RingReader | null = null;
  #copiedBytes = 0;
  /** When the records came that are being taken, or were last: ms of `performance.now()`. */
  drainedMs = 0;

  /** @param take gets every record, its bytes borrowed */
  constructor(rings: readonly RingReader[], take: RecordHandler) {
    this.#rings = rings;
    this.#take = take;
  }

  /**
   * Takes what the other threads have sent. Returns the number of records; 0 = all rings were empty, or one of them is being
   * drained: what a record sets off takes no others, since its own is still borrowed and its ring's end is already known.
   */
  drain(): number {
    if (this.#draining !== null) return 0;
    let records = 0;
    this.drainedMs = performance.now();
    try {
      for (const ring of this.#rings) {
        this.#draining = ring;
        this.#copiedBytes = 0;
        records += ring.drain(this.#take, RECORDS_PER_DRAIN_MAX);
      }
    } finally {
      this.#draining = null;
    }
    return records;
  }

  /** One record was copied to many clients, so many bytes in all. After too many the ring's turn ends. */
  noteCopies(bytes: number): void {
    this.#copiedBytes += bytes;
    if (this.#copiedBytes >= COPIED_BYTES_PER_DRAIN_MAX) this.#draining?.endDrain();
  }

  isEmpty(): boolean {
    return this.#rings.every((ring) => ring.isEmpty());
  }
}
