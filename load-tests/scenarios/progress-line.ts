/** What a long run shows of itself: one line that is drawn again on a terminal, and a line now and then elsewhere. */

/** Time between two lines where they stay. */
const PLAIN_EVERY_MS = 10_000;
const CLEAR_TO_END = "\x1b[K";

/** Where it writes; `process.stderr` is one. */
export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export class ProgressLine {
  readonly #output: ProgressOutput;
  readonly #now: () => number;
  #isDrawn = false;
  #writtenMs = -Infinity;

  constructor(output: ProgressOutput = process.stderr, now: () => number = () => performance.now()) {
    this.#output = output;
    this.#now = now;
  }

  /** The state of now, in place of the one before. */
  show(text: string): void {
    if (this.#output.isTTY === true) {
      // A line that wraps could not be drawn over.
      this.#output.write(`\r${text.slice(0, (this.#output.columns ?? 80) - 1)}${CLEAR_TO_END}`);
      this.#isDrawn = true;
    } else if (this.#now() - this.#writtenMs >= PLAIN_EVERY_MS) {
      this.#writtenMs = this.#now();
      this.#output.write(`${text}\n`);
    }
  }

  /** A line that stays. */
  note(text: string): void {
    this.#output.write(this.#isDrawn ? `\r${text}${CLEAR_TO_END}\n` : `${text}\n`);
    this.#isDrawn = false;
  }

  /** Leaves the last state on its line. */
  finish(): void {
    if (this.#isDrawn) this.#output.write("\n");
    this.#isDrawn = false;
  }
}
