/** Allows something `perSecondMax` times in each second of a clock, for what must not make trouble worse: lines about slow requests, when all are slow. */
export class RateBudget {
  readonly #perSecondMax: number;
  #second = -1;
  #taken = 0;

  constructor(perSecondMax: number) {
    this.#perSecondMax = perSecondMax;
  }

  /** True if it may be done once more in the second of `nowMs`. */
  take(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#taken = 0;
    }
    return this.#taken++ < this.#perSecondMax;
  }
}
