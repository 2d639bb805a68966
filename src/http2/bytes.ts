/** Header text and big-endian numbers in byte arrays. */

/** Below this, a loop beats the view and the call that longer texts need. */
const LOOP_CHARACTERS_MAX = 24;

/** `bytes[start, end)` as a string of code points below 256. For header text: short. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  if (end - start <= LOOP_CHARACTERS_MAX) {
    for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at]);
    return text;
  }
  for (let at = start; at < end; at += 4_096) {
    text += String.fromCharCode.apply(
      null,
      bytes.subarray(at, Math.min(end, at + 4_096)) as unknown as number[],
    );
  }
  return text;
}

/** Big-endian 32 bits at `offset`, unsigned. */
export function readUint32(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset] << 24) | (bytes[offset + 1] << 16) | (bytes[offset + 2] << 8) | bytes[offset + 3]) >>> 0
  );
}

/** Writes 32 bits, big-endian, at `offset`. */
export function writeUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}
