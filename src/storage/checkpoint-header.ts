/** The header of an index checkpoint: what it belongs to, and the lengths and checksums of its chunks. Layout: `checkpoint.ts`. */
import { crc32 } from "node:zlib";

export const CHECKPOINT_MAGIC = Buffer.from("CONCORDX", "latin1");
export const CHECKPOINT_FORMAT = 1;
/** Bytes before the identity. */
export const FIXED_HEADER_BYTES = 40;
/** Length and checksum of one chunk. */
export const CHUNK_ENTRY_BYTES = 12;
export const HEADER_BYTES_MAX = 1024 * 1024;

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

/** Bytes of the whole header. */
export function checkpointHeaderBytes({ identity }: CheckpointHeader, chunkCount: number): number {
  return FIXED_HEADER_BYTES + Buffer.byteLength(identity, "utf8") + chunkCount * CHUNK_ENTRY_BYTES + 4;
}

/** Encodes it; `crcs` are the CRC-32s of the chunks. @throws RangeError when there are too many chunks */
export function encodeCheckpointHeader(
  header: CheckpointHeader,
  chunks: readonly Uint8Array[],
  crcs: readonly number[],
): Buffer {
  const identity = Buffer.from(header.identity, "utf8");
  const length = checkpointHeaderBytes(header, chunks.length);
  if (length > HEADER_BYTES_MAX) throw new RangeError(`checkpoint header of ${length} bytes`);
  const bytes = Buffer.alloc(length);
  CHECKPOINT_MAGIC.copy(bytes);
  bytes.writeUInt32LE(CHECKPOINT_FORMAT, 8);
  bytes.writeUInt32LE(header.layoutVersion, 12);
  bytes.writeDoubleLE(header.consistentIndex, 16);
  bytes.writeDoubleLE(header.revision, 24);
  bytes.writeUInt32LE(chunks.length, 32);
  bytes.writeUInt32LE(identity.length, 36);
  identity.copy(bytes, FIXED_HEADER_BYTES);
  let offset = FIXED_HEADER_BYTES + identity.length;
  for (const [i, chunk] of chunks.entries()) {
    bytes.writeDoubleLE(chunk.length, offset);
    bytes.writeUInt32LE(crcs[i], offset + 8);
    offset += CHUNK_ENTRY_BYTES;
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(0, offset)), offset);
  return bytes;
}
