/** Wakes those who wait for progress: a flush that ended, room in a ring, a time-out. */
export class ProgressSignal {
  #next: PromiseWithResolvers<void> | null = null;

  /** Resolves at the next {@link note}. */
  wait(): Promise<void> {
    this.#next ??= Promise.withResolvers();
    return this.#next.promise;
  }

  note(): void {
    const next = this.#next;
    this.#next = null;
    next?.resolve();
  }
}
