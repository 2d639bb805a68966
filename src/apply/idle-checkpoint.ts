/**
 * When the index is checkpointed while the member runs, so that a restart after a kill need not read every record. Pure: the
 * clock is an argument, the file is a {@link CheckpointJob}.
 *
 * ```
 *   waiting ──enough changes, then quiet──▶ writing ──all handed over──▶ waiting for storage ──committed──▶ finishing
 *      ▲  ▲                                    │                                                            │
 *      │  └────── given up: a change came ─────┘                                                            │
 *      └──────────────────────────────────── in its place, or failed ───────────────────────────────────────┘
 * ```
 *
 * It works only in turns in which the apply loop found nothing to do, a slice a turn, so a request waits for one slice at most. The
 * job borrows the index while it writes: the first change ends it. Reads change nothing, and only interrupt it. Each attempt
 * that was given up doubles the quiet that the next one asks for. Writes without a pause for ever mean no checkpoint
 * (docs/decisions/005-no-checkpoint-under-steady-writes.md).
 */

/** A restart reads so many records in a tenth of a second: fewer are not worth a checkpoint. */
export const CHECKPOINT_CHANGES_MIN = 50_000;
/** The cost of a checkpoint grows with the keys: so many changes must have come for each. */
export const CHECKPOINT_CHANGES_PER_KEY = 0.25;
/** No change for so long: clients that wait for each answer leave pauses below this. */
export const QUIET_MS_MIN = 1000;
export const QUIET_MS_MAX = 5 * 60_000;
/** How often the thread looks whether the disk is done; it must return to its event loop for that. */
const FINISH_POLL_MS = 5;

/** A checkpoint being written. Each method may throw; the job has cleaned up then. */
export interface CheckpointJob {
  /** Hands the next few megabytes to the kernel; true once it borrows the index no more. */
  writeSlice(): boolean;
  /** Storage holds what the checkpoint describes. */
  isCommitted(): boolean;
  /** Makes it durable and puts it in its place. Off this thread. */
  finish(): Promise<void>;
  abandon(): void;
}

export interface IdleCheckpointOptions {
  /** Revisions put and removed since the checkpoint that the start loaded, or since the beginning. Grows. */
  readonly changes: () => number;
  /** Differs whenever the index may have changed, also where no revision says so. */
  readonly indexVersion: () => number;
  readonly keys: () => number;
  /** A compaction is under way: its end is a change, too. */
  readonly isCompacting: () => boolean;
  /** The last checkpoint cannot be loaded any more, since compaction has passed it: a restart reads everything. */
  readonly isOutdated: () => boolean;
  readonly begin: () => CheckpointJob;
  readonly onFailed: (error: unknown) => void;
}

export class IdleCheckpoint {
  readonly #options: IdleCheckpointOptions;
  #job: CheckpointJob | null = null;
  #borrows = false;
  /** Resolves when the job that is being finished is in its place, or has failed. */
  #finishing: Promise<void> | null = null;
  /** {@link IdleCheckpointOptions.changes} when the last checkpoint, and the one being written, began. */
  #savedChanges = 0;
  #jobChanges = 0;
  #version = -1;
  #quietSinceMs = 0;
  #quietMs = QUIET_MS_MIN;

  constructor(options: IdleCheckpointOptions) {
    this.#options = options;
  }

  /** Changes that no checkpoint holds, or all keys when there is none that could be loaded. */
  get unsavedChanges(): number {
    const { changes, keys, isOutdated } = this.#options;
    const since = changes() - this.#savedChanges;
    return isOutdated() ? Math.max(since, keys()) : since;
  }

  /** The thread must return to its event loop: a file operation is under way. */
  get waitsForEvents(): boolean {
    return this.#finishing !== null;
  }

  /** To be called when the loop had nothing to do. True if it did something, and may at once do more. */
  turn(nowMs: number): boolean {
    this.#noteChanges(nowMs);
    try {
      if (this.#finishing !== null) return false;
      if (this.#job === null) return this.#beginIfDue(nowMs);
      if (this.#borrows) {
        this.#borrows = !this.#job.writeSlice();
        return true;
      }
      if (this.#job.isCommitted()) this.#finish(this.#job);
      return false;
    } catch (error) {
      this.#job = null;
      this.#borrows = false;
      this.#fail(error);
      return false;
    }
  }

  /** How long the thread may sleep if nobody wakes it. */
  sleepMs(nowMs: number): number {
    if (this.#finishing !== null) return FINISH_POLL_MS;
    if (this.#job !== null || !this.#isWorthIt()) return Infinity;
    return Math.max(0, this.#quietSinceMs + this.#quietMs - nowMs);
  }

  /** Gives up what is being written, and resolves when nothing of it goes on. */
  async stop(): Promise<void> {
    this.#giveUp();
    await this.#finishing;
  }

  #noteChanges(nowMs: number): void {
    const version = this.#options.indexVersion();
    if (this.#options.isCompacting()) this.#quietSinceMs = nowMs;
    if (version === this.#version) return;
    this.#version = version;
    this.#quietSinceMs = nowMs;
    if (!this.#borrows) return;
    this.#giveUp();
    this.#backOff();
  }

  #isWorthIt(): boolean {
    const { keys } = this.#options;
    return this.unsavedChanges >= Math.max(CHECKPOINT_CHANGES_MIN, keys() * CHECKPOINT_CHANGES_PER_KEY);
  }

  #beginIfDue(nowMs: number): boolean {
    if (nowMs - this.#quietSinceMs < this.#quietMs || !this.#isWorthIt()) return false;
    this.#job = this.#options.begin();
    this.#borrows = true;
    // Beginning may itself have ended a piece of compaction that was under way.
    this.#version = this.#options.indexVersion();
    this.#jobChanges = this.#options.changes();
    return true;
  }

  #finish(job: CheckpointJob): void {
    this.#finishing = job.finish().then(
      () => {
        this.#savedChanges = this.#jobChanges;
        this.#quietMs = QUIET_MS_MIN;
        this.#ended();
      },
      (error: unknown) => {
        this.#ended();
        this.#fail(error);
      },
    );
  }

  #ended(): void {
    this.#finishing = null;
    this.#job = null;
  }

  #giveUp(): void {
    if (this.#finishing !== null) return;
    this.#job?.abandon();
    this.#job = null;
    this.#borrows = false;
  }

  #fail(error: unknown): void {
    this.#backOff();
    // The next attempt counts its quiet from the next change on, or from now.
    this.#version = -1;
    this.#options.onFailed(error);
  }

  #backOff(): void {
    this.#quietMs = Math.min(QUIET_MS_MAX, this.#quietMs * 2);
  }
}
