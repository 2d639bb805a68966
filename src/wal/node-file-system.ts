import * as fs from "node:fs";
import * as fsp from "node:fs/promises";
import * as path from "node:path";
import type { WalFile, WalFileSystem, WalOpenOptions } from "./wal-file-system.ts";

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

class NodeFile implements WalFile {
  readonly path: string;
  readonly #fd: number;

  constructor(filePath: string, options: WalOpenOptions) {
    const { O_RDONLY, O_RDWR, O_CREAT, O_TRUNC, O_DSYNC } = fs.constants;
    let flags = options.write ? O_RDWR : O_RDONLY;
    if (options.create) flags |= O_CREAT | O_TRUNC;
    // One system call, and so one trip to libuv's threads a flush, where write and fdatasync take two: 30 to 50 us less.
    if (options.durable) flags |= O_DSYNC;
    this.path = filePath;
    this.#fd = fs.openSync(filePath, flags, FILE_MODE);
  }

  size(): number {
    return fs.fstatSync(this.#fd).size;
  }

  read(target: Uint8Array, targetStart: number, length: number, position: number): number {
    return fs.readSync(this.#fd, target, targetStart, length, position);
  }

  write(bytes: Uint8Array, start: number, end: number, position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const more = (from: number): void => {
        fs.write(this.#fd, bytes, from, end - from, position + from - start, (error, written) => {
          if (error !== null) reject(error);
          else if (from + written >= end) resolve();
          else if (written === 0) reject(new Error("wrote nothing"));
          // A disk that fills up takes a part first and says why at the next try.
          else more(from + written);
        });
      };
      more(start);
    });
  }

  writeNow(bytes: Uint8Array, start: number, end: number, position: number): void {
    for (let from = start; from < end;) {
      const written = fs.writeSync(this.#fd, bytes, from, end - from, position + from - start);
      if (written === 0) throw new Error("wrote nothing");
      from += written;
    }
  }

  truncate(length: number): Promise<void> {
    return settle((done) => fs.ftruncate(this.#fd, length, done));
  }

  sync(): Promise<void> {
    return settle((done) => fs.fsync(this.#fd, done));
  }

  close(): Promise<void> {
    return settle((done) => fs.close(this.#fd, done));
  }
}

function settle(start: (done: (error: Error | null | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error === null || error === undefined ? resolve() : reject(error)));
  });
}

/** The real file system. */
export const nodeFileSystem: WalFileSystem = {
  list(directory) {
    try {
      return fs.readdirSync(directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  },
  open(filePath, options) {
    return new NodeFile(filePath, options);
  },
  async makeDirectory(directory) {
    await fsp.mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
  },
  rename(from, to) {
    return fsp.rename(from, to);
  },
  async remove(target) {
    await fsp.rm(target, { recursive: true, force: true });
  },
  async syncDirectory(directory) {
    const handle = await fsp.open(path.resolve(directory), "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};
