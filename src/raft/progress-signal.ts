/** Wakes those who wait for progress: a flush that ended, room in a ring, a time-out. */
export class ProgressSignal {
  #wakeAll: (() => void) | null = null;

  /** Resolves at the next {@link note}. */
  wait(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const others = this.#wakeAll;
    this.#wakeAll = () => {
      others?.();
      resolve();
    };
    return promise;
  }

  note(): void {
    const wakeAll = this.#wakeAll;
    this.#wakeAll = null;
    wakeAll?.();
  }
}
