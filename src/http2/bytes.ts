/** Small moves of bytes that the engine's own calls make slow. */

/** Below this, a loop beats the view that `TypedArray.set` needs. */
const LOOP_COPY_BYTES_MAX = 48;

/** Copies `source[start, end)` to `target` at `offset`. */
export function copyBytes(target: Uint8Array, offset: number, source: Uint8Array, start: number, end: number): void {
  if (end - start <= LOOP_COPY_BYTES_MAX) {
    for (let i = start; i < end; i++) target[offset++] = source[i];
  } else {
    target.set(start === 0 && end === source.length ? source : source.subarray(start, end), offset);
  }
}

/** `bytes[start, end)` as a string of code points below 256. For header text: short. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let at = start; at < end; at += 4_096) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, Math.min(end, at + 4_096)) as unknown as number[]);
  }
  return text;
}

/** Big-endian 32 bits at `offset`, unsigned. */
export function readUint32(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] << 24) | (bytes[offset + 1] << 16) | (bytes[offset + 2] << 8) | bytes[offset + 3]) >>> 0;
}

/** Writes 32 bits, big-endian, at `offset`. */
export function writeUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}
