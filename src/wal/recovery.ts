/**
 * Reading a WAL back at start-up. First everything is read and judged; only then is anything changed, and only the last
 * segment's torn tail: copied to `<name>.broken`, then cut off. Every other finding is an error, with all files as they were.
 */

import * as path from "node:path";
import type { EntryBatch, HardState } from "../raft/raft.ts";
import { WireReader } from "../proto/wire.ts";
import { findDurableIndexBehind, looksTorn } from "./damage.ts";
import { type Segment, listSegments } from "./segments.ts";
import { ReadOutcome, SegmentReader } from "./segment-reader.ts";
import { WalBatch } from "./wal-batch.ts";
import { WalError } from "./wal-error.ts";
import type { WalFileSystem } from "./wal-file-system.ts";
import {
  WalRecordType,
  decodeHardState,
  decodeMetadata,
  decodeSnapshotMarker,
  segmentName,
} from "./wal-format.ts";
import type { SnapshotMarker, WalMetadata } from "./wal-format.ts";

/** Data of read entries lies in pieces of about this size. */
const KEPT_BATCH_BYTES = 4 * 1024 * 1024;
const COPY_BYTES = 1024 * 1024;
/** Most bytes of entries up to `afterIndex` that are kept, whatever was asked for. */
const KEPT_BEFORE_BYTES_MAX = 64 * 1024 * 1024;

/** What the WAL holds behind the index that was asked for. */
export interface WalContents {
  readonly metadata: WalMetadata;
  /** The last one written; its commit index may lag behind. */
  readonly hardState: HardState;
  /**
   * Entries with an index above `afterIndex`, consecutive, at most one batch an index. With `keptBefore`, those right before it come
   * first, as far as they were there.
   */
  readonly entries: readonly EntryBatch[];
  /** Index of the last entry (or of a later snapshot marker), 0 if there is none. */
  readonly lastIndex: number;
  /** Term of the entry at `afterIndex`, 0 if the segments that were read do not hold it. */
  readonly afterTerm: number;
  /** All snapshot markers that were read, in order. */
  readonly snapshots: readonly SnapshotMarker[];
  /** Description of the torn tail that was cut off, or null. */
  readonly repaired: string | null;
}

/** Where writing goes on. */
export interface WalTail {
  readonly segments: Segment[];
  readonly offset: number;
  readonly crc: number;
  readonly metadataBytes: Uint8Array;
  /** Bytes behind `offset` are not all zero and must be cut off, after a copy. */
  readonly torn: boolean;
  readonly fileBytes: number;
}

/**
 * Reads everything needed to go on from `afterIndex`; changes nothing. Throws {@link WalError}.
 * @param keptBefore entries at and before `afterIndex` that are wanted too, if they are still there
 */
export function readWal(
  fileSystem: WalFileSystem,
  directory: string,
  afterIndex: number,
  keptBefore = 0,
): { contents: WalContents; tail: WalTail } {
  const all = listSegments(fileSystem, directory);
  const keptAfter = Math.max(0, afterIndex - keptBefore);
  // What is wanted beyond need may be missing: then reading begins with the oldest segment.
  const oldest = Math.min(afterIndex, all[0]?.firstIndex ?? 0);
  const segments = selectSegments(all, directory, Math.max(keptAfter, oldest));
  const log = new LogReader(afterIndex, keptAfter);
  for (const [at, segment] of segments.read.entries()) {
    log.readSegment(fileSystem, segment, segments.read[at + 1] === undefined);
  }
  return log.finish(segments.all);
}

/**
 * Segments from the last one that begins at or below `afterIndex`. All that are there must be consecutive, also those that are
 * not read: segments are deleted from the oldest on, so a gap anywhere means that somebody else has taken one away.
 */
function selectSegments(
  all: Segment[],
  directory: string,
  afterIndex: number,
): { all: Segment[]; read: Segment[] } {
  if (all.length === 0) throw new WalError("no segment found", directory);
  const start = all.findLastIndex((segment) => segment.firstIndex <= afterIndex);
  if (start < 0) {
    const first = all[0];
    throw new WalError(
      `entries ${afterIndex + 1} to ${first.firstIndex - 1} are missing before the first segment`,
      first.path,
    );
  }
  for (let at = 1; at < all.length; at++) {
    const previous = all[at - 1];
    const segment = all[at];
    if (segment.sequence !== previous.sequence + 1) {
      const missing = path.join(directory, segmentName(previous.sequence + 1, 0)).slice(0, -21);
      throw new WalError(
        `segment ${missing}-*.wal is missing between ${path.basename(previous.path)} and`,
        segment.path,
      );
    }
  }
  return { all, read: all.slice(start) };
}

/** Collects what the records of all segments say. */
class LogReader {
  readonly #afterIndex: number;
  /** Entries above this are kept; at most {@link LogReader.#afterIndex}. */
  readonly #keptAfter: number;
  readonly #batches: WalBatch[] = [];
  readonly #snapshots: SnapshotMarker[] = [];
  readonly #wire = new WireReader();
  #metadata: WalMetadata | null = null;
  #metadataBytes: Uint8Array = new Uint8Array(0);
  #hardState: HardState = { term: 0, vote: 0n, commit: 0 };
  #entryIndex = 0;
  #snapshotIndex = 0;
  #afterTerm = 0;
  #crc = 0;
  #tailOffset = 0;
  #tailBytes = 0;
  #torn = false;
  #repaired: string | null = null;
  #lastPath = "";
  /** The segment that is being read has shown its metadata. */
  #headIsComplete = false;

  constructor(afterIndex: number, keptAfter: number) {
    this.#afterIndex = afterIndex;
    this.#keptAfter = keptAfter;
  }

  readSegment(fileSystem: WalFileSystem, segment: Segment, isLast: boolean): void {
    this.#lastPath = segment.path;
    const file = openOrExplain(fileSystem, segment.path);
    try {
      this.#readRecords(new SegmentReader(file, this.#crc), segment, isLast);
    } catch (error) {
      throw error instanceof WalError ? error : new WalError("cannot read", segment.path, -1, error);
    } finally {
      void file.close();
    }
  }

  #readRecords(reader: SegmentReader, segment: Segment, isLast: boolean): void {
    this.#headIsComplete = false;
    let outcome = reader.next();
    if (outcome === ReadOutcome.record && reader.record.type !== WalRecordType.crc) {
      throw new WalError("segment does not begin with a checksum record", segment.path, 0);
    }
    for (; outcome === ReadOutcome.record; outcome = reader.next()) {
      this.#take(reader, segment.path);
    }
    // A segment gets its name only once its head is durable, so no crash leaves one without.
    if (!this.#headIsComplete) {
      const problem = outcome === ReadOutcome.damaged ? reader.problem : "segment ends before its metadata";
      throw new WalError(problem, segment.path, reader.offset);
    }
    if (outcome === ReadOutcome.damaged) this.#judgeDamage(reader, segment, isLast);
    else if (!reader.isZero(reader.offset, reader.fileBytes)) {
      reader.problem = "data behind the end of the log";
      this.#judgeDamage(reader, segment, isLast);
    }
    this.#crc = reader.crc;
    this.#tailOffset = reader.offset;
    this.#tailBytes = reader.fileBytes;
  }

  /** Throws unless the damage is a torn tail. */
  #judgeDamage(reader: SegmentReader, segment: Segment, isLast: boolean): void {
    if (!isLast)
      throw new WalError(
        `${reader.problem}; the log goes on in a later segment`,
        segment.path,
        reader.offset,
      );
    const lost = findDurableIndexBehind(reader, this.lastIndex);
    if (lost > 0) {
      const what = `${reader.problem}; entries ${this.lastIndex + 1} to ${lost} were durable and are damaged`;
      throw new WalError(what, segment.path, reader.offset);
    }
    if (!reader.problem.startsWith("data behind") && !looksTorn(reader)) {
      throw new WalError(reader.problem, segment.path, reader.offset);
    }
    this.#torn = true;
    this.#repaired = `${reader.problem}: ${segment.path} at byte ${reader.offset}`;
  }

  get lastIndex(): number {
    return Math.max(this.#entryIndex, this.#snapshotIndex);
  }

  #take(reader: SegmentReader, segmentPath: string): void {
    const { type, dataStart, dataEnd } = reader.record;
    const offset = reader.offset;
    if (type === WalRecordType.entry) this.#takeEntry(reader, segmentPath);
    else if (type === WalRecordType.state) {
      this.#hardState = decoded(
        decodeHardState(reader.bytes, dataStart, dataEnd),
        "hard state",
        segmentPath,
        offset,
      );
    } else if (type === WalRecordType.snapshot) {
      const marker = decoded(
        decodeSnapshotMarker(reader.bytes, dataStart, dataEnd),
        "snapshot",
        segmentPath,
        offset,
      );
      this.#takeSnapshot(marker);
    } else if (type === WalRecordType.metadata) {
      this.#takeMetadata(reader.bytes.slice(dataStart, dataEnd), segmentPath, offset);
    } else if (type !== WalRecordType.crc)
      throw new WalError(`unknown record type ${type} before`, segmentPath, offset);
  }

  #takeEntry(reader: SegmentReader, segmentPath: string): void {
    const { dataStart, dataEnd } = reader.record;
    const wire = this.#wire;
    wire.reset(reader.bytes, dataStart, dataEnd);
    let type = 0;
    let term = 0;
    let index = 0;
    let start = dataEnd;
    let end = dataEnd;
    for (let tag = wire.tag(); tag !== 0; tag = wire.tag()) {
      if (tag === 0x08) type = wire.uint32();
      else if (tag === 0x10) term = wire.int64();
      else if (tag === 0x18) index = wire.int64();
      else if (tag === 0x22) {
        const length = wire.length();
        start = wire.position;
        end = start + length;
        wire.advance(length);
      } else wire.skip(tag);
    }
    if (wire.failed || index <= 0) throw new WalError("malformed entry before", segmentPath, reader.offset);
    this.#keep(reader, segmentPath, type, term, index, start, end);
  }

  #keep(
    reader: SegmentReader,
    segmentPath: string,
    type: number,
    term: number,
    index: number,
    start: number,
    end: number,
  ): void {
    this.#entryIndex = index;
    if (index === this.#afterIndex) this.#afterTerm = term;
    if (index <= this.#keptAfter) {
      this.#batches.length = 0;
      return;
    }
    // A later entry replaces an earlier one of the same index and everything behind it.
    while (this.#batches.length > 0 && (this.#batches.at(-1) as WalBatch).firstIndex >= index)
      this.#batches.pop();
    let batch = this.#batches.at(-1);
    const expected = batch === undefined ? this.#keptAfter + 1 : batch.lastIndex + 1;
    if (index > expected && index <= this.#afterIndex + 1) {
      // Nobody needs what lies before the gap that an installed snapshot has left.
      this.#batches.length = 0;
      batch = undefined;
    } else if (index > expected) {
      throw new WalError(
        `entries ${expected} to ${index - 1} are missing before`,
        segmentPath,
        reader.offset,
      );
    }
    if (batch === undefined || batch.usedBytes >= KEPT_BATCH_BYTES) {
      batch = new WalBatch();
      // The rest of a batch that is cut short must not be seen.
      this.#batches.at(-1)?.truncate(index);
      this.#batches.push(batch);
      this.#limitKeptBefore();
    }
    batch.keepEntry(type, term, index, reader.bytes, start, end);
  }

  #takeSnapshot(marker: SnapshotMarker): void {
    const term = this.#termAt(marker.index);
    // The marker of a leader's snapshot ends the log that was there before, unless that held the same entry.
    if (marker.index > this.#entryIndex || (term !== 0 && term !== marker.term)) this.#restart(marker);
    if (marker.index === this.#afterIndex) this.#afterTerm = marker.term;
    this.#snapshotIndex = Math.max(this.#snapshotIndex, marker.index);
    this.#snapshots.push(marker);
  }

  /** Term of an entry that was read, 0 if it is not known. */
  #termAt(index: number): number {
    const batch = this.#batches.find(
      ({ firstIndex, lastIndex }) => firstIndex <= index && index <= lastIndex,
    );
    if (batch !== undefined) return batch.term(index - batch.firstIndex);
    return index === this.#afterIndex ? this.#afterTerm : 0;
  }

  /** The log goes on behind the marker; what it held behind that index is void. */
  #restart(marker: SnapshotMarker): void {
    this.#entryIndex = marker.index;
    while (this.#batches.length > 0 && (this.#batches.at(-1) as WalBatch).firstIndex > marker.index)
      this.#batches.pop();
    this.#batches.at(-1)?.truncate(marker.index + 1);
  }

  /** Lets go of the oldest batches that are not needed for the replay, when they are too many. */
  #limitKeptBefore(): void {
    let bytes = 0;
    for (const batch of this.#batches) bytes += batch.usedBytes;
    while (bytes > KEPT_BEFORE_BYTES_MAX && (this.#batches[0]?.lastIndex ?? Infinity) <= this.#afterIndex) {
      bytes -= (this.#batches.shift() as WalBatch).usedBytes;
    }
  }

  #takeMetadata(bytes: Uint8Array, segmentPath: string, offset: number): void {
    const metadata = decoded(decodeMetadata(bytes, 0, bytes.length), "metadata", segmentPath, offset);
    if (this.#metadata !== null && Buffer.compare(bytes, this.#metadataBytes) !== 0) {
      throw new WalError("metadata differs from that of earlier segments before", segmentPath, offset);
    }
    this.#headIsComplete = true;
    this.#metadata = metadata;
    this.#metadataBytes = bytes;
  }

  finish(all: Segment[]): { contents: WalContents; tail: WalTail } {
    if (this.#metadata === null) throw new WalError("no metadata found", this.#lastPath, this.#tailOffset);
    if (this.#hardState.commit > this.lastIndex) {
      const what = `entries ${this.lastIndex + 1} to ${this.#hardState.commit} were committed and are missing`;
      throw new WalError(what, this.#lastPath, this.#tailOffset);
    }
    return {
      contents: {
        metadata: this.#metadata,
        hardState: this.#hardState,
        entries: this.#batches,
        lastIndex: this.lastIndex,
        afterTerm: this.#afterTerm,
        snapshots: this.#snapshots,
        repaired: this.#repaired,
      },
      tail: {
        segments: all,
        offset: this.#tailOffset,
        crc: this.#crc,
        metadataBytes: this.#metadataBytes,
        torn: this.#torn,
        fileBytes: this.#tailBytes,
      },
    };
  }
}

function decoded<T>(value: T | null, what: string, segmentPath: string, offset: number): T {
  if (value === null) throw new WalError(`malformed ${what} before`, segmentPath, offset);
  return value;
}

function openOrExplain(fileSystem: WalFileSystem, filePath: string) {
  try {
    return fileSystem.open(filePath, { create: false, write: false, durable: false });
  } catch (error) {
    throw new WalError("cannot open", filePath, -1, error);
  }
}

/**
 * Makes the last segment ready for appending at `tail.offset`: a torn tail is copied aside and cut off, and the file extended
 * with zeros to a whole segment, so that a later torn write can be told from damage.
 */
export async function prepareTail(
  fileSystem: WalFileSystem,
  tail: WalTail,
  segmentBytes: number,
): Promise<void> {
  const segment = tail.segments.at(-1) as Segment;
  if (!tail.torn && tail.fileBytes >= segmentBytes) return;
  const file = fileSystem.open(segment.path, { create: false, write: true, durable: false });
  try {
    if (tail.torn) {
      await copyFile(fileSystem, segment.path, `${segment.path}.broken`, tail.fileBytes);
      await fileSystem.syncDirectory(path.dirname(segment.path));
      await file.truncate(tail.offset);
    }
    await file.truncate(Math.max(tail.offset, segmentBytes));
    await file.sync();
  } finally {
    await file.close();
  }
}

async function copyFile(fileSystem: WalFileSystem, from: string, to: string, length: number): Promise<void> {
  const source = fileSystem.open(from, { create: false, write: false, durable: false });
  const target = fileSystem.open(to, { create: true, write: true, durable: false });
  const buffer = new Uint8Array(COPY_BYTES);
  try {
    for (let at = 0; at < length;) {
      const read = source.read(buffer, 0, Math.min(COPY_BYTES, length - at), at);
      if (read === 0) break;
      await target.write(buffer, 0, read, at);
      at += read;
    }
    await target.sync();
  } finally {
    await source.close();
    await target.close();
  }
}
