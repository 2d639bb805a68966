/** Latencies of many requests, and what the check commands say about them. */

/** Figures about all requests; times in seconds. */
export interface LoadStats {
  readonly requestsPerSecond: number;
  readonly slowest: number;
  readonly stddev: number;
  /** How often each error came. */
  readonly errors: ReadonlyMap<string, number>;
}

/** Collects results from its creation until {@link stats}. */
export class LoadReport {
  readonly #startedMs = performance.now();
  readonly #errors = new Map<string, number>();
  #count = 0;
  #sum = 0;
  #squares = 0;
  #slowest = 0;

  /** A request that succeeded. */
  addLatency(ms: number): void {
    this.#count++;
    this.#sum += ms;
    this.#squares += ms * ms;
    if (ms > this.#slowest) this.#slowest = ms;
  }

  addError(message: string): void {
    this.#errors.set(message, (this.#errors.get(message) ?? 0) + 1);
  }

  stats(): LoadStats {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const mean = this.#sum / this.#count;
    const variance = Math.max(0, this.#squares / this.#count - mean * mean);
    return {
      requestsPerSecond: this.#count / seconds,
      slowest: this.#slowest / 1000,
      stddev: Math.sqrt(variance) / 1000,
      errors: this.#errors,
    };
  }
}
