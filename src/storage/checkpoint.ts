/**
 * The index checkpoint: the key index as raw arrays, so that a restart loads it in place of scanning a million records.
 * It is a cache of what the backend holds. A checkpoint that is missing, old, foreign or damaged is a reason to rebuild
 * (and to say so in the log), never an error.
 *
 * ```
 *   0  magic "CONCORDX"      8  u32 file format   12  u32 layout version (of the chunks; the index knows it)
 *  16  f64 consistent index  24 f64 revision      32  u32 chunks   36  u32 identity length
 *  40  identity (UTF-8), then a chunk: f64 length, u32 CRC-32     end: u32 CRC-32 of the header before it
 *  then the chunks, back to back
 * ```
 * This file reads it; `checkpoint-writer.ts` writes it.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { crc32 } from "node:zlib";

import {
  CHECKPOINT_FORMAT,
  CHECKPOINT_MAGIC,
  CHUNK_ENTRY_BYTES,
  type CheckpointHeader,
  FIXED_HEADER_BYTES,
  HEADER_BYTES_MAX,
} from "./checkpoint-header.ts";

/** One read call takes at most this much: Linux reads no more than 2 GiB at once. */
const READ_BYTES_MAX = 256 * 1024 * 1024;

/** A loaded checkpoint: each chunk in a buffer of its own, at offset 0 (aligned for typed arrays). */
export interface Checkpoint {
  readonly header: CheckpointHeader;
  readonly chunks: Uint8Array[];
}

/** What the file must match; the caller knows it from the backend. */
export interface CheckpointExpectation {
  readonly layoutVersion: number;
  readonly identity: string;
  /** The backend's consistent index: a checkpoint beyond it belongs to another history. */
  readonly consistentIndexMax: number;
}

/**
 * Loads the checkpoint at `path`, or says in one line for the log why the index has to be rebuilt. Never throws for what
 * is in the file or for a file that is missing or unreadable.
 */
export function readCheckpoint(
  path: string,
  expected: CheckpointExpectation,
): Checkpoint | { reason: string } {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    return { reason: missing ? `no index checkpoint at ${path}` : `${path}: ${(error as Error).message}` };
  }
  try {
    return load(path, fd, expected);
  } catch (error) {
    return { reason: `index checkpoint ${path}: ${(error as Error).message}` };
  } finally {
    closeSync(fd);
  }
}

function load(path: string, fd: number, expected: CheckpointExpectation): Checkpoint | { reason: string } {
  const refuse = (why: string): { reason: string } => ({ reason: `index checkpoint ${path} ${why}` });
  const fileBytes = fstatSync(fd).size;
  const fixed = readExactly(fd, 0, FIXED_HEADER_BYTES, fileBytes);
  if (fixed === undefined || Buffer.compare(fixed.subarray(0, 8), CHECKPOINT_MAGIC) !== 0)
    return refuse("is not a checkpoint");
  const format = fixed.readUInt32LE(8);
  if (format !== CHECKPOINT_FORMAT) return refuse(`has format ${format}, expected ${CHECKPOINT_FORMAT}`);
  const identityBytes = fixed.readUInt32LE(36);
  const chunkCount = fixed.readUInt32LE(32);
  const headerBytes = FIXED_HEADER_BYTES + identityBytes + chunkCount * CHUNK_ENTRY_BYTES + 4;
  const bytes = headerBytes > HEADER_BYTES_MAX ? undefined : readExactly(fd, 0, headerBytes, fileBytes);
  if (bytes === undefined) return refuse("ends within its header");
  const headerCrc = bytes.readUInt32LE(headerBytes - 4);
  if (crc32(bytes.subarray(0, headerBytes - 4)) !== headerCrc) return refuse("has a damaged header (CRC)");
  const header = {
    layoutVersion: bytes.readUInt32LE(12),
    consistentIndex: bytes.readDoubleLE(16),
    revision: bytes.readDoubleLE(24),
    identity: bytes.toString("utf8", FIXED_HEADER_BYTES, FIXED_HEADER_BYTES + identityBytes),
  };
  const mismatch = findMismatch(header, expected);
  if (mismatch !== undefined) return refuse(mismatch);
  const chunks: Uint8Array[] = [];
  let entry = FIXED_HEADER_BYTES + identityBytes;
  let offset = headerBytes;
  for (let i = 0; i < chunkCount; i++, entry += CHUNK_ENTRY_BYTES) {
    const length = bytes.readDoubleLE(entry);
    const chunk = readExactly(fd, offset, length, fileBytes);
    if (chunk === undefined) return refuse(`ends within chunk ${i} (offset ${offset}, ${length} bytes)`);
    if (crc32(chunk) !== bytes.readUInt32LE(entry + 8))
      return refuse(`has a damaged chunk ${i} at offset ${offset}`);
    chunks.push(new Uint8Array(chunk.buffer, 0, length));
    offset += length;
  }
  return { header, chunks };
}

function findMismatch(header: CheckpointHeader, expected: CheckpointExpectation): string | undefined {
  if (header.layoutVersion !== expected.layoutVersion) {
    return `has layout version ${header.layoutVersion}, expected ${expected.layoutVersion}`;
  }
  if (header.identity !== expected.identity)
    return `belongs to ${header.identity}, expected ${expected.identity}`;
  if (header.consistentIndex > expected.consistentIndexMax) {
    return `is ahead of the database: index ${header.consistentIndex}, expected at most ${expected.consistentIndexMax}`;
  }
  return undefined;
}

/** Reads `[offset, offset + length)` into a buffer of its own; undefined when the file is shorter. */
function readExactly(
  fd: number,
  offset: number,
  length: number,
  fileBytes: number,
): Buffer<ArrayBuffer> | undefined {
  if (!(length >= 0) || offset + length > fileBytes) return undefined;
  const bytes = Buffer.from(new ArrayBuffer(length));
  for (let done = 0; done < length;) {
    const read = readSync(fd, bytes, done, Math.min(length - done, READ_BYTES_MAX), offset + done);
    if (read === 0) return undefined;
    done += read;
  }
  return bytes;
}
