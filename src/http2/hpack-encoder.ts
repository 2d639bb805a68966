/**
 * HPACK encoding (RFC 7541) of response headers and trailers. Fields that repeat (status, content type) go into the dynamic
 * table, so an ordinary answer costs a byte a field; the caller says which. Blocks are built one at a time in {@link bytes}.
 */
import { assert } from "../base/assert.ts";
import { HeaderField } from "./header-field.ts";
import { STATIC_NAMES, STATIC_TABLE } from "./hpack-static-table.ts";
import { HpackTable } from "./hpack-table.ts";
import { huffmanBytes, huffmanEncode } from "./huffman.ts";
import { HEADER_TABLE_BYTES_MAX } from "./limits.ts";

const INITIAL_BYTES = 256;

export class HpackEncoder {
  readonly table = new HpackTable();
  /** The block so far: `bytes[0, length)`. Owned by the encoder, valid until the next {@link begin}. */
  bytes: Uint8Array = new Uint8Array(INITIAL_BYTES);
  length = 0;
  /** Smallest size the peer asked for since the last block, or -1; it must be announced (section 4.2). */
  #smallestSize = -1;
  #sizeChanged = false;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. Takes effect at the next block. */
  setTableBytesMax(bytesMax: number): void {
    const size = Math.min(bytesMax, HEADER_TABLE_BYTES_MAX);
    if (size === this.table.bytesMax) return;
    this.#smallestSize = this.#sizeChanged ? Math.min(this.#smallestSize, size) : size;
    this.#sizeChanged = true;
    this.table.resize(size);
  }

  /** True if the next block would begin with a size update: then nothing encoded earlier may be repeated. */
  get sizeUpdatePending(): boolean {
    return this.#sizeChanged;
  }

  /** Starts a block. Each block that was begun must be sent, in order, or the peer's table differs from ours. */
  begin(): void {
    this.length = 0;
    if (!this.#sizeChanged) return;
    if (this.#smallestSize < this.table.bytesMax) this.#integer(0x20, 5, this.#smallestSize);
    this.#integer(0x20, 5, this.table.bytesMax);
    this.#sizeChanged = false;
  }

  /** Appends a field whose text holds code points below 256. `indexed` puts it into the dynamic table for later blocks. */
  add(name: string, value: string, indexed: boolean): void {
    const known = this.#find(name, value);
    if (known > 0) {
      this.#integer(0x80, 7, known);
      return;
    }
    const field = indexed ? HeaderField.of(name, value) : undefined;
    const insert = field !== undefined && field.bytes <= this.table.bytesMax;
    const nameIndex = STATIC_NAMES.get(name) ?? 0;
    if (insert) this.#integer(0x40, 6, nameIndex);
    else this.#integer(0x00, 4, nameIndex);
    // Huffman only for what is sent once and then repeated by index: packing an error's text costs more than its bytes.
    if (nameIndex === 0) this.#string(name, insert);
    this.#string(value, insert);
    if (insert) this.table.insert(field);
  }

  /** Index of the whole field in either table, or 0. */
  #find(name: string, value: string): number {
    for (let i = STATIC_NAMES.get(name) ?? STATIC_TABLE.length; i < STATIC_TABLE.length; i++) {
      const field = STATIC_TABLE[i];
      if (field.name !== name) break;
      if (field.value === value) return i;
    }
    for (let age = 0; age < this.table.length; age++) {
      const field = this.table.at(age)!;
      if (field.value === value && field.name === name) return STATIC_TABLE.length + age;
    }
    return 0;
  }

  #integer(pattern: number, prefixBits: number, value: number): void {
    this.#reserve(6);
    const mask = (1 << prefixBits) - 1;
    if (value < mask) {
      this.bytes[this.length++] = pattern | value;
      return;
    }
    this.bytes[this.length++] = pattern | mask;
    for (value -= mask; value >= 0x80; value >>>= 7) this.bytes[this.length++] = (value & 0x7f) | 0x80;
    this.bytes[this.length++] = value;
  }

  #string(text: string, pack: boolean): void {
    const packed = pack ? huffmanBytes(text) : text.length;
    this.#reserve(6 + text.length);
    if (packed < text.length) {
      this.#integer(0x80, 7, packed);
      this.length = huffmanEncode(text, this.bytes, this.length);
    } else {
      this.#integer(0x00, 7, text.length);
      for (let i = 0; i < text.length; i++) this.bytes[this.length++] = text.charCodeAt(i);
    }
  }

  #reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + more));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    assert(this.length + more <= this.bytes.length, "encoder scratch grew");
  }
}
