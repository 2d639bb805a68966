/**
 * Where log lines end: a file descriptor, written synchronously, so that the last line before the end of the process is there. A log
 * that cannot be written (a full disk, a reader that went away or is stuck) costs lines, never the member: nothing is kept for
 * later, so that it costs no memory either.
 */
import { openSync, writeSync } from "node:fs";

/** Takes whole lines, their ends included. Never throws. */
export interface LineOutput {
  write(text: string): void;
}

/** How long a line waits for the reader of a pipe that is full; the lines after it do not wait until one got through. */
const FULL_PIPE_WAIT_MS = 1000;
const FULL_PIPE_POLL_MS = 10;
const pause = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/** Permissions of a new log file: what is logged is nobody else's business. */
export const LOG_FILE_MODE = 0o600;

/**
 * Opens a file to append to.
 * @throws the file system's error
 */
export function openLogFile(path: string): number {
  return openSync(path, "a", LOG_FILE_MODE);
}

/** An output over a descriptor, which stays open for ever. */
export class DescriptorOutput implements LineOutput {
  readonly #fd: number;
  /** The last line was lost. */
  #failing = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(text: string): void {
    this.#failing = !writeAll(this.#fd, Buffer.from(text), this.#failing ? 0 : FULL_PIPE_WAIT_MS);
  }
}

/** Writes all of `bytes`, waiting for a full pipe that long altogether; false when some of it is lost. */
export function writeAll(fd: number, bytes: Uint8Array, waitMs: number): boolean {
  let written = 0;
  let waitedMs = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || waitedMs >= waitMs) return false;
      Atomics.wait(pause, 0, 0, FULL_PIPE_POLL_MS);
      waitedMs += FULL_PIPE_POLL_MS;
    }
  }
  return true;
}
