import { assert } from "../base/assert.ts";
import type { RingWriter } from "./ring.ts";

/** Writes a payload of any length but 0, and waits for room as often as it takes. For workers only. */
export function writeWaiting(
  ring: RingWriter,
  type: number,
  requestId: number,
  payload: Uint8Array,
  length: number,
): void {
  assert(length > 0, "an empty payload");
  for (let at = 0; ;) {
    at = ring.writeOn(type, 0, requestId, payload, 0, length, at);
    if (at === length) return;
    ring.publish(); // or the consumer would never see what fills the ring
    ring.waitForRoom(Math.min(ring.inlineBytesMax, length - at));
  }
}
