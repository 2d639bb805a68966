/** Up to this length a loop is faster than `set`, which needs a subarray object. Measured: they meet at about 24 bytes. */
const LOOP_BYTES_MAX = 24;

/** Copies `source[start, end)` to `target` at `at`; the two must not overlap. */
export function copyBytes(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): void {
  if (end - start > LOOP_BYTES_MAX) target.set(source.subarray(start, end), at);
  else while (start < end) target[at++] = source[start++];
}
