import type { RecordHandler, RingReader } from "../ring/ring.ts";

/** Records taken between two looks at the loop's limits. */
const DRAIN_RECORDS_MAX = 64;
/** Records taken before the flush gets its turn again. */
const TURN_RECORDS_MAX = 4096;

/** The rings into the raft thread: main's, which is left alone while too much is under way, and those of the other threads. */
export class Inboxes {
  readonly #fromMain: RingReader;
  readonly #fromWorkers: readonly RingReader[];
  readonly #handler: RecordHandler;
  /** False while a limit is reached. */
  readonly #mayTake: () => boolean;
  #takenFromMain = 0;

  constructor(
    rings: { readonly fromMain: RingReader; readonly fromWorkers: readonly RingReader[] },
    handler: RecordHandler,
    mayTake: () => boolean,
  ) {
    this.#fromMain = rings.fromMain;
    this.#fromWorkers = rings.fromWorkers;
    this.#handler = handler;
    this.#mayTake = mayTake;
  }

  /** Records that main has sent and that were taken, in all. */
  get takenFromMain(): number {
    return this.#takenFromMain;
  }

  drainWorkers(): void {
    for (const inbox of this.#fromWorkers)
      while (inbox.drain(this.#handler, TURN_RECORDS_MAX) === TURN_RECORDS_MAX);
  }

  drainMain(): void {
    let taken = 0;
    while (taken < TURN_RECORDS_MAX && this.#mayTake()) {
      const count = this.#fromMain.drain(this.#handler, DRAIN_RECORDS_MAX);
      taken += count;
      if (count < DRAIN_RECORDS_MAX) break;
    }
    this.#takenFromMain += taken;
  }

  /** @param withMain false: what main has sent cannot be taken now, and does not count */
  isEmpty(withMain: boolean): boolean {
    return (!withMain || this.#fromMain.isEmpty()) && this.#fromWorkers.every((inbox) => inbox.isEmpty());
  }
}
