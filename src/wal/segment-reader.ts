import { crc32c } from "../base/crc32c.ts";
import { WireReader } from "../proto/wire.ts";
import type { WalFile } from "./wal-file-system.ts";
import { FRAME_HEADER_BYTES, WalRecordType, paddingBytes } from "./wal-format.ts";

const WINDOW_BYTES = 1024 * 1024;
const ZEROS = new Uint8Array(WINDOW_BYTES);

/** What {@link SegmentReader.next} found. */
export const ReadOutcome = {
  record: 0,
  /** Preallocated zeros or the end of the file. */
  end: 1,
  /** Something that is no valid record; {@link SegmentReader.problem} says what. Nothing was consumed. */
  damaged: 2,
} as const;

/** A frame's structure, whatever its checksum. Filled by {@link parseFrame}. */
export interface Frame {
  type: number;
  crc: number;
  dataStart: number;
  dataEnd: number;
  /** Offset behind the padding. */
  end: number;
}

const wire = new WireReader();

/**
 * Takes apart the frame at `bytes[at, end)`. False if it is incomplete, or if its length field, its record and its padding
 * contradict each other.
 */
export function parseFrame(bytes: Uint8Array, at: number, end: number, frame: Frame): boolean {
  const recordBytes = frameRecordBytes(bytes, at);
  if (recordBytes <= 0 || bytes[at + 7] !== paddingByte(recordBytes)) return false;
  const start = at + FRAME_HEADER_BYTES;
  const recordEnd = start + recordBytes;
  frame.end = recordEnd + paddingBytes(recordBytes);
  if (frame.end > end) return false;
  return parseRecordHeader(bytes, start, recordEnd, recordEnd, frame);
}

/** Reads `08 type 10 crc [1a length]`; `available` is where known bytes end, `recordEnd` where the record must end. */
function parseRecordHeader(
  bytes: Uint8Array,
  start: number,
  recordEnd: number,
  available: number,
  frame: Frame,
): boolean {
  wire.reset(bytes, start, available);
  if (wire.tag() !== 0x08) return false;
  frame.type = wire.uint32();
  if (wire.tag() !== 0x10) return false;
  frame.crc = wire.uint32();
  frame.dataStart = frame.dataEnd = wire.position;
  if (wire.failed) return false;
  if (wire.position === recordEnd) return true;
  if (wire.tag() !== 0x1a) return false;
  const length = wire.uint32();
  frame.dataStart = wire.position;
  frame.dataEnd = wire.position + length;
  return !wire.failed && frame.dataEnd === recordEnd;
}

/** Record length of the frame at `at`: its low 56 bits. */
function frameRecordBytes(bytes: Uint8Array, at: number): number {
  const low = (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
  const high = bytes[at + 4] | (bytes[at + 5] << 8) | (bytes[at + 6] << 16);
  return high * 0x1_0000_0000 + low;
}

function paddingByte(recordBytes: number): number {
  const padding = paddingBytes(recordBytes % 8);
  return padding === 0 ? 0 : 0x80 | padding;
}

/** Reads the records of one segment in order through a window of memory, and checks every checksum. Blocks; for start-up. */
export class SegmentReader {
  readonly file: WalFile;
  readonly fileBytes: number;
  /** Running CRC behind the last good record. */
  crc: number;
  /** File offset of the next frame: the end of the last good record. */
  offset = 0;
  /** Why the last {@link next} answered `damaged`. */
  problem = "";
  /** The last record: its data is `bytes[record.dataStart, record.dataEnd)`, borrowed until the next call. */
  readonly record: Frame = { type: 0, crc: 0, dataStart: 0, dataEnd: 0, end: 0 };
  bytes: Uint8Array;
  #windowStart = 0;
  #windowEnd = 0;

  constructor(file: WalFile, crc: number) {
    this.file = file;
    this.fileBytes = file.size();
    this.bytes = new Uint8Array(Math.min(WINDOW_BYTES, this.fileBytes));
    this.crc = crc;
  }

  /** Reads one record into {@link record}; returns a {@link ReadOutcome}. */
  next(): number {
    const left = this.fileBytes - this.offset;
    if (left === 0) return ReadOutcome.end;
    if (left < FRAME_HEADER_BYTES) return this.#damaged("length field cut off");
    let at = this.load(this.offset, FRAME_HEADER_BYTES);
    const recordBytes = frameRecordBytes(this.bytes, at);
    if (recordBytes === 0 && this.bytes[at + 7] === 0) return ReadOutcome.end;
    const frameBytes = FRAME_HEADER_BYTES + recordBytes + paddingBytes(recordBytes % 8);
    if (frameBytes > left) return this.#damaged("record reaches beyond the end of the file");
    at = this.load(this.offset, frameBytes);
    const record = this.record;
    if (!parseFrame(this.bytes, at, at + frameBytes, record)) return this.#damaged("malformed record");
    const crc = crc32c(this.crc, this.bytes, record.dataStart, record.dataEnd);
    if (record.type === WalRecordType.crc) {
      if (this.crc !== 0 && record.crc !== this.crc) return this.#damaged("checksum chain broken");
    } else if (record.crc !== crc) return this.#damaged("checksum mismatch");
    this.crc = record.crc;
    this.offset += frameBytes;
    return ReadOutcome.record;
  }

  /**
   * True if the known bytes of the frame at {@link offset}, of which a part lies beyond the end of the file, contradict its
   * length field: then that field is wrong, and the file was not merely cut short.
   */
  lengthIsContradicted(): boolean {
    const available = Math.min(this.fileBytes - this.offset, 64);
    // Too little is left to hold the whole of the record's beginning.
    if (available < FRAME_HEADER_BYTES + 32) return false;
    const at = this.load(this.offset, available);
    const recordBytes = frameRecordBytes(this.bytes, at);
    if (this.bytes[at + 7] !== paddingByte(recordBytes)) return true;
    const start = at + FRAME_HEADER_BYTES;
    const frame: Frame = { type: 0, crc: 0, dataStart: 0, dataEnd: 0, end: 0 };
    return !parseRecordHeader(this.bytes, start, start + recordBytes, at + available, frame);
  }

  /** End of the frame at {@link offset}, as far as it lies in the file. */
  damagedFrameEnd(): number {
    if (this.fileBytes - this.offset < FRAME_HEADER_BYTES) return this.fileBytes;
    const recordBytes = frameRecordBytes(this.bytes, this.load(this.offset, FRAME_HEADER_BYTES));
    return Math.min(
      this.fileBytes,
      this.offset + FRAME_HEADER_BYTES + recordBytes + paddingBytes(recordBytes % 8),
    );
  }

  /** True if every byte of the file in [from, to) is zero. */
  isZero(from: number, to: number): boolean {
    while (from < to) {
      const length = Math.min(WINDOW_BYTES, to - from);
      const at = this.load(from, length);
      if (Buffer.compare(this.bytes.subarray(at, at + length), ZEROS.subarray(0, length)) !== 0) return false;
      from += length;
    }
    return true;
  }

  /** Makes the file's [position, position + length) available; returns where it begins in {@link bytes}. */
  load(position: number, length: number): number {
    if (position >= this.#windowStart && position + length <= this.#windowEnd)
      return position - this.#windowStart;
    this.#moveWindow(position, length);
    const wanted = Math.min(this.bytes.length, this.fileBytes - position);
    let filled = this.#windowEnd - position;
    while (filled < wanted) {
      const read = this.file.read(this.bytes, filled, wanted - filled, position + filled);
      if (read === 0) throw new Error(`${this.file.path} became shorter while it was read`);
      filled += read;
    }
    this.#windowEnd = position + filled;
    return 0;
  }

  /** Lets the window begin at `position` with room for `length`; keeps what it holds from there on. */
  #moveWindow(position: number, length: number): void {
    const keep = position >= this.#windowStart && position < this.#windowEnd;
    const keptFrom = position - this.#windowStart;
    const keptTo = this.#windowEnd - this.#windowStart;
    if (length > this.bytes.length) {
      const grown = new Uint8Array(Math.max(length, this.bytes.length * 2));
      if (keep) grown.set(this.bytes.subarray(keptFrom, keptTo));
      this.bytes = grown;
    } else if (keep) this.bytes.copyWithin(0, keptFrom, keptTo);
    this.#windowStart = position;
    if (!keep) this.#windowEnd = position;
  }

  #damaged(problem: string): number {
    this.problem = problem;
    return ReadOutcome.damaged;
  }
}
