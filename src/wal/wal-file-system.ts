/**
 * The few file operations the WAL needs, so that tests and the simulation can put a torn, full, slow or lying disk beneath it.
 * `node-file-system.ts` is the real one, `memory-file-system.ts` the twin. Reading is blocking (start-up only); whatever may
 * happen while the member serves returns a promise and leaves the thread free, `writeNow` excepted.
 */

export interface WalOpenOptions {
  /** Create the file, or empty it if it exists. */
  readonly create: boolean;
  readonly write: boolean;
  /** A write resolves only once its data, and the metadata needed to read it back, are on the disk (O_DSYNC). */
  readonly durable: boolean;
}

export interface WalFile {
  readonly path: string;
  size(): number;
  /** Reads up to `length` bytes into `target` at `targetStart`; returns how many, 0 at the end of the file. Blocks. */
  read(target: Uint8Array, targetStart: number, length: number, position: number): number;
  /** Writes all of `bytes[start, end)`, borrowed until the promise settles. */
  write(bytes: Uint8Array, start: number, end: number, position: number): Promise<void>;
  /** The same, in the calling thread: it blocks until the disk has it. A disk without it is never waited for. */
  writeNow?(bytes: Uint8Array, start: number, end: number, position: number): void;
  /** Cuts the file, or extends it with zeros. */
  truncate(length: number): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface WalFileSystem {
  /** Names in a directory, unordered; empty if it does not exist. Blocks. */
  list(directory: string): string[];
  /** Opens or creates (mode 0600) a file. Blocks. */
  open(path: string, options: WalOpenOptions): WalFile;
  /** Creates a directory and its parents (mode 0700). */
  makeDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file, or a directory with its files; nothing happens if it does not exist. */
  remove(path: string): Promise<void>;
  /** Makes the names in a directory durable. */
  syncDirectory(path: string): Promise<void>;
}
