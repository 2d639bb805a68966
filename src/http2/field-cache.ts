/**
 * Literal header fields by their encoded bytes, so that a field which comes again as a literal is the same object: clients on nghttp2
 * never index `:path`, and those on grpc-go index everything, evict what they use with their ever new timeouts, and send it again.
 */
import type { HeaderField } from "./header-field.ts";
import { CACHED_FIELD_BYTES_MAX, CACHED_FIELDS_MAX } from "./limits.ts";

interface Entry {
  /** Name from a table, or "" where the bytes begin with the name itself. */
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly field: HeaderField;
}

export class FieldCache {
  /** Direct-mapped by {@link slotOf}. */
  readonly #entries: (Entry | undefined)[] = new Array<Entry | undefined>(CACHED_FIELDS_MAX).fill(undefined);

  /** The field encoded as `name` from a table and `bytes[start, end)`. */
  find(name: string, bytes: Uint8Array, start: number, end: number): HeaderField | undefined {
    const length = end - start;
    if (length > CACHED_FIELD_BYTES_MAX) return undefined;
    const entry = this.#entries[slotOf(name, bytes, start, end)];
    if (entry === undefined || entry.bytes.length !== length || entry.name !== name) return undefined;
    const known = entry.bytes;
    for (let i = 0; i < length; i++) if (known[i] !== bytes[start + i]) return undefined;
    return entry.field;
  }

  store(name: string, bytes: Uint8Array, start: number, end: number, field: HeaderField): void {
    if (end - start > CACHED_FIELD_BYTES_MAX) return;
    this.#entries[slotOf(name, bytes, start, end)] = { name, bytes: bytes.slice(start, end), field };
  }
}

function slotOf(name: string, bytes: Uint8Array, start: number, end: number): number {
  let hash = (name.length << 8) ^ (end - start);
  for (let i = Math.max(start, end - 8); i < end; i++) hash = (Math.imul(hash, 31) + bytes[i]) | 0;
  return (hash ^ (hash >>> 7)) & (CACHED_FIELDS_MAX - 1);
}
