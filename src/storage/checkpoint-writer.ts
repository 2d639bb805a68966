/**
 * Writing an index checkpoint (format: `checkpoint.ts`) a piece at a time, so that the thread that owns the index can do other
 * work in between. Chunks first, then the header with their checksums, then fsync, rename, fsync of the directory: a crash leaves
 * either the old checkpoint or the new one, whole.
 */
import { close, closeSync, fsync, fsyncSync, open, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { crc32 } from "node:zlib"; // 4 GB/s; CRC-32C in JavaScript does 1.3

import { type CheckpointHeader, checkpointHeaderBytes, encodeCheckpointHeader } from "./checkpoint-header.ts";
import { describeError } from "./io-error.ts";
import { syncDirectory } from "./sync-directory.ts";

/** One write call takes at most this much: Linux writes no more than 2 GiB at once. */
const WRITE_BYTES_MAX = 256 * 1024 * 1024;

const fsyncLater = promisify(fsync);
const openLater = promisify(open);
const closeLater = promisify(close);

export class CheckpointWriter {
  readonly #path: string;
  readonly #header: CheckpointHeader;
  readonly #chunks: readonly Uint8Array[];
  readonly #crcs: number[] = [];
  readonly #fd: number;
  /** Where the next piece comes from, and where it goes in the file. */
  #chunk = 0;
  #offset = 0;
  #crc = 0;
  #position: number;
  #open = true;

  /**
   * Begins a checkpoint that will stand at `path`. The chunks are borrowed until {@link writeSlice} has returned true.
   * @throws with the path and the cause
   */
  constructor(path: string, header: CheckpointHeader, chunks: readonly Uint8Array[]) {
    this.#path = path;
    this.#header = header;
    this.#chunks = chunks;
    this.#position = checkpointHeaderBytes(header, chunks.length);
    try {
      this.#fd = openSync(this.#temporary, "w", 0o600);
    } catch (error) {
      throw this.#describe(error);
    }
  }

  get #temporary(): string {
    return `${this.#path}.tmp`;
  }

  /**
   * Hands up to `bytesMax` more bytes to the kernel. True once it has everything: the chunks may change from then on.
   * @throws with the path and the cause; the temporary file is gone then
   */
  writeSlice(bytesMax: number): boolean {
    try {
      for (let left = bytesMax; this.#chunk < this.#chunks.length; left = this.#writePiece(left))
        if (left <= 0) return false;
      this.#writeAll(encodeCheckpointHeader(this.#header, this.#chunks, this.#crcs), 0);
      return true;
    } catch (error) {
      this.abandon();
      throw this.#describe(error);
    }
  }

  /** Writes from the current chunk; returns how much of `bytesMax` is left. */
  #writePiece(bytesMax: number): number {
    const chunk = this.#chunks[this.#chunk];
    const end = Math.min(chunk.length, this.#offset + bytesMax);
    const piece = chunk.subarray(this.#offset, end);
    this.#crc = crc32(piece, this.#crc);
    this.#writeAll(piece, this.#position);
    this.#position += piece.length;
    this.#offset = end;
    if (end === chunk.length) {
      this.#crcs.push(this.#crc);
      this.#chunk++;
      this.#offset = 0;
      this.#crc = 0;
    }
    return bytesMax - piece.length;
  }

  #writeAll(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length;) {
      done += writeSync(
        this.#fd,
        bytes,
        done,
        Math.min(bytes.length - done, WRITE_BYTES_MAX),
        position + done,
      );
    }
  }

  /**
   * Makes everything durable and puts the checkpoint in its place, without blocking the thread.
   * Rejects with the path and the cause; the old checkpoint is then still there.
   */
  async finish(): Promise<void> {
    try {
      await fsyncLater(this.#fd);
      this.#close();
      await rename(this.#temporary, this.#path);
      const directory = await openLater(dirname(this.#path), "r");
      await fsyncLater(directory);
      await closeLater(directory);
    } catch (error) {
      this.#close();
      await rm(this.#temporary, { force: true });
      throw this.#describe(error);
    }
  }

  /** As {@link finish}, at once. */
  finishSync(): void {
    try {
      fsyncSync(this.#fd);
      this.#close();
      renameSync(this.#temporary, this.#path);
      syncDirectory(dirname(this.#path));
    } catch (error) {
      this.abandon();
      throw this.#describe(error);
    }
  }

  /** Leaves nothing behind. Not after {@link finish} was called. */
  abandon(): void {
    this.#close();
    rmSync(this.#temporary, { force: true });
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }

  #describe(cause: unknown): Error {
    return describeError(this.#path, "cannot write the index checkpoint", cause);
  }
}

/**
 * Writes a whole checkpoint to `path`. Blocks for the write; the bytes are borrowed.
 * @throws with the path and the cause; the old checkpoint is then still there
 */
export function writeCheckpoint(path: string, header: CheckpointHeader, chunks: readonly Uint8Array[]): void {
  const writer = new CheckpointWriter(path, header, chunks);
  writer.writeSlice(Infinity);
  writer.finishSync();
}
