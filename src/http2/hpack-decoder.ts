/** HPACK decoding (RFC 7541) of a connection's request header blocks. Hostile bytes give a result, never an exception. */
import { BlockCache } from "./block-cache.ts";
import { latin1 } from "./bytes.ts";
import { HeaderBlock } from "./header-block.ts";
import { HeaderField } from "./header-field.ts";
import { STATIC_TABLE } from "./hpack-static-table.ts";
import { HpackTable } from "./hpack-table.ts";
import { huffmanDecode } from "./huffman.ts";
import { HEADER_BLOCK_BYTES_MAX, HEADER_TABLE_BYTES_MAX } from "./limits.ts";

/** Where Huffman strings are unpacked; shared, as decoding never yields. 8/5 is the most that a block expands. */
const scratch = new Uint8Array(Math.ceil((HEADER_BLOCK_BYTES_MAX * 8) / 5));

/** Larger than any index, length or size that can be right; keeps the arithmetic in 32 bits. */
const INTEGER_MAX = 0xfff_ffff;

export class HpackDecoder {
  /** Exposed for tests and metrics; only {@link decode} writes it. */
  readonly table = new HpackTable();
  readonly #cache = new BlockCache();
  #bytes: Uint8Array = scratch;
  #position = 0;
  #end = 0;
  #failed = false;

  /**
   * Decodes the whole block `bytes[start, end)` (borrowed). Null is a COMPRESSION_ERROR of the connection: the table can no
   * longer be trusted. A list beyond its limit is still decoded to its end, for the table's sake, and marked `tooLarge`.
   */
  decode(bytes: Uint8Array, start: number, end: number): HeaderBlock | null {
    const generation = this.table.generation;
    const known = this.#cache.find(bytes, start, end, generation);
    if (known !== undefined) return known;
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
    this.#failed = false;
    const block = this.#decodeFields();
    this.#bytes = scratch;
    if (this.#failed) return null;
    if (this.table.generation === generation) this.#cache.store(bytes, start, end, generation, block);
    return block;
  }

  #decodeFields(): HeaderBlock {
    const block = new HeaderBlock();
    let updatesAllowed = true;
    while (this.#position < this.#end && !this.#failed) {
      const first = this.#bytes[this.#position];
      if ((first & 0xe0) === 0x20) {
        // Section 4.2: size updates stand at the beginning of a block only.
        if (!updatesAllowed) this.#failed = true;
        this.#updateSize();
        continue;
      }
      updatesAllowed = false;
      const field = (first & 0x80) !== 0 ? this.#indexed(this.#integer(7)) : this.#literal(first);
      if (field !== undefined) block.add(field);
    }
    return block;
  }

  #literal(first: number): HeaderField | undefined {
    const indexing = (first & 0x40) !== 0;
    const nameIndex = this.#integer(indexing ? 6 : 4);
    const name = nameIndex === 0 ? this.#string() : this.#indexed(nameIndex)?.name;
    const value = this.#string();
    if (name === undefined || value === undefined || this.#failed) return undefined;
    const field = new HeaderField(name, value);
    if (indexing) this.table.insert(field);
    return field;
  }

  #indexed(index: number): HeaderField | undefined {
    const dynamic = index - STATIC_TABLE.length;
    const field = dynamic >= 0 ? this.table.at(dynamic) : index > 0 ? STATIC_TABLE[index] : undefined;
    if (field === undefined) this.#failed = true;
    return field;
  }

  #updateSize(): void {
    const size = this.#integer(5);
    if (size > HEADER_TABLE_BYTES_MAX) this.#failed = true;
    else this.table.resize(size);
  }

  /** Section 5.1. Fails on what exceeds INTEGER_MAX or the block. */
  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    if (this.#position >= this.#end) {
      this.#failed = true;
      return 0;
    }
    let value = this.#bytes[this.#position++] & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21 && this.#position < this.#end; shift += 7) {
      const byte = this.#bytes[this.#position++];
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (value > INTEGER_MAX) break;
        return value;
      }
    }
    this.#failed = true;
    return 0;
  }

  /** Section 5.2. */
  #string(): string | undefined {
    const huffman = this.#position < this.#end && (this.#bytes[this.#position] & 0x80) !== 0;
    const length = this.#integer(7);
    const start = this.#position;
    if (this.#failed || length > this.#end - start) {
      this.#failed = true;
      return undefined;
    }
    this.#position = start + length;
    if (!huffman) return latin1(this.#bytes, start, start + length);
    const decoded = huffmanDecode(this.#bytes, start, start + length, scratch);
    if (decoded < 0) {
      this.#failed = true;
      return undefined;
    }
    return latin1(scratch, 0, decoded);
  }
}
