/**
 * Keeps a repeated message from flooding the log, as etcd does: of each message the first 100 of a second are written,
 * then every 100th.
 */
import type { LogLevel } from "./logger.ts";

const FIRST = 100;
const THEREAFTER = 100;
const TICK_MS = 1000;

/** Distinct messages counted in one second; beyond it messages pass unsampled. */
const MESSAGES_MAX = 4096;

/** Counts messages by second. */
export class LogSampler {
  #tick = -1;
  readonly #counts = new Map<string, number>();

  /** True if this line shall be written. */
  admits(level: LogLevel, msg: string, unixMs: number): boolean {
    const tick = Math.floor(unixMs / TICK_MS);
    if (tick !== this.#tick) {
      this.#tick = tick;
      this.#counts.clear();
    }
    const key = `${level} ${msg}`;
    const count = (this.#counts.get(key) ?? 0) + 1;
    if (count === 1 && this.#counts.size >= MESSAGES_MAX) return true;
    this.#counts.set(key, count);
    return count <= FIRST || (count - FIRST) % THEREAFTER === 0;
  }
}
