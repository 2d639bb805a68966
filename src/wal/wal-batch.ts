/**
 * The records of one flush, encoded in place: frames, records and entry headers are written around the entry's data, and a
 * table of numbers says where each entry lies. No object an entry. After the flush the same memory serves as the log in
 * memory, until the entries have been handed on.
 */

import { assert } from "../base/assert.ts";
import { copyBytes } from "../base/copy-bytes.ts";
import { crc32c } from "../base/crc32c.ts";
import { writeVarint } from "../proto/wire.ts";
import type { EntryBatch } from "../raft/raft.ts";
import {
  FRAME_HEADER_BYTES,
  RECORD_OVERHEAD_BYTES_MAX,
  WalRecordType,
  paddingBytes,
  recordBytes,
  writeEntryHeader,
  writeFrameHeader,
} from "./wal-format.ts";

/** Buffers begin at this size and double as they fill. */
const BATCH_BYTES_INITIAL = 256 * 1024;
/** A buffer that grew beyond this is not kept for the next batch. */
const BATCH_BYTES_KEPT_MAX = 8 * 1024 * 1024;
/** Length fields are written as 32 bits, and Buffer writes of 2 GiB and more fail. */
const BATCH_BYTES_LIMIT = 1024 * 1024 * 1024;
const ENTRIES_INITIAL = 1024;
/** Words an entry in the table: data start, data end. */
const TABLE_STRIDE = 2;

export class WalBatch implements EntryBatch {
  bytes = new Uint8Array(BATCH_BYTES_INITIAL);
  /** Bytes of {@link bytes} that are filled. */
  usedBytes = 0;
  firstIndex = 0;
  count = 0;
  /** True if this batch holds the records that open a new segment, at its beginning. */
  opensSegment = false;
  /** Bytes of those records. */
  headBytes = 0;
  /** First entry index of that segment, for its name. */
  segmentFirstIndex = 0;
  /** True if it holds something that must be durable: entries, term, vote or a snapshot marker; a commit index alone does not. */
  mustSync = false;
  /** Index of the newest snapshot marker in it, 0 = none. */
  snapshotIndex = 0;

  #table = new Uint32Array(ENTRIES_INITIAL * TABLE_STRIDE);
  #terms = new Float64Array(ENTRIES_INITIAL);
  #types = new Uint8Array(ENTRIES_INITIAL);
  readonly #header = new Uint8Array(48);

  /** Empties the batch for its next use. */
  reset(): void {
    if (this.bytes.length > BATCH_BYTES_KEPT_MAX) this.bytes = new Uint8Array(BATCH_BYTES_INITIAL);
    this.usedBytes = 0;
    this.firstIndex = 0;
    this.count = 0;
    this.opensSegment = false;
    this.headBytes = 0;
    this.mustSync = false;
    this.snapshotIndex = 0;
  }

  /** Empties the batch but for the records that open a segment: what has gathered is void. */
  rewind(): void {
    this.usedBytes = this.headBytes;
    this.count = 0;
    this.mustSync = false;
    this.snapshotIndex = 0;
  }

  get lastIndex(): number {
    return this.firstIndex + this.count - 1;
  }

  term(i: number): number {
    return this.#terms[i];
  }

  type(i: number): number {
    return this.#types[i];
  }

  dataStart(i: number): number {
    return this.#table[i * TABLE_STRIDE];
  }

  dataEnd(i: number): number {
    return this.#table[i * TABLE_STRIDE + 1];
  }

  /** Appends an entry record; its data `source[start, end)` is copied once. Returns the running CRC behind it. */
  appendEntry(
    crc: number,
    type: number,
    term: number,
    index: number,
    source: Uint8Array,
    start: number,
    end: number,
  ): number {
    const length = end - start;
    const header = this.#header;
    const headerBytes = writeEntryHeader(header, 0, type, term, index, length);
    crc = crc32c(crc32c(crc, header, 0, headerBytes), source, start, end);
    let at = this.#beginRecord(WalRecordType.entry, crc, headerBytes + length);
    const target = this.bytes;
    for (let i = 0; i < headerBytes; i++) target[at++] = header[i];
    copyBytes(source, start, end, target, at);
    this.#note(type, term, index, at, at + length);
    this.#endRecord(at + length);
    this.mustSync = true;
    return crc;
  }

  /** Keeps an entry that was read back at start-up: its data alone, copied, without a record around it. */
  keepEntry(type: number, term: number, index: number, source: Uint8Array, start: number, end: number): void {
    this.#ensure(end - start);
    const at = this.usedBytes;
    copyBytes(source, start, end, this.bytes, at);
    this.usedBytes += end - start;
    this.#note(type, term, index, at, this.usedBytes);
  }

  /** Forgets the entries from `index` on; their bytes stay. */
  truncate(index: number): void {
    if (index <= this.lastIndex) this.count = Math.max(0, index - this.firstIndex);
  }

  /** Appends any other record with data. Returns the running CRC behind it. */
  appendRecord(crc: number, type: number, data: Uint8Array): number {
    crc = crc32c(crc, data, 0, data.length);
    const at = this.#beginRecord(type, crc, data.length);
    this.bytes.set(data, at);
    this.#endRecord(at + data.length);
    return crc;
  }

  /** Appends the record that opens a segment: the running CRC itself, no data. */
  appendCrc(crc: number): void {
    this.#ensure(FRAME_HEADER_BYTES + RECORD_OVERHEAD_BYTES_MAX);
    const start = this.usedBytes;
    this.bytes[start + FRAME_HEADER_BYTES] = 0x08;
    this.bytes[start + FRAME_HEADER_BYTES + 1] = WalRecordType.crc;
    this.bytes[start + FRAME_HEADER_BYTES + 2] = 0x10;
    const end = writeVarint(this.bytes, start + FRAME_HEADER_BYTES + 3, crc);
    writeFrameHeader(this.bytes, start, end - start - FRAME_HEADER_BYTES);
    this.#endRecord(end);
  }

  /** Makes room and writes everything of a record before its data; returns the offset of the data. */
  #beginRecord(type: number, crc: number, dataBytes: number): number {
    this.#ensure(dataBytes + RECORD_OVERHEAD_BYTES_MAX + 8);
    const target = this.bytes;
    let at = writeFrameHeader(target, this.usedBytes, recordBytes(crc, dataBytes));
    target[at] = 0x08;
    target[at + 1] = type;
    target[at + 2] = 0x10;
    at = writeVarint(target, at + 3, crc);
    target[at] = 0x1a;
    return writeVarint(target, at + 1, dataBytes);
  }

  /** Pads the record that ends at `end` with zeros; frames are aligned to 8 bytes. */
  #endRecord(end: number): void {
    const aligned = end + paddingBytes(end - this.usedBytes);
    while (end < aligned) this.bytes[end++] = 0;
    this.usedBytes = aligned;
  }

  /** Enters an entry into the table. An index that is there already replaces it and what follows, as on disk. */
  #note(type: number, term: number, index: number, start: number, end: number): void {
    if (this.count === 0 || index < this.firstIndex) {
      this.firstIndex = index;
      this.count = 0;
    } else if (index < this.firstIndex + this.count) this.count = index - this.firstIndex;
    assert(
      index === this.firstIndex + this.count,
      "entry indexes must be consecutive",
      index,
      this.lastIndex,
    );
    if (this.count === this.#types.length) this.#growTable();
    const i = this.count++;
    this.#types[i] = type;
    this.#terms[i] = term;
    this.#table[i * TABLE_STRIDE] = start;
    this.#table[i * TABLE_STRIDE + 1] = end;
  }

  #ensure(more: number): void {
    const needed = this.usedBytes + more;
    if (needed <= this.bytes.length) return;
    assert(needed <= BATCH_BYTES_LIMIT, "batch too large", needed, BATCH_BYTES_LIMIT);
    let length = this.bytes.length;
    while (length < needed) length *= 2;
    const grown = new Uint8Array(length);
    grown.set(this.bytes.subarray(0, this.usedBytes));
    this.bytes = grown;
  }

  #growTable(): void {
    const table = new Uint32Array(this.#table.length * 2);
    table.set(this.#table);
    this.#table = table;
    const terms = new Float64Array(this.#terms.length * 2);
    terms.set(this.#terms);
    this.#terms = terms;
    const types = new Uint8Array(this.#types.length * 2);
    types.set(this.#types);
    this.#types = types;
  }
}
