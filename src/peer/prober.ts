/** Asks a peer every few seconds whether it is there: for round-trip times and warnings about clocks; raft never hears of it. */

import { formatId } from "../cluster/identity.ts";
import { callPeer } from "./peer-client.ts";
import type { PeerParts } from "./peer-context.ts";
import { reasonOf } from "./peer-log.ts";

/** Clocks that differ by more are worth a warning. */
const CLOCK_DRIFT_MS_MAX = 1000;
/** Between two warnings of one kind about one peer. */
const WARNING_INTERVAL_MS = 30_000;

export class Prober {
  readonly #parts: PeerParts;
  readonly #timer: NodeJS.Timeout;
  #isProbing = false;
  #urlAt = 0;
  #warnedMs = Number.NEGATIVE_INFINITY;

  constructor(parts: PeerParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => void this.#probe(), parts.context.timing.probeMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #probe(): Promise<void> {
    if (this.#isProbing) return;
    this.#isProbing = true;
    const { context, counters, picker } = this.#parts;
    const startedMs = context.clock.monotonicMs();
    const url = picker.urls[this.#urlAt % picker.urls.length];
    try {
      const options = { timeoutMs: context.timing.idleTimeoutMs, agent: context.agent };
      const { status, body } = await callPeer(url, { method: "GET", path: "/raft/probing" }, options);
      const takenMs = context.clock.monotonicMs() - startedMs;
      const answer = JSON.parse(Buffer.from(body).toString()) as { OK?: unknown; Now?: unknown };
      if (status !== 200 || answer.OK !== true) throw new Error(`unexpected answer: status ${status}`);
      counters.observeRoundTrip(takenMs / 1000);
      this.#checkClock(String(answer.Now), takenMs);
    } catch (error) {
      this.#urlAt++;
      this.#warn("prober detected unhealthy status", { error: reasonOf(error) });
    } finally {
      this.#isProbing = false;
    }
  }

  /** The peer's clock was read half a round trip ago. */
  #checkClock(now: string, roundTripMs: number): void {
    const driftMs = this.#parts.context.clock.unixMs() - roundTripMs / 2 - Date.parse(now);
    if (Math.abs(driftMs) <= CLOCK_DRIFT_MS_MAX) return;
    this.#warn("prober found high clock drift", { "clock-drift": `${Math.abs(driftMs) / 1000}s` });
  }

  #warn(message: string, fields: Record<string, unknown>): void {
    const { clock, log } = this.#parts.context;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#warnedMs < WARNING_INTERVAL_MS) return;
    this.#warnedMs = nowMs;
    const rtt = `${this.#parts.counters.smoothedRoundTripSeconds * 1000}ms`;
    log("warn", message, { "remote-peer-id": formatId(this.#parts.peerId), rtt, ...fields });
  }
}
