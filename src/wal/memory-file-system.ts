/**
 * A disk in memory, for tests and the simulation: it can crash (what was not synced survives in random sectors), run full,
 * fail a write, and hold writes back until they are let go.
 */

import * as path from "node:path";
import type { Prng } from "../base/prng.ts";
import type { WalFile, WalFileSystem, WalOpenOptions } from "./wal-file-system.ts";
import { SECTOR_BYTES } from "./wal-format.ts";

interface StoredFile {
  /** What a reader sees now. */
  current: Uint8Array;
  /** What survives a crash for certain. */
  durable: Uint8Array;
}

function resized(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, Math.min(length, bytes.length)));
  return result;
}

export class MemoryFileSystem implements WalFileSystem {
  readonly files = new Map<string, StoredFile>();
  readonly directories = new Set<string>();
  /** What was done, in order: `sync a`, `rename a b`, `syncDirectory d` … */
  readonly trace: string[] = [];
  /** Bytes that may still be written; a write that needs more takes what fits and fails with ENOSPC. */
  bytesLeft = Number.POSITIVE_INFINITY;
  /** Called before each write to a durable file; may throw, or return a promise that holds the write back. */
  beforeWrite: ((filePath: string, length: number) => Promise<void> | void) | null = null;
  /** No file may be opened for writing. */
  readOnly = false;

  list(directory: string): string[] {
    const names: string[] = [];
    for (const filePath of this.files.keys())
      if (path.dirname(filePath) === directory) names.push(path.basename(filePath));
    return names;
  }

  open(filePath: string, options: WalOpenOptions): WalFile {
    if (options.write && this.readOnly) throw new Error(`EROFS: read-only file system, open '${filePath}'`);
    let stored = this.files.get(filePath);
    if (stored === undefined && !options.create)
      throw new Error(`ENOENT: no such file or directory, open '${filePath}'`);
    if (stored === undefined || options.create) {
      stored = { current: new Uint8Array(0), durable: new Uint8Array(0) };
      this.files.set(filePath, stored);
    }
    return new MemoryFile(this, filePath, stored, options.durable);
  }

  async makeDirectory(directory: string): Promise<void> {
    this.directories.add(directory);
  }

  async rename(from: string, to: string): Promise<void> {
    this.trace.push(`rename ${path.basename(from)} ${path.basename(to)}`);
    for (const [filePath, stored] of Array.from(this.files)) {
      if (filePath !== from && !filePath.startsWith(`${from}/`)) continue;
      this.files.delete(filePath);
      this.files.set(to + filePath.slice(from.length), stored);
    }
  }

  async remove(target: string): Promise<void> {
    for (const filePath of Array.from(this.files.keys())) {
      if (filePath !== target && !filePath.startsWith(`${target}/`)) continue;
      this.trace.push(`remove ${path.basename(filePath)}`);
      this.files.delete(filePath);
    }
  }

  async syncDirectory(directory: string): Promise<void> {
    this.trace.push(`syncDirectory ${path.basename(directory)}`);
  }

  /** Power fails: of every file, each sector that differs from the durable state survives or not, as the generator says. */
  crash(prng: Prng): void {
    for (const stored of this.files.values()) {
      const survived = resized(stored.durable, Math.max(stored.durable.length, stored.current.length));
      for (let at = 0; at < stored.current.length; at += SECTOR_BYTES) {
        if (prng.chance(0.5)) survived.set(stored.current.subarray(at, at + SECTOR_BYTES), at);
      }
      stored.current = survived;
      stored.durable = survived.slice();
    }
  }

  /** A copy of one file's bytes. */
  contents(filePath: string): Uint8Array {
    return (this.files.get(filePath) as StoredFile).current.slice();
  }

  /** Replaces one file's bytes, as damage does. */
  overwrite(filePath: string, bytes: Uint8Array): void {
    this.files.set(filePath, { current: bytes.slice(), durable: bytes.slice() });
  }
}

class MemoryFile implements WalFile {
  readonly path: string;
  readonly #system: MemoryFileSystem;
  readonly #stored: StoredFile;
  readonly #durable: boolean;

  constructor(system: MemoryFileSystem, filePath: string, stored: StoredFile, durable: boolean) {
    this.path = filePath;
    this.#system = system;
    this.#stored = stored;
    this.#durable = durable;
  }

  size(): number {
    return this.#stored.current.length;
  }

  read(target: Uint8Array, targetStart: number, length: number, position: number): number {
    const part = this.#stored.current.subarray(position, position + length);
    target.set(part, targetStart);
    return part.length;
  }

  async write(bytes: Uint8Array, start: number, end: number, position: number): Promise<void> {
    const isWhole = this.#take(bytes, start, end, position);
    if (this.#durable) await this.#system.beforeWrite?.(this.path, end - start);
    this.#written(isWhole);
  }

  writeNow(bytes: Uint8Array, start: number, end: number, position: number): void {
    this.#system.trace.push(`block ${path.basename(this.path)}`);
    this.#written(this.#take(bytes, start, end, position));
  }

  /** Returns false if not all of it fits. */
  #take(bytes: Uint8Array, start: number, end: number, position: number): boolean {
    // The bytes are in the page cache before the disk has them: a crash in between tears the write.
    let fits = Math.min(end - start, this.#system.bytesLeft);
    // A write that fails half-way has taken whole sectors.
    if (fits < end - start)
      fits = Math.max(0, Math.floor((position + fits) / SECTOR_BYTES) * SECTOR_BYTES - position);
    this.#store(bytes.subarray(start, start + fits), position);
    this.#system.bytesLeft -= fits;
    return fits === end - start;
  }

  #written(isWhole: boolean): void {
    if (!isWhole) throw new Error("ENOSPC: no space left on device, write");
    if (this.#durable) this.#stored.durable = this.#stored.current.slice();
  }

  #store(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length;
    if (end > this.#stored.current.length) this.#stored.current = resized(this.#stored.current, end);
    this.#stored.current.set(bytes, position);
  }

  async truncate(length: number): Promise<void> {
    this.#stored.current = resized(this.#stored.current, length);
  }

  async sync(): Promise<void> {
    this.#system.trace.push(`sync ${path.basename(this.path)}`);
    this.#stored.durable = this.#stored.current.slice();
  }

  async close(): Promise<void> {}
}
