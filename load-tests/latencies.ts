/** Latencies of one run, for percentiles without loss of precision. */

const INITIAL_CAPACITY = 1 << 16;

/** Percentiles in milliseconds. */
export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Collects samples in milliseconds. */
export class Latencies {
  #samples = new Float64Array(INITIAL_CAPACITY);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(milliseconds: number): void {
    if (this.#count === this.#samples.length) {
      const larger = new Float64Array(this.#samples.length * 2);
      larger.set(this.#samples);
      this.#samples = larger;
    }
    this.#samples[this.#count++] = milliseconds;
  }

  /** Begins anew, in the space it has. */
  clear(): void {
    this.#count = 0;
  }

  /** Nearest-rank percentiles; NaN without samples. */
  percentiles(): Percentiles {
    const sorted = this.#samples.subarray(0, this.#count).sort();
    const at = (share: number): number =>
      sorted[Math.max(0, Math.ceil(share * this.#count) - 1)] ?? Number.NaN;
    return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
  }
}
