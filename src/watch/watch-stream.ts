import { STREAM_CREDIT_FIRST } from "./watch-limits.ts";

/** What the watch thread knows of one Watch call. The lists run through the watchers' own records. */
export class WatchStream {
  /** Main's number for it. */
  readonly number: number;
  /** First of its watchers that are not behind, and of those that are; 0 = none. */
  head = 0;
  behindHead = 0;
  watchers = 0;
  /** Next id that the server chooses, if it is free. */
  nextId = 0;
  /** Bytes that may be sent before the client has taken some; a response that begins above 0 is sent whole. */
  credit = STREAM_CREDIT_FIRST;
  /** Watchers that asked for progress notifications. */
  progressWatchers = 0;
  /** Period of those, and when the next ones are due. */
  progressPeriodMs = 0;
  progressDueMs = Infinity;

  constructor(number: number) {
    this.number = number;
  }
}
