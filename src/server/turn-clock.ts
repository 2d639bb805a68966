/** The time of the current turn of the event loop: all requests of a batch together read the clock once. */
export class TurnClock {
  #nowMs = 0;
  #isFresh = false;

  /** ms of `performance.now()` */
  now(): number {
    if (!this.#isFresh) {
      this.#nowMs = performance.now();
      this.#isFresh = true;
      setImmediate(this.#expire);
    }
    return this.#nowMs;
  }

  readonly #expire = (): void => {
    this.#isFresh = false;
  };
}
