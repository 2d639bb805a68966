/** Reads a LeaseKeepAliveResponse without making objects of its header. */

const TAG_ID = 0x10;
const TAG_TTL = 0x18;
const WIRE_TYPE_BYTES = 2;

/** The last answer that was read; one object for all. */
const answer = { id: 0, ttlSeconds: 0 };

/** Reads `bytes[start .. end)`; valid until the next call. Ids must be small numbers. */
export function readKeepAlive(
  bytes: Buffer,
  start: number,
  end: number,
): { readonly id: number; readonly ttlSeconds: number } {
  answer.id = answer.ttlSeconds = 0;
  let at = start;
  while (at < end) {
    const tag = bytes[at++];
    let value = 0;
    let scale = 1;
    let byte: number;
    do {
      byte = bytes[at++];
      value += (byte & 0x7f) * scale;
      scale *= 128;
    } while (byte >= 0x80);
    if ((tag & 7) === WIRE_TYPE_BYTES) at += value;
    else if (tag === TAG_ID) answer.id = value;
    else if (tag === TAG_TTL) answer.ttlSeconds = value;
  }
  return answer;
}
