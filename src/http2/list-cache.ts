/**
 * Header blocks by the list of their fields. grpc-go clients put a new timeout into the dynamic table with every call, so that no two
 * of their blocks have the same bytes; but their fields are the same objects, all but the timeout, and so is the block then.
 */
import type { HeaderBlock } from "./header-block.ts";
import type { HeaderField } from "./header-field.ts";
import { CACHED_LISTS_MAX } from "./limits.ts";

/** A block and what it was made of, with {@link hashOf} that. */
export interface CachedList {
  readonly hash: number;
  readonly fields: readonly HeaderField[];
  readonly block: HeaderBlock;
}

export class ListCache {
  /** Direct-mapped by {@link slotOf}. */
  readonly #entries: (CachedList | undefined)[] = new Array<CachedList | undefined>(CACHED_LISTS_MAX).fill(
    undefined,
  );

  /** The entry of exactly these fields. */
  find(hash: number, fields: readonly HeaderField[]): CachedList | undefined {
    const entry = this.#entries[slotOf(hash)];
    if (entry === undefined || entry.hash !== hash || entry.fields.length !== fields.length) return undefined;
    for (let i = 0; i < fields.length; i++) if (entry.fields[i] !== fields[i]) return undefined;
    return entry;
  }

  store(entry: CachedList): void {
    this.#entries[slotOf(entry.hash)] = entry;
  }
}

/** A hash of which objects these are, in this order. */
export function hashOf(fields: readonly HeaderField[]): number {
  let hash = 0;
  for (const field of fields) hash = (Math.imul(hash, 31) + field.id) | 0;
  return hash;
}

function slotOf(hash: number): number {
  return (hash ^ (hash >>> 9)) & (CACHED_LISTS_MAX - 1);
}
