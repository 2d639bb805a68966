/**
 * What to make of a record that cannot be read in the last segment: the trace of a crash in the middle of a write, which may
 * be cut off since nothing in it was acknowledged, or damage to data that was once durable, which must stop the start.
 *
 * etcd's rule: sectors are written whole or not at all, so a torn write shows as a sector that is all zero, or as a file that
 * ends too early. Ours adds a proof against it: a hard state is only ever written with a commit index that was durable
 * *before* (see `Wal.appendHardState`), so an intact hard state or snapshot marker behind the damage that names an index beyond
 * the last readable entry means that acknowledged entries lie in the damaged part.
 */

import { crc32c } from "../base/crc32c.ts";
import { parseFrame } from "./segment-reader.ts";
import type { Frame, SegmentReader } from "./segment-reader.ts";
import {
  FRAME_HEADER_BYTES,
  SECTOR_BYTES,
  WalRecordType,
  decodeHardState,
  decodeSnapshotMarker,
} from "./wal-format.ts";

/** True if the frame at the reader's offset looks like a write that a crash has torn. */
export function looksTorn(reader: SegmentReader): boolean {
  const start = reader.offset + FRAME_HEADER_BYTES;
  const end = reader.damagedFrameEnd();
  if (reader.fileBytes - reader.offset < FRAME_HEADER_BYTES) return true;
  if (hasZeroSector(reader, start, end)) return !firstSectorContradicts(reader, start);
  return end === reader.fileBytes && reader.problem.includes("beyond") && !reader.lengthIsContradicted();
}

/** A length field whose own sector also holds the record's beginning, and does not fit it, was not torn but damaged. */
function firstSectorContradicts(reader: SegmentReader, start: number): boolean {
  const sectorLeft = SECTOR_BYTES - (start % SECTOR_BYTES);
  return start % SECTOR_BYTES !== 0 && sectorLeft >= 24 && reader.lengthIsContradicted();
}

function hasZeroSector(reader: SegmentReader, start: number, end: number): boolean {
  while (start < end) {
    const next = Math.min(end, start + SECTOR_BYTES - (start % SECTOR_BYTES));
    if (reader.isZero(start, next)) return true;
    start = next;
  }
  return false;
}

/**
 * Looks behind the damage for proof that entries beyond `lastIndex` were durable. Returns the highest such index, or 0.
 * Frames are found again by their 8-byte alignment; one counts only if its checksum continues that of the frame before it.
 */
export function findDurableIndexBehind(reader: SegmentReader, lastIndex: number): number {
  const length = reader.fileBytes - reader.offset;
  const base = reader.load(reader.offset, length);
  const bytes = reader.bytes;
  const end = base + length;
  const previous: Frame = { type: 0, crc: 0, dataStart: 0, dataEnd: 0, end: 0 };
  const frame: Frame = { type: 0, crc: 0, dataStart: 0, dataEnd: 0, end: 0 };
  let proven = 0;
  for (let at = base; at + FRAME_HEADER_BYTES < end; at += 8) {
    if (bytes[at + 8] !== 0x08 || !parseFrame(bytes, at, end, previous)) continue;
    let crc = previous.crc;
    let next = previous.end;
    while (next + FRAME_HEADER_BYTES < end && parseFrame(bytes, next, end, frame)) {
      crc = crc32c(crc, bytes, frame.dataStart, frame.dataEnd);
      if (crc !== frame.crc) break;
      proven = Math.max(proven, provenIndex(bytes, frame));
      next = frame.end;
      at = next - 8;
    }
  }
  return proven > lastIndex ? proven : 0;
}

function provenIndex(bytes: Uint8Array, frame: Frame): number {
  if (frame.type === WalRecordType.state)
    return decodeHardState(bytes, frame.dataStart, frame.dataEnd)?.commit ?? 0;
  if (frame.type === WalRecordType.snapshot)
    return decodeSnapshotMarker(bytes, frame.dataStart, frame.dataEnd)?.index ?? 0;
  return 0;
}
