/** Shows how far long work is: one line on stderr that is drawn again and again. Nothing where stderr is no terminal. */
import { isatty } from "node:tty";
import { formatGoDuration } from "./go-duration.ts";
import { printError } from "./terminal.ts";

const STDERR = 2;
/** Time between two drawings: what eyes follow. */
const DRAW_MS = 200;
const BAR_COLUMNS = 40;
const SECOND_NS = 1_000_000_000n;

/** How a bar tells its amounts. */
export interface ProgressOptions {
  /** Undefined: not known yet; then only what is done is shown. */
  readonly total?: number;
  /** Text of an amount. Default: the number. */
  readonly format?: (amount: number) => string;
}

/** A bar that begins at zero. */
export class ProgressBar {
  readonly #isShown: boolean;
  readonly #format: (amount: number) => string;
  readonly #startedMs = performance.now();
  #total: number | undefined;
  #done = 0;
  #drawnMs = -Infinity;

  constructor({ total, format = String }: ProgressOptions = {}, isShown = isatty(STDERR)) {
    this.#isShown = isShown;
    this.#total = total;
    this.#format = format;
  }

  set total(total: number) {
    this.#total = total;
  }

  add(amount: number): void {
    this.#done += amount;
    const nowMs = performance.now();
    if (!this.#isShown || nowMs - this.#drawnMs < DRAW_MS) return;
    this.#drawnMs = nowMs;
    printError(`\r${this.line()}\x1b[K`);
  }

  /** Draws the last state and goes to the next line. */
  finish(): void {
    if (this.#isShown) printError(`\r${this.line()}\x1b[K\n`);
  }

  /** The line as it is drawn. */
  line(): string {
    const elapsedMs = performance.now() - this.#startedMs;
    const perSecond = elapsedMs > 0 ? Math.round((this.#done / elapsedMs) * 1000) : 0;
    const speed = `${this.#format(perSecond)}/s`;
    const took = formatGoDuration(BigInt(Math.round(elapsedMs / 1000)) * SECOND_NS);
    if (this.#total === undefined) return `${this.#format(this.#done)}  ${speed}  ${took}`;
    const part = this.#total === 0 ? 1 : Math.min(1, this.#done / this.#total);
    const filled = Math.floor(part * BAR_COLUMNS);
    const bar = `[${"=".repeat(filled).padEnd(BAR_COLUMNS)}]`;
    const amounts = `${this.#format(this.#done)} / ${this.#format(this.#total)}`;
    return `${amounts} ${bar} ${(part * 100).toFixed(1)}%  ${speed}  ${took}`;
  }
}
