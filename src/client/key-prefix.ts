/** Ranges of all keys that begin with a prefix. */

/** The range end that stands for "no end". */
const NO_END = Uint8Array.of(0);

/** The first key behind all that begin with `prefix`, as the end of a range. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return NO_END;
  // A copy: of a Buffer, slice() would be a view.
  const end = Uint8Array.from(prefix.subarray(0, length));
  end[length - 1] = end[length - 1] + 1;
  return end;
}
