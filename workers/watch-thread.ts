/**
 * The watch thread as the supervisor sees it. It is started when the first client opens a stream of watches: a member that nobody
 * watches does without the thread and its memory. Requests to watch wait in their ring until it is there, at their place among the
 * events; apply keeps no events before the first request, so nothing is missed and nothing piles up.
 *
 * One thing at a time: what is asked for while it starts, or while a snapshot takes the database's place, comes after that.
 */
import type * as Comlink from "comlink";
import type { WatchControl } from "./control.ts";

export interface WatchThreadOptions {
  /** Starts the thread. */
  readonly startThread: () => Comlink.Remote<WatchControl>;
  /** Has storage tell it of commits from now on; null when nothing is kept on disk. */
  readonly followCommits: (() => Promise<void>) | null;
  /** It could not be started. */
  readonly onFailure: (error: unknown) => void;
}

export class WatchThread {
  readonly #options: WatchThreadOptions;
  /** Revisions that storage held when the member started: at least those are committed. */
  #committed = 0;
  #control: Comlink.Remote<WatchControl> | null = null;
  #isWanted = false;
  #isSuspended = false;
  #isStopped = false;
  #last: Promise<void> = Promise.resolve();

  constructor(options: WatchThreadOptions) {
    this.#options = options;
  }

  /** Before {@link want}: the revision that the database stands at. */
  setCommitted(revision: number): void {
    this.#committed = revision;
  }

  /** Somebody watches: there will be a thread. */
  want(): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.#next(() => this.#run()).catch((error: unknown) => {
      if (!this.#isStopped) this.#options.onFailure(error);
    });
  }

  /** As {@link WatchControl.suspend}, if there is a thread. One that is wanted later comes after {@link resume}. */
  suspend(): Promise<void> {
    return this.#next(async () => {
      this.#isSuspended = true;
      await this.#control?.suspend();
    });
  }

  resume(): Promise<void> {
    return this.#next(async () => {
      this.#isSuspended = false;
      if (this.#control !== null) await this.#control.resume();
      else if (this.#isWanted) await this.#run();
    });
  }

  /** Ends it, if it is there; none is started any more. Apply must have stopped. */
  stop(): Promise<void> {
    this.#isStopped = true;
    return this.#next(async () => {
      await this.#control?.stop();
    });
  }

  async #run(): Promise<void> {
    if (this.#isSuspended || this.#isStopped || this.#control !== null) return;
    const control = this.#options.startThread();
    this.#control = control;
    await control.run(this.#committed);
    await this.#options.followCommits?.();
  }

  #next(work: () => Promise<void>): Promise<void> {
    const next = this.#last.then(work);
    this.#last = next.catch(() => undefined);
    return next;
  }
}
