/** Leaky buckets for what a client may do often, but not without end. */
import {
  IDLE_FRAMES_BURST_MAX,
  IDLE_FRAMES_REFILL_PER_SECOND,
  RESETS_BURST_MAX,
  RESETS_REFILL_PER_SECOND,
} from "./limits.ts";

class Bucket {
  #left: number;
  #filledAtMs = 0;
  readonly #burst: number;
  readonly #perSecond: number;

  constructor(burst: number, perSecond: number) {
    this.#left = burst;
    this.#burst = burst;
    this.#perSecond = perSecond;
  }

  /** False once the bucket is empty. The clock is looked at only when it would be. */
  take(nowMs: number): boolean {
    if (this.#left < 1) {
      const earned = ((nowMs - this.#filledAtMs) * this.#perSecond) / 1_000;
      this.#left = Math.min(this.#burst, this.#left + earned);
      this.#filledAtMs = nowMs;
      if (this.#left < 1) return false;
    }
    this.#left--;
    return true;
  }

  credit(count: number): void {
    this.#left = Math.min(this.#burst, this.#left + count);
  }

  /** Time starts to earn only now. */
  start(nowMs: number): void {
    this.#filledAtMs = nowMs;
  }
}

export class AbuseGuard {
  readonly #resets = new Bucket(RESETS_BURST_MAX, RESETS_REFILL_PER_SECOND);
  readonly #idleFrames = new Bucket(IDLE_FRAMES_BURST_MAX, IDLE_FRAMES_REFILL_PER_SECOND);

  constructor(nowMs: number) {
    this.#resets.start(nowMs);
    this.#idleFrames.start(nowMs);
  }

  /** A stream was reset, by the client or because of it. False: too many. */
  allowReset(nowMs: number): boolean {
    return this.#resets.take(nowMs);
  }

  /** A frame came that moves nothing. False: too many. */
  allowIdleFrame(nowMs: number): boolean {
    return this.#idleFrames.take(nowMs);
  }

  /** A call was answered in full. */
  creditAnswer(): void {
    this.#resets.credit(1);
  }

  /** DATA frames were sent: each may be followed by two WINDOW_UPDATE. */
  creditData(frames: number): void {
    this.#idleFrames.credit(2 * frames);
  }
}
