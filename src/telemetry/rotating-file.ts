/**
 * A log file that is put aside when it has grown long enough (`--enable-log-rotation`), as lumberjack does it for etcd:
 * `etcd.log` becomes `etcd-2006-01-02T15-04-05.000.log` and a new one begins. Old ones are compressed and deleted in the background.
 *
 * Loaded only where rotation is on. Lines are written synchronously; a rotation that fails leaves the file in use and is tried again
 * with the next line.
 */
import {
  closeSync,
  createReadStream,
  createWriteStream,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
} from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

import { LOG_FILE_MODE, openLogFile, writeAll, type LineOutput } from "./line-output.ts";

/** The fields of `--log-rotation-config-json`. */
export interface RotationSettings {
  /** Longest file in MiB; 0 = 100. */
  readonly maxsize: number;
  /** Days that an old file is kept; 0 = for ever. */
  readonly maxage: number;
  /** Old files kept; 0 = all. */
  readonly maxbackups: number;
  /** Old files are named for the local time, not for UTC. */
  readonly localtime: boolean;
  /** Old files are compressed with gzip. */
  readonly compress: boolean;
}

const MEBIBYTE = 1024 * 1024;
const SIZE_MIB_DEFAULT = 100;
const DAY_MS = 24 * 60 * 60 * 1000;
const COMPRESSED = ".gz";
const UNFINISHED = ".tmp";

/** A rotated file under this name. */
interface OldFile {
  readonly name: string;
  /** Its time stamp: names sort by age. */
  readonly stamp: string;
}

export class RotatingFile implements LineOutput {
  readonly #path: string;
  readonly #settings: RotationSettings;
  readonly #bytesMax: number;
  #fd: number;
  #bytes: number;
  /** The background work of the last rotation; one at a time. */
  #tidying: Promise<void> = Promise.resolve();
  #tidyWanted = false;

  /**
   * Opens the file, and goes on in one that is there.
   * @throws the file system's error
   */
  constructor(path: string, settings: RotationSettings) {
    this.#path = path;
    this.#settings = settings;
    this.#bytesMax = (settings.maxsize > 0 ? settings.maxsize : SIZE_MIB_DEFAULT) * MEBIBYTE;
    mkdirSync(dirname(path), { recursive: true });
    this.#fd = openLogFile(path);
    this.#bytes = fstatSync(this.#fd).size;
    this.#tidy();
  }

  write(text: string): void {
    const bytes = Buffer.from(text);
    if (this.#bytes > 0 && this.#bytes + bytes.length > this.#bytesMax) this.#rotate();
    if (writeAll(this.#fd, bytes, 0)) this.#bytes += bytes.length;
  }

  /** Resolves when nothing is being compressed or deleted. */
  tidied(): Promise<void> {
    return this.#tidying;
  }

  #rotate(): void {
    const aside = this.#nameOfOld(Date.now());
    try {
      renameSync(this.#path, aside);
    } catch {
      return; // goes on in the file as it is
    }
    let next: number;
    try {
      next = openSync(this.#path, "ax", LOG_FILE_MODE);
    } catch {
      // No new file: the old one takes its name again, so that the log stays where it is looked for.
      this.#undo(aside);
      return;
    }
    closeSync(this.#fd);
    this.#fd = next;
    this.#bytes = 0;
    this.#tidy();
  }

  #undo(aside: string): void {
    try {
      renameSync(aside, this.#path);
    } catch {
      // The descriptor still writes to the file under its new name.
    }
  }

  #nameOfOld(unixMs: number): string {
    const extension = extname(this.#path);
    const stem = basename(this.#path, extension);
    const offsetMs = this.#settings.localtime ? new Date(unixMs).getTimezoneOffset() * 60_000 : 0;
    const stamp = new Date(unixMs - offsetMs).toISOString().slice(0, -1).replaceAll(":", "-");
    return join(dirname(this.#path), `${stem}-${stamp}${extension}`);
  }

  /** Compresses and deletes old files, after what is being done already. */
  #tidy(): void {
    const { maxage, maxbackups, compress } = this.#settings;
    if ((maxage === 0 && maxbackups === 0 && !compress) || this.#tidyWanted) return;
    this.#tidyWanted = true;
    this.#tidying = this.#tidying.then(async () => {
      this.#tidyWanted = false;
      // What fails now (a full disk, a file that somebody else took away) is tried again after the next rotation.
      await this.#tidyOnce().catch(() => undefined);
    });
  }

  async #tidyOnce(): Promise<void> {
    const { maxage, maxbackups, compress } = this.#settings;
    const folder = dirname(this.#path);
    const names = await readdir(folder);
    const old = names.map((name) => this.#parse(name)).filter((file) => file !== null);
    const stamps = [...new Set(old.map(({ stamp }) => stamp))].sort().reverse();
    const kept = new Set(maxbackups > 0 ? stamps.slice(0, maxbackups) : stamps);
    const oldestMs = maxage > 0 ? Date.now() - maxage * DAY_MS : -Infinity;
    for (const { name, stamp } of old) {
      const path = join(folder, name);
      if (!kept.has(stamp) || this.#timeOf(stamp) < oldestMs) await rm(path, { force: true });
      else if (compress && !name.endsWith(COMPRESSED)) await compressFile(path);
    }
  }

  /** Null for what is none of our old files. */
  #parse(name: string): OldFile | null {
    const extension = extname(this.#path);
    const prefix = `${basename(this.#path, extension)}-`;
    const plain = name.endsWith(COMPRESSED) ? name.slice(0, -COMPRESSED.length) : name;
    if (!plain.startsWith(prefix) || !plain.endsWith(extension)) return null;
    const stamp = plain.slice(prefix.length, plain.length - extension.length);
    return /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}$/.test(stamp) ? { name, stamp } : null;
  }

  #timeOf(stamp: string): number {
    const [date, time] = stamp.split("T");
    return Date.parse(`${date}T${time.replaceAll("-", ":")}${this.#settings.localtime ? "" : "Z"}`);
  }
}

/** Replaces a file by `<path>.gz`. A crash meanwhile leaves the file, and a `.tmp` that the next attempt writes over. */
async function compressFile(path: string): Promise<void> {
  const unfinished = `${path}${UNFINISHED}`;
  await pipeline(
    createReadStream(path),
    createGzip(),
    createWriteStream(unfinished, { mode: LOG_FILE_MODE }),
  );
  await rename(unfinished, `${path}${COMPRESSED}`);
  await rm(path, { force: true });
}
