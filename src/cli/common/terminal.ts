/**
 * Standard input and output of the tools, synchronous: what was written is out when the process ends, and process.stdout,
 * which loads much of Node, is not needed.
 */
import { readSync, writeSync } from "node:fs";
import { encodeOsString } from "./os-string.ts";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
/** Bytes a read asks for. */
const READ_BYTES = 64 * 1024;
/** Output is gathered up to this many bytes: a `get` of a million keys must not be two million writes. */
const PENDING_BYTES_MAX = 64 * 1024;

/** Exit code of a program whose reader went away, as a shell reports SIGPIPE. */
const EXIT_BROKEN_PIPE = 141;

const NEWLINE = Uint8Array.of(0x0a);

let pending: Uint8Array[] = [];
let pendingBytes = 0;

/** Writes text or bytes to stdout: at the latest when something is read, written to stderr, or {@link flush}ed. */
export function print(data: string | Uint8Array): void {
  const bytes = typeof data === "string" ? encodeOsString(data) : data;
  pending.push(bytes);
  pendingBytes += bytes.length;
  if (pendingBytes >= PENDING_BYTES_MAX) flush();
}

/** Writes out what {@link print} has gathered. */
export function flush(): void {
  if (pendingBytes === 0) return;
  const bytes = Buffer.concat(pending);
  pending = [];
  pendingBytes = 0;
  writeAll(STDOUT, bytes);
}

/** Writes a line to stdout. */
export function printLine(line: string | Uint8Array): void {
  print(line);
  print(NEWLINE);
}

/** Writes text to stderr as it is. */
export function printError(text: string): void {
  flush();
  writeAll(STDERR, encodeOsString(text));
}

/** Writes a line to stderr. */
export function printErrorLine(line: string): void {
  flush();
  writeAll(STDERR, encodeOsString(`${line}\n`));
}

function writeAll(fd: number, bytes: Uint8Array): void {
  let rest = bytes;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EPIPE") process.exit(EXIT_BROKEN_PIPE);
      if (!isTemporary(error)) throw error;
      pause();
    }
  }
}

/** Everything from stdin up to its end. */
export function readAllInput(): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let part = readInput(); part.length > 0; part = readInput()) parts.push(part);
  return Buffer.concat(parts);
}

/** Reads stdin line by line. */
export class LineReader {
  #buffered: Uint8Array = new Uint8Array(0);

  /** The next line without its newline; undefined at the end, where a last line without newline does not count. */
  next(): Uint8Array | undefined {
    for (;;) {
      const end = this.#buffered.indexOf(0x0a);
      if (end !== -1) {
        const line = this.#buffered.subarray(0, end);
        this.#buffered = this.#buffered.subarray(end + 1);
        return line;
      }
      const part = readInput();
      if (part.length === 0) return undefined;
      this.#buffered = Buffer.concat([this.#buffered, part]);
    }
  }
}

/** Lines of stdin as they come, while other things go on; without their newlines. A last line without one does not count. */
export async function* readLines(): AsyncGenerator<Uint8Array, void, undefined> {
  let buffered: Uint8Array = new Uint8Array(0);
  for await (const part of process.stdin as AsyncIterable<Uint8Array>) {
    buffered = Buffer.concat([buffered, part]);
    for (let end = buffered.indexOf(0x0a); end !== -1; end = buffered.indexOf(0x0a)) {
      yield buffered.subarray(0, end);
      buffered = buffered.subarray(end + 1);
    }
  }
}

function readInput(): Uint8Array {
  flush();
  const buffer = new Uint8Array(READ_BYTES);
  for (;;) {
    try {
      return buffer.subarray(0, readSync(STDIN, buffer));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EOF") return buffer.subarray(0, 0);
      if (!isTemporary(error)) throw error;
      pause();
    }
  }
}

/** Another process may have made the descriptor non-blocking; then wait a little and try again. */
function isTemporary(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "EAGAIN";
}

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
}
