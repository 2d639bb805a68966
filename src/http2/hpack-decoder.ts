/** HPACK decoding (RFC 7541) of a connection's request header blocks. Hostile bytes give a result, never an exception. */
import { BlockCache } from "./block-cache.ts";
import { latin1 } from "./bytes.ts";
import { HeaderBlock } from "./header-block.ts";
import { FieldCache } from "./field-cache.ts";
import { parseTimeout } from "./grpc-timeout.ts";
import { FIELD_GRPC_TIMEOUT, HeaderField, TIMEOUT_PLACE } from "./header-field.ts";
import { STATIC_TABLE } from "./hpack-static-table.ts";
import { HpackTable } from "./hpack-table.ts";
import { huffmanDecode } from "./huffman.ts";
import { hashOf, ListCache } from "./list-cache.ts";
import type { CachedList } from "./list-cache.ts";
import {
  CACHED_LIST_BYTES_MAX,
  HEADER_BLOCK_BYTES_MAX,
  HEADER_LIST_BYTES_MAX,
  HEADER_TABLE_BYTES_MAX,
} from "./limits.ts";

/** Where Huffman strings are unpacked; shared, as decoding never yields. 8/5 is the most that a block expands. */
const scratch = new Uint8Array(Math.ceil((HEADER_BLOCK_BYTES_MAX * 8) / 5));

/** Larger than any index, length or size that can be right; keeps the arithmetic in 32 bits. */
const INTEGER_MAX = 0xfff_ffff;

export class HpackDecoder {
  /** Exposed for tests and metrics; only {@link decode} writes it. */
  readonly table = new HpackTable();
  readonly #blocks = new BlockCache();
  readonly #literals = new FieldCache();
  readonly #lists = new ListCache();
  /** The list decoded last: most clients call the same method again. */
  #last: CachedList = { hash: 0, fields: [], block: new HeaderBlock() };
  /** The fields of the block being decoded. */
  readonly #list: HeaderField[] = [];
  #timeout: HeaderField | null = null;
  #bytes: Uint8Array = scratch;
  #position = 0;
  #end = 0;
  #failed = false;
  /** Where {@link #stringBytes} left a string. */
  #text: Uint8Array = scratch;
  #textStart = 0;
  #textEnd = 0;

  /**
   * Decodes the whole block `bytes[start, end)` (borrowed). Null is a COMPRESSION_ERROR of the connection: the table can no
   * longer be trusted. A list beyond its limit is still decoded to its end, for the table's sake, and marked `tooLarge`.
   */
  decode(bytes: Uint8Array, start: number, end: number): HeaderBlock | null {
    const generation = this.table.generation;
    const known = this.#blocks.find(bytes, start, end, generation);
    if (known !== undefined) return known;
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
    this.#failed = false;
    this.#timeout = null;
    const block = this.#decodeFields();
    this.#bytes = this.#text = scratch;
    if (block === null) return null;
    block.grpcTimeout = this.#timeout;
    if (this.table.generation === generation) this.#blocks.store(bytes, start, end, generation, block);
    return block;
  }

  #decodeFields(): HeaderBlock | null {
    const list = this.#list;
    const last = this.#last.fields;
    let isLast = true;
    let count = 0;
    let listBytes = 0;
    let updatesAllowed = true;
    while (this.#position < this.#end) {
      const first = this.#bytes[this.#position];
      if ((first & 0xe0) === 0x20) {
        // Section 4.2: size updates stand at the beginning of a block only.
        if (!updatesAllowed || !this.#updateSize()) return null;
        continue;
      }
      updatesAllowed = false;
      let field = this.#field(first);
      if (field === undefined || this.#failed) return null;
      listBytes += field.bytes;
      if (listBytes > HEADER_LIST_BYTES_MAX) continue;
      if (field.kind === FIELD_GRPC_TIMEOUT) {
        this.#timeout ??= field;
        field = TIMEOUT_PLACE;
      }
      isLast = isLast && count < last.length && field === last[count];
      list[count++] = field;
    }
    list.length = count;
    // What is left of a list that was cut off may be one that is known.
    if (listBytes > HEADER_LIST_BYTES_MAX) return newBlock(list, true);
    if (isLast && count === last.length) return this.#last.block;
    return this.#blockOf(list, listBytes);
  }

  /** The block of a list other than the last one. */
  #blockOf(list: readonly HeaderField[], listBytes: number): HeaderBlock {
    const hash = hashOf(list);
    const known = this.#lists.find(hash, list);
    if (known !== undefined) {
      this.#last = known;
      return known.block;
    }
    const block = newBlock(list, false);
    if (listBytes <= CACHED_LIST_BYTES_MAX)
      this.#lists.store((this.#last = { hash, fields: list.slice(), block }));
    return block;
  }

  #field(first: number): HeaderField | undefined {
    if (first < 0x80) return this.#literal(first);
    if (first === 0xff) return this.#indexed(this.#integer(7));
    this.#position++;
    return this.#indexed(first & 0x7f);
  }

  #literal(first: number): HeaderField | undefined {
    const indexing = (first & 0x40) !== 0;
    const nameIndex = this.#integer(indexing ? 6 : 4);
    const named = nameIndex === 0 ? undefined : this.#indexed(nameIndex);
    if (this.#failed) return undefined;
    const field =
      named?.kind === FIELD_GRPC_TIMEOUT ? this.#timeoutField() : this.#literalField(named?.name ?? "");
    if (field !== undefined && indexing) this.table.insert(field);
    return field;
  }

  /** `knownName` is "" where the name is spelled out. */
  #literalField(knownName: string): HeaderField | undefined {
    const start = this.#position;
    if (knownName === "") this.#skipString();
    this.#skipString();
    const end = this.#position;
    if (this.#failed) return undefined;
    const known = this.#literals.find(knownName, this.#bytes, start, end);
    if (known !== undefined) return known;
    this.#position = start;
    const name = knownName === "" ? this.#string() : knownName;
    if (name === "grpc-timeout") return this.#timeoutField();
    const value = this.#string();
    if (name === undefined || value === undefined) return undefined;
    const field = HeaderField.of(name, value);
    this.#literals.store(knownName, this.#bytes, start, end, field);
    return field;
  }

  /** The value of a `grpc-timeout`, which is seldom seen twice. */
  #timeoutField(): HeaderField | undefined {
    if (!this.#stringBytes()) return undefined;
    return parseTimeout(this.#text, this.#textStart, this.#textEnd);
  }

  #skipString(): void {
    const length = this.#integer(7);
    if (length > this.#end - this.#position) this.#failed = true;
    else this.#position += length;
  }

  #indexed(index: number): HeaderField | undefined {
    const dynamic = index - STATIC_TABLE.length;
    const field = dynamic >= 0 ? this.table.at(dynamic) : index > 0 ? STATIC_TABLE[index] : undefined;
    if (field === undefined) this.#failed = true;
    return field;
  }

  /** False: larger than we allow. */
  #updateSize(): boolean {
    const size = this.#integer(5);
    if (this.#failed || size > HEADER_TABLE_BYTES_MAX) return false;
    this.table.resize(size);
    return true;
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

  #string(): string | undefined {
    return this.#stringBytes() ? latin1(this.#text, this.#textStart, this.#textEnd) : undefined;
  }

  /** Section 5.2. Leaves the string in `#text[#textStart, #textEnd)`. */
  #stringBytes(): boolean {
    const huffman = this.#position < this.#end && (this.#bytes[this.#position] & 0x80) !== 0;
    const length = this.#integer(7);
    const start = this.#position;
    if (this.#failed || length > this.#end - start) {
      this.#failed = true;
      return false;
    }
    this.#position = start + length;
    this.#text = huffman ? scratch : this.#bytes;
    this.#textStart = huffman ? 0 : start;
    this.#textEnd = huffman ? huffmanDecode(this.#bytes, start, start + length, scratch) : start + length;
    if (this.#textEnd < 0) this.#failed = true;
    return !this.#failed;
  }
}

function newBlock(list: readonly HeaderField[], tooLarge: boolean): HeaderBlock {
  const block = new HeaderBlock();
  for (const field of list) block.add(field);
  block.tooLarge = tooLarge;
  return block;
}
