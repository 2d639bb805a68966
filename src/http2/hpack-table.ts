/** HPACK's dynamic table (RFC 7541 section 2.3.2), the same for both directions: a ring of fields, newest first. */
import type { HeaderField } from "./header-field.ts";
import { HEADER_TABLE_BYTES_MAX } from "./limits.ts";

/** The smallest entry counts 32 bytes, so the ring cannot overflow. Power of two. */
const ENTRIES_MAX = HEADER_TABLE_BYTES_MAX / 32;

export class HpackTable {
  /** Entries now. */
  length = 0;
  /** Size of all entries. Invariant: bytes <= bytesMax <= HEADER_TABLE_BYTES_MAX. */
  bytes = 0;
  bytesMax = HEADER_TABLE_BYTES_MAX;
  /** Grows with every change: what was encoded or decoded under another generation may mean something else now. */
  generation = 0;
  readonly #ring: (HeaderField | undefined)[] = new Array<HeaderField | undefined>(ENTRIES_MAX).fill(
    undefined,
  );
  /** Insertions so far; the newest entry is at `#inserted - 1`. */
  #inserted = 0;

  /** Entry by age: 0 is the newest. Undefined beyond the end. */
  at(age: number): HeaderField | undefined {
    return age < this.length ? this.#ring[(this.#inserted - 1 - age) & (ENTRIES_MAX - 1)] : undefined;
  }

  /** Adds a field, evicting the oldest as needed; one larger than the table empties it (RFC 7541 section 4.4). */
  insert(field: HeaderField): void {
    this.generation++;
    this.#evictTo(this.bytesMax - field.bytes);
    if (field.bytes > this.bytesMax) return;
    this.#ring[this.#inserted++ & (ENTRIES_MAX - 1)] = field;
    this.length++;
    this.bytes += field.bytes;
  }

  /** Changes the size; `bytesMax` is at most HEADER_TABLE_BYTES_MAX. */
  resize(bytesMax: number): void {
    this.generation++;
    this.bytesMax = bytesMax;
    this.#evictTo(bytesMax);
  }

  #evictTo(bytes: number): void {
    while (this.length > 0 && this.bytes > bytes) {
      const slot = (this.#inserted - this.length) & (ENTRIES_MAX - 1);
      this.bytes -= this.#ring[slot]!.bytes;
      this.#ring[slot] = undefined;
      this.length--;
    }
  }
}
