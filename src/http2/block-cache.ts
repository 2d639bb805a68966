/**
 * Header blocks by their encoded bytes. Clients repeat themselves: once its dynamic table has settled, a client that calls one method sends
 * the same few bytes each time. An entry holds only while the table's generation is the one it was decoded under.
 */
import type { HeaderBlock } from "./header-block.ts";
import type { HeaderField } from "./header-field.ts";
import { CACHED_BLOCK_BYTES_MAX, CACHED_BLOCKS_MAX } from "./limits.ts";

interface Entry {
  readonly bytes: Uint8Array;
  readonly generation: number;
  readonly block: HeaderBlock;
  /** The block's, which others with the same fields replace. */
  readonly timeout: HeaderField | null;
}

export class BlockCache {
  /** Direct-mapped by {@link slotOf}. */
  readonly #entries: (Entry | undefined)[] = new Array<Entry | undefined>(CACHED_BLOCKS_MAX).fill(undefined);

  find(bytes: Uint8Array, start: number, end: number, generation: number): HeaderBlock | undefined {
    const length = end - start;
    if (length > CACHED_BLOCK_BYTES_MAX || length === 0) return undefined;
    const entry = this.#entries[slotOf(bytes, start, end)];
    if (entry === undefined || entry.generation !== generation || entry.bytes.length !== length)
      return undefined;
    const known = entry.bytes;
    for (let i = 0; i < length; i++) if (known[i] !== bytes[start + i]) return undefined;
    entry.block.grpcTimeout = entry.timeout;
    return entry.block;
  }

  store(bytes: Uint8Array, start: number, end: number, generation: number, block: HeaderBlock): void {
    if (end - start > CACHED_BLOCK_BYTES_MAX || end === start) return;
    this.#entries[slotOf(bytes, start, end)] = {
      bytes: bytes.slice(start, end),
      generation,
      block,
      timeout: block.grpcTimeout,
    };
  }
}

/** Mixes the length with the last bytes: the path or the timeout usually stands late in the block. */
function slotOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  for (let i = Math.max(start, end - 8); i < end; i++) hash = (Math.imul(hash, 31) + bytes[i]) | 0;
  return (hash ^ (hash >>> 7)) & (CACHED_BLOCKS_MAX - 1);
}
