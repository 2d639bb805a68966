/**
 * A member's disk under the WAL: writes take virtual time, a power cut loses what was not synced (in whole sectors, any of them) and
 * names that no syncDirectory has made durable; a killed process loses only what it had not yet handed to the kernel.
 */

import * as path from "node:path";
import type { Prng } from "../../src/base/prng.ts";
import type { WalFile, WalFileSystem, WalOpenOptions } from "../../src/wal/wal-file-system.ts";
import { SECTOR_BYTES } from "../../src/wal/wal-format.ts";
import type { Life, Scheduler } from "./scheduler.ts";

/** How fast the disk is now; the faults change it. */
export interface DiskPace {
  /** Typical time of a durable write, ms. */
  writeMs: number;
  /** No operation ends before this virtual time. */
  stalledUntilMs: number;
}

/** A write that the disk has lied about reaches it after several seconds, as one of so many bytes would. */
const LATE_WRITE_BYTES = 1_000_000;

export const HEALTHY_WRITE_MS = 0.5;

interface StoredFile {
  current: Uint8Array;
  durable: Uint8Array;
  /** Ranges of `current` that may differ from `durable`. */
  dirty: Array<{ start: number; end: number }>;
}

/** A change of names that a power cut may undo; `undo` is called newest first. */
interface NameChange {
  readonly directories: readonly string[];
  readonly undo: () => void;
}

export class SimulatedDisk {
  readonly files = new Map<string, StoredFile>();
  readonly pace: DiskPace = { writeMs: HEALTHY_WRITE_MS, stalledUntilMs: 0 };
  /** Told when a durable write begins, and how long it takes. */
  onDurableWrite: ((tookMs: number) => void) | null = null;
  /** Canary: durable writes are said to be done at once. */
  liesAboutWrites = false;
  readonly #scheduler: Scheduler;
  readonly #random: Prng;
  #nameChanges: NameChange[] = [];

  constructor(scheduler: Scheduler, random: Prng) {
    this.#scheduler = scheduler;
    this.#random = random;
  }

  /** The file system as one life of the process sees it: when the life ends, its operations never complete. */
  mount(life: Life): WalFileSystem {
    return new Mount(this, life);
  }

  /** Everything that was not made durable may be lost: each sector and each name change by chance, names newest first. */
  losePower(): void {
    const changes = this.#nameChanges;
    this.#nameChanges = [];
    const lost = changes.length === 0 ? 0 : this.#random.below(changes.length + 1);
    for (let at = changes.length - 1; at >= changes.length - lost; at--) changes[at].undo();
    const survives = this.#random.pick([0, 0.5, 1]);
    for (const file of this.files.values()) this.#loseSectors(file, survives);
  }

  /** How long an operation takes that moves `bytes`. */
  operationMs(bytes: number): number {
    const { writeMs, stalledUntilMs } = this.pace;
    const tail = this.#random.chance(0.02) ? 10 : 1;
    const usual = (writeMs * (0.5 + this.#random.below(1000) / 1000) + bytes / 200_000) * tail;
    return Math.max(usual, stalledUntilMs - this.#scheduler.nowMs);
  }

  /** Calls back when an operation that moves `bytes` is done; returns when that is. */
  delay(bytes: number, life: Life | null, done: () => void): number {
    const tookMs = this.operationMs(bytes);
    this.#scheduler.after(tookMs, life, done);
    return tookMs;
  }

  /** Tells a process at once, or when it goes on. */
  notify(life: Life, done: () => void): void {
    this.#scheduler.after(0, life, done);
  }

  noteNames(directories: readonly string[], undo: () => void): void {
    this.#nameChanges.push({ directories, undo });
  }

  /** Makes the changes of names in `directory` durable, and those before them, as a journal does. */
  syncNames(directory: string): void {
    const last = this.#nameChanges.findLastIndex(({ directories }) => directories.includes(directory));
    this.#nameChanges.splice(0, last + 1);
  }

  #loseSectors(file: StoredFile, survives: number): void {
    const after = resized(file.durable, Math.max(file.durable.length, file.current.length));
    for (const { start, end } of file.dirty) {
      for (let at = start - (start % SECTOR_BYTES); at < end; at += SECTOR_BYTES) {
        if (!this.#random.chance(survives)) continue;
        const to = Math.min(at + SECTOR_BYTES, file.current.length);
        if (at < to) after.set(file.current.subarray(at, to), at);
      }
    }
    file.current = after;
    file.durable = after.slice();
    file.dirty = [];
  }
}

class Mount implements WalFileSystem {
  readonly #disk: SimulatedDisk;
  readonly #life: Life;

  constructor(disk: SimulatedDisk, life: Life) {
    this.#disk = disk;
    this.#life = life;
  }

  list(directory: string): string[] {
    const paths = [...this.#disk.files.keys()].filter((name) => path.dirname(name) === directory);
    return paths.map((name) => path.basename(name));
  }

  open(filePath: string, options: WalOpenOptions): WalFile {
    const { files } = this.#disk;
    let stored = files.get(filePath);
    if (stored === undefined && !options.create) throw new Error(`ENOENT: no such file, open '${filePath}'`);
    if (stored === undefined || options.create) {
      const before = stored;
      stored = { current: new Uint8Array(0), durable: new Uint8Array(0), dirty: [] };
      files.set(filePath, stored);
      this.#disk.noteNames([path.dirname(filePath)], () =>
        before === undefined ? files.delete(filePath) : files.set(filePath, before),
      );
    }
    return new SimulatedFile(this.#disk, this.#life, filePath, stored, options.durable);
  }

  makeDirectory(): Promise<void> {
    return this.#wait();
  }

  rename(from: string, to: string): Promise<void> {
    const { files } = this.#disk;
    const moved: Array<[string, string, StoredFile | undefined]> = [];
    for (const [name, stored] of Array.from(files)) {
      if (name !== from && !name.startsWith(`${from}/`)) continue;
      const target = to + name.slice(from.length);
      moved.push([name, target, files.get(target)]);
      files.delete(name);
      files.set(target, stored);
    }
    this.#disk.noteNames([path.dirname(from), path.dirname(to)], () => {
      for (const [name, target, replaced] of moved) {
        files.set(name, files.get(target) as StoredFile);
        if (replaced === undefined) files.delete(target);
        else files.set(target, replaced);
      }
    });
    return this.#wait();
  }

  remove(target: string): Promise<void> {
    const { files } = this.#disk;
    for (const [name, stored] of Array.from(files)) {
      if (name !== target && !name.startsWith(`${target}/`)) continue;
      files.delete(name);
      this.#disk.noteNames([path.dirname(name)], () => files.set(name, stored));
    }
    return this.#wait();
  }

  async syncDirectory(directory: string): Promise<void> {
    await this.#wait();
    this.#disk.syncNames(directory);
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => this.#disk.delay(0, this.#life, resolve));
  }
}

class SimulatedFile implements WalFile {
  readonly path: string;
  readonly #disk: SimulatedDisk;
  readonly #life: Life;
  readonly #stored: StoredFile;
  readonly #durable: boolean;

  constructor(disk: SimulatedDisk, life: Life, filePath: string, stored: StoredFile, durable: boolean) {
    this.#disk = disk;
    this.#life = life;
    this.path = filePath;
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

  /** The kernel has the bytes at once; they are durable when the promise resolves, if the file was opened so. */
  write(bytes: Uint8Array, start: number, end: number, position: number): Promise<void> {
    const stored = this.#stored;
    const behind = position + end - start;
    if (behind > stored.current.length) stored.current = resized(stored.current, behind);
    stored.current.set(bytes.subarray(start, end), position);
    const range = { start: position, end: behind };
    stored.dirty.push(range);
    if (this.#durable && this.#disk.liesAboutWrites) {
      this.#disk.delay(LATE_WRITE_BYTES, null, () => makeDurable(stored, [range]));
      return new Promise((resolve) => this.#disk.notify(this.#life, resolve));
    }
    return this.#completed(end - start, () => {
      if (this.#durable) makeDurable(stored, [range]);
    });
  }

  truncate(length: number): Promise<void> {
    const stored = this.#stored;
    const from = Math.min(length, stored.current.length);
    stored.current = resized(stored.current, length);
    stored.dirty.push({ start: from, end: length });
    return this.#completed(0, () => undefined);
  }

  sync(): Promise<void> {
    const stored = this.#stored;
    const ranges = stored.dirty.slice();
    return this.#completed(0, () => {
      if (stored.durable.length > stored.current.length) {
        stored.durable = stored.durable.slice(0, stored.current.length);
      }
      makeDurable(stored, ranges);
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The disk finishes also when the process is stopped or killed meanwhile; only then nobody hears of it. */
  #completed(bytes: number, finish: () => void): Promise<void> {
    return new Promise((resolve) => {
      const tookMs = this.#disk.delay(bytes, null, () => {
        finish();
        this.#disk.notify(this.#life, resolve);
      });
      if (bytes > 0 && this.#durable) this.#disk.onDurableWrite?.(tookMs);
    });
  }
}

function makeDurable(stored: StoredFile, ranges: ReadonlyArray<{ start: number; end: number }>): void {
  if (stored.durable.length < stored.current.length) {
    stored.durable = resized(stored.durable, stored.current.length);
  }
  for (const range of ranges) {
    const at = stored.dirty.indexOf(range);
    if (at < 0) continue; // lost in a power cut
    stored.dirty.splice(at, 1);
    stored.durable.set(stored.current.subarray(range.start, range.end), range.start);
  }
}

function resized(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, Math.min(length, bytes.length)));
  return result;
}
