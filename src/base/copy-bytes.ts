// Up to here a loop beats TypedArray.set, which needs a subarray object (measured on Node 24: equal at about 100 bytes).
const LOOP_BYTES_MAX = 96;

/** Copies `source[start, end)` to `target` at `offset`. The two must not overlap. */
export function copyBytes(target: Uint8Array, offset: number, source: Uint8Array, start: number, end: number): void {
  if (end - start > LOOP_BYTES_MAX) {
    target.set(source.subarray(start, end), offset);
    return;
  }
  for (let at = start; at < end; at++) target[offset++] = source[at];
}
