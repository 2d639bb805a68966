/** Stages kept; at one a batch that is the last second of a busy member, and minutes of an idle one. */
export const STAGES_KEPT = 2048;

/**
 * When a thread did what, batch by batch: for requests of which it turns out later that they were slow. Each stage covers entries up to an
 * index, which ascends; the oldest are overwritten. Nothing is kept of single requests.
 */
export class StageLog {
  readonly #indexes = new Float64Array(STAGES_KEPT);
  readonly #startMs = new Float64Array(STAGES_KEPT);
  readonly #endMs = new Float64Array(STAGES_KEPT);
  #count = 0;

  /** The stage that covers entries up to `index` took from `startMs` to `endMs`. */
  note(index: number, startMs: number, endMs: number): void {
    const at = this.#count++ % STAGES_KEPT;
    this.#indexes[at] = index;
    this.#startMs[at] = startMs;
    this.#endMs[at] = endMs;
  }

  /** The first stage kept that covers entry `index` and ended after `sinceMs`; null if there is none. */
  find(index: number, sinceMs: number): { readonly startMs: number; readonly endMs: number } | null {
    // Newest first: what is asked for has just happened.
    let found = -1;
    for (let i = this.#count - 1; i >= Math.max(0, this.#count - STAGES_KEPT); i--) {
      const at = i % STAGES_KEPT;
      if (this.#indexes[at] < index || this.#endMs[at] < sinceMs) break;
      found = at;
    }
    return found < 0 ? null : { startMs: this.#startMs[found], endMs: this.#endMs[found] };
  }
}
