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
 */
import { closeSync, fstatSync, fsyncSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { crc32 } from "node:zlib"; // 4 GB/s; CRC-32C in JavaScript does 1.3

import { describeError } from "./io-error.ts";

const MAGIC = Buffer.from("CONCORDX", "latin1");
const FILE_FORMAT = 1;
const FIXED_HEADER_BYTES = 40;
const CHUNK_ENTRY_BYTES = 12;
const HEADER_BYTES_MAX = 1024 * 1024;
/** One write call takes at most this much: Linux writes no more than 2 GiB at once. */
const WRITE_BYTES_MAX = 256 * 1024 * 1024;

/** What a checkpoint belongs to. */
export interface CheckpointHeader {
  /** Version of the chunks' layout; another one cannot be loaded. */
  readonly layoutVersion: number;
  /** Index of the last entry in it; replay goes on behind it. */
  readonly consistentIndex: number;
  /** The store's revision after that entry. */
  readonly revision: number;
  /** Names the member and cluster (any text), so that a file left in a reused directory is not taken for ours. */
  readonly identity: string;
}

/** A loaded checkpoint: each chunk in a buffer of its own, at offset 0 (aligned for typed arrays). */
export interface Checkpoint {
  readonly header: CheckpointHeader;
  readonly chunks: Uint8Array[];
}

/**
 * Writes a checkpoint to `path` so that a crash leaves either the old one or the new one, whole: temporary file, fsync,
 * rename, fsync of the directory. Blocks for the write; the bytes are borrowed.
 * @throws with the path and the cause; the old checkpoint is then still there
 */
export function writeCheckpoint(path: string, header: CheckpointHeader, chunks: readonly Uint8Array[]): void {
  const temporary = `${path}.tmp`;
  try {
    const fd = openSync(temporary, "w", 0o600);
    try {
      writeAll(fd, encodeHeader(header, chunks));
      for (const chunk of chunks) writeAll(fd, chunk);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    syncDirectory(dirname(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw describeError(path, "cannot write the index checkpoint", error);
  }
}

/** fsync of a directory, so that a rename or a new file in it survives a power cut. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function encodeHeader(header: CheckpointHeader, chunks: readonly Uint8Array[]): Buffer {
  const identity = Buffer.from(header.identity, "utf8");
  const length = FIXED_HEADER_BYTES + identity.length + chunks.length * CHUNK_ENTRY_BYTES + 4;
  if (length > HEADER_BYTES_MAX) throw new RangeError(`checkpoint header of ${length} bytes`);
  const bytes = Buffer.alloc(length);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(FILE_FORMAT, 8);
  bytes.writeUInt32LE(header.layoutVersion, 12);
  bytes.writeDoubleLE(header.consistentIndex, 16);
  bytes.writeDoubleLE(header.revision, 24);
  bytes.writeUInt32LE(chunks.length, 32);
  bytes.writeUInt32LE(identity.length, 36);
  identity.copy(bytes, FIXED_HEADER_BYTES);
  let offset = FIXED_HEADER_BYTES + identity.length;
  for (const chunk of chunks) {
    bytes.writeDoubleLE(chunk.length, offset);
    bytes.writeUInt32LE(crc32(chunk), offset + 8);
    offset += CHUNK_ENTRY_BYTES;
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(0, offset)), offset);
  return bytes;
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, Math.min(bytes.length - done, WRITE_BYTES_MAX));
  }
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
export function readCheckpoint(path: string, expected: CheckpointExpectation): Checkpoint | { reason: string } {
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
  if (fixed === undefined || Buffer.compare(fixed.subarray(0, 8), MAGIC) !== 0) return refuse("is not a checkpoint");
  const format = fixed.readUInt32LE(8);
  if (format !== FILE_FORMAT) return refuse(`has format ${format}, expected ${FILE_FORMAT}`);
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
    if (crc32(chunk) !== bytes.readUInt32LE(entry + 8)) return refuse(`has a damaged chunk ${i} at offset ${offset}`);
    chunks.push(new Uint8Array(chunk.buffer, 0, length));
    offset += length;
  }
  return { header, chunks };
}

function findMismatch(header: CheckpointHeader, expected: CheckpointExpectation): string | undefined {
  if (header.layoutVersion !== expected.layoutVersion) {
    return `has layout version ${header.layoutVersion}, expected ${expected.layoutVersion}`;
  }
  if (header.identity !== expected.identity) return `belongs to ${header.identity}, expected ${expected.identity}`;
  if (header.consistentIndex > expected.consistentIndexMax) {
    return `is ahead of the database: index ${header.consistentIndex}, expected at most ${expected.consistentIndexMax}`;
  }
  return undefined;
}

/** Reads `[offset, offset + length)` into a buffer of its own; undefined when the file is shorter. */
function readExactly(fd: number, offset: number, length: number, fileBytes: number): Buffer<ArrayBuffer> | undefined {
  if (!(length >= 0) || offset + length > fileBytes) return undefined;
  const bytes = Buffer.from(new ArrayBuffer(length));
  for (let done = 0; done < length; ) {
    const read = readSync(fd, bytes, done, Math.min(length - done, WRITE_BYTES_MAX), offset + done);
    if (read === 0) return undefined;
    done += read;
  }
  return bytes;
}
