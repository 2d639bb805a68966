import { KEY_CHUNK_MASK, KEY_CHUNK_SHIFT, KeyArena } from "../mvcc/key-arena.ts";

/** Bytes of the watched keys and range ends, in the arena that the key index uses: what is freed is used again. */
export class RangeKeys {
  readonly #arena = new KeyArena();
  /** The arena's chunks as bytes, and which chunks these are the bytes of: the arena replaces chunks of very long keys. */
  #views: Uint8Array[] = [];
  #viewed: Uint32Array[] = [];
  /** Set by {@link locate}: where the bytes lie. */
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;

  /** Keeps `first` and `second` behind each other; returns the address, which is below 2^32. */
  store(first: Uint8Array, second: Uint8Array): number {
    const words = wordsOf(first.length + second.length);
    const address = this.#arena.allocate(words);
    this.locate(address);
    this.bytes.set(first, this.at);
    this.bytes.set(second, this.at + first.length);
    return address;
  }

  free(address: number, length: number): void {
    this.#arena.free(address, wordsOf(length));
  }

  /** Gives the memory back: nothing is stored or found any more. */
  release(): void {
    for (const chunk of this.#arena.chunks) (chunk.buffer as ArrayBuffer).transfer(0);
  }

  locate(address: number): void {
    const index = address >>> KEY_CHUNK_SHIFT;
    const chunk = this.#arena.chunks[index];
    if (this.#viewed[index] !== chunk) {
      this.#viewed[index] = chunk;
      this.#views[index] = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    }
    this.bytes = this.#views[index];
    this.at = (address & KEY_CHUNK_MASK) * 4;
  }
}

function wordsOf(length: number): number {
  return Math.max(1, (length + 3) >>> 2);
}
