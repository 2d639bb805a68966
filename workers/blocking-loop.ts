import type { Doorbell } from "../src/ring/doorbell.ts";

/** What a thread that sleeps in `Atomics.wait` does between two sleeps. */
export interface BlockingLoop {
  /** One round of work. Returns false when there was nothing to do. */
  turn(): boolean;
  /** Checked after the doorbell knows of the sleep: true if a ring or another source has work after all. */
  hasWork(): boolean;
  /** Milliseconds until there is something to do although nobody rings; Infinity if never. */
  sleepMs(): number;
  /** True once the loop is to end. */
  stopped(): boolean;
  /** True while something was begun whose end the event loop brings: it is looked at after every round and every sleep. */
  waitsForEvents?(): boolean;
}

/** Lets messages that wait for this thread (comlink calls) be handled: one turn of the event loop. */
function eventLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * Runs `loop` until it is stopped, asleep in `Atomics.wait` while there is nothing to do. The thread sees its event loop only
 * when its control flag was rung (calls through comlink ring it), or while the loop waits for events.
 */
export async function runBlockingLoop(doorbell: Doorbell, loop: BlockingLoop): Promise<void> {
  while (!loop.stopped()) {
    const isCalled = doorbell.takeControlRequest();
    if (isCalled || loop.waitsForEvents?.() === true) await eventLoopTurn();
    if (isCalled) continue; // the message may have stopped the loop
    if (loop.turn()) continue;
    const sequence = doorbell.prepareSleep();
    if (loop.hasWork()) doorbell.awake();
    else doorbell.sleep(sequence, loop.sleepMs());
  }
}
