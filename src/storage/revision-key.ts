/** Keys of bucket `key`: u64BE main, `_`, u64BE sub, and `t` behind a tombstone's. 17 or 18 bytes, as in etcd's own file. */

/** Length of the key of a put. */
export const REVISION_KEY_BYTES = 17;
/** Length of the key of a tombstone. */
export const TOMBSTONE_KEY_BYTES = 18;

const SEPARATOR = 0x5f; // "_"
const TOMBSTONE_MARK = 0x74; // "t"
const TWO_32 = 0x1_0000_0000;

/** Writes a key at `target[offset]`; returns its length. */
export function writeRevisionKey(
  target: Uint8Array,
  offset: number,
  main: number,
  sub: number,
  tombstone: boolean,
): number {
  writeUint64BE(target, offset, main);
  target[offset + 8] = SEPARATOR;
  writeUint64BE(target, offset + 9, sub);
  if (!tombstone) return REVISION_KEY_BYTES;
  target[offset + 17] = TOMBSTONE_MARK;
  return TOMBSTONE_KEY_BYTES;
}

/** The main revision of the key at `bytes[offset]`; exact below 2^53. */
export function readRevisionMain(bytes: Uint8Array, offset: number): number {
  return readUint64BE(bytes, offset);
}

/** The sub revision of the key at `bytes[offset]`. */
export function readRevisionSub(bytes: Uint8Array, offset: number): number {
  return readUint64BE(bytes, offset + 9);
}

/** Writes a number below 2^53 as u64BE. */
export function writeUint64BE(target: Uint8Array, offset: number, value: number): void {
  const high = (value / TWO_32) >>> 0;
  const low = value >>> 0;
  target[offset] = high >>> 24;
  target[offset + 1] = high >>> 16;
  target[offset + 2] = high >>> 8;
  target[offset + 3] = high;
  target[offset + 4] = low >>> 24;
  target[offset + 5] = low >>> 16;
  target[offset + 6] = low >>> 8;
  target[offset + 7] = low;
}

/** Reads a u64BE as a number; exact below 2^53. */
export function readUint64BE(bytes: Uint8Array, offset: number): number {
  const high =
    bytes[offset] * 0x1000000 + ((bytes[offset + 1] << 16) | (bytes[offset + 2] << 8) | bytes[offset + 3]);
  const low =
    bytes[offset + 4] * 0x1000000 +
    ((bytes[offset + 5] << 16) | (bytes[offset + 6] << 8) | bytes[offset + 7]);
  return high * TWO_32 + low;
}
