import type { RingWriter } from "./ring.ts";

/** Writes a payload of any length, and waits for room as often as it takes. For workers only. */
export function writeWaiting(
  ring: RingWriter,
  type: number,
  requestId: number,
  payload: Uint8Array,
  length: number,
): void {
  if (length <= ring.payloadBytesMax) {
    while (!ring.write(type, 0, requestId, payload, 0, length)) waitForRoom(ring, length);
    return;
  }
  for (let at = 0; at < length;) {
    at = ring.writeOn(type, 0, requestId, payload, 0, length, at);
    if (at < length) waitForRoom(ring, Math.min(ring.inlineBytesMax, length - at));
  }
}

function waitForRoom(ring: RingWriter, length: number): void {
  ring.publish(); // or the consumer would never see what fills the ring
  ring.waitForRoom(length);
}
