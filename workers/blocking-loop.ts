import type { Doorbell } from "../src/ring/doorbell.ts";
import { eventLoopTurn } from "./event-loop-turn.ts";
import type { ThreadVitals } from "./thread-vitals.ts";

/** What a thread that sleeps in `Atomics.wait` does between two sleeps. */
export interface BlockingLoop {
  /** One round of work. Returns false when there was nothing to do. */
  turn(): boolean;
  /** After a round with work: the thread may let more of it gather, until this returns. */
  gather?(): void;
  /** After a round with work: milliseconds for which the thread leaves its core to others, unless it is rung; 0 unless given. */
  restMs?(): number;
  /** After any round: what comes in the next {@link sleepMs} can wait until then, unless it is urgent (`Doorbell.ringUrgently`). */
  mayNap?(): boolean;
  /** Checked after the doorbell knows of the sleep: true if a ring or another source has work after all. */
  hasWork(): boolean;
  /** Milliseconds until there is something to do although nobody rings; Infinity if never. */
  sleepMs(): number;
  /** True once the loop is to end. */
  stopped(): boolean;
  /** True while something was begun whose end the event loop brings: it is looked at after every round and every sleep. */
  waitsForEvents?(): boolean;
}

/**
 * Runs `loop` until it is stopped, asleep in `Atomics.wait` while there is nothing to do. The thread sees its event loop only
 * when its control flag was rung (calls through comlink ring it), while the loop waits for events, and once a second with work.
 */
export async function runBlockingLoop(
  doorbell: Doorbell,
  vitals: ThreadVitals,
  loop: BlockingLoop,
): Promise<void> {
  while (!loop.stopped()) {
    const isCalled = doorbell.takeControlRequest();
    if (isCalled || loop.waitsForEvents?.() === true) await eventLoopTurn();
    if (isCalled) continue; // the message may have stopped the loop
    const beganMs = performance.now();
    const worked = loop.turn();
    const nowMs = performance.now();
    if (worked) vitals.turned(nowMs - beganMs);
    // The event loop brings the news of garbage collections.
    if (vitals.untilLookMs(nowMs) === 0 && vitals.lookIfDue(nowMs)) await eventLoopTurn();
    const mayNap = loop.mayNap?.() === true;
    const goesOn = worked && !mayNap;
    const restMs = goesOn ? (loop.restMs?.() ?? 0) : Infinity;
    if (goesOn && restMs === 0) {
      loop.gather?.();
      continue;
    }
    const sequence = mayNap ? doorbell.prepareNap() : doorbell.prepareSleep();
    if (loop.hasWork()) doorbell.awake();
    else doorbell.sleep(sequence, Math.min(restMs, loop.sleepMs(), vitals.untilLookMs(nowMs)));
  }
}
