import type { Call } from "../grpc/service.ts";

/** Who is told of requests that took long (`--trace-slow-requests-ms`). */
export interface SlowCalls {
  /** Milliseconds beyond which a request is slow. */
  readonly thresholdMs: number;
  /**
   * A slow request is about to end; the call is borrowed.
   * @param startedMs when it came, of `performance.now()`
   * @param wasAnswered false: it ends because it waited too long
   */
  note(call: Call, startedMs: number, wasAnswered: boolean): void;
  /** What was answered in this turn is written. `ask` has the other threads say what they did for a request since `sinceMs` (trace clock). */
  report(ask: (context: Uint8Array, isRead: boolean, sinceMs: number) => void): void;
}
