/**
 * Key bytes laid out for comparing and hashing: whole little-endian 32-bit words, the last one padded with zeros. Keys in the
 * arena have the same layout, so that two keys are compared a word at a time. (All platforms Node runs on are little-endian.)
 */
export class Probe {
  words = new Uint32Array(64);
  bytes = new Uint8Array(this.words.buffer);
  /** Bytes of the key. */
  length = 0;
  hash = 0;

  /** Takes a copy of `source[start, end)`. */
  set(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length > this.bytes.length) this.#grow(length);
    const bytes = this.bytes;
    for (let at = 0; at < length; at++) bytes[at] = source[start + at];
    for (let at = length; (at & 3) !== 0; at++) bytes[at] = 0;
    this.length = length;
  }

  /** Takes a copy of a key of `length` bytes that lies at word `at` of `words`. */
  setWords(words: Uint32Array, at: number, length: number): void {
    if (length > this.bytes.length) this.#grow(length);
    const count = (length + 3) >>> 2;
    for (let index = 0; index < count; index++) this.words[index] = words[at + index];
    this.length = length;
  }

  /** Computes {@link hash}: MurmurHash3 of the words and the length, mixed with a seed that no client knows. */
  computeHash(seed: number): number {
    const words = this.words;
    const count = (this.length + 3) >>> 2;
    let hash = seed | 0;
    for (let index = 0; index < count; index++) {
      let word = Math.imul(words[index], 0xcc9e_2d51);
      word = (word << 15) | (word >>> 17);
      hash ^= Math.imul(word, 0x1b87_3593);
      hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe654_6b64) | 0;
    }
    hash ^= this.length;
    hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
    return (this.hash = (hash ^ (hash >>> 16)) >>> 0);
  }

  #grow(bytes: number): void {
    this.words = new Uint32Array(2 ** Math.ceil(Math.log2(bytes + 4)) / 4);
    this.bytes = new Uint8Array(this.words.buffer);
  }
}

/** Sign of `a - b` in byte order. */
export function compareProbes(a: Probe, b: Probe): number {
  const count = (Math.min(a.length, b.length) + 3) >>> 2;
  for (let index = 0; index < count; index++) {
    const x = a.words[index];
    const y = b.words[index];
    if (x !== y) return compareWords(x, y);
  }
  return a.length - b.length;
}

/** Sign of `x - y` as bytes in memory order; they differ. */
export function compareWords(x: number, y: number): number {
  const difference = x ^ y;
  // Lowest set bit -> the byte it is in -> the shift of that byte.
  const shift = (31 - Math.clz32(difference & -difference)) & 24;
  return ((x >>> shift) & 0xff) - ((y >>> shift) & 0xff);
}

/** Reverses the bytes of a word, so that numbers compare as bytes do. */
export function bigEndian(word: number): number {
  return (((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}

/** Whether `end` means "every key from the start on". An empty end that is not null means the same to etcd. */
export function isUnbounded(end: Uint8Array): boolean {
  return end.length === 0 || (end.length === 1 && end[0] === 0);
}
