/** The WAL cannot be read or written. The message names the file and, where there is one, the byte offset. */
export class WalError extends Error {
  override readonly name = "WalError";
  /** File or directory. */
  readonly path: string;
  /** Byte offset in the file, -1 if the trouble is with the file as a whole. */
  readonly offset: number;

  constructor(what: string, path: string, offset = -1, cause?: unknown) {
    const place = offset < 0 ? path : `${path} at byte ${offset}`;
    const why =
      cause === undefined ? "" : `: ${cause instanceof Error ? cause.message : JSON.stringify(cause)}`;
    super(`wal: ${what}: ${place}${why}`, cause === undefined ? undefined : { cause });
    this.path = path;
    this.offset = offset;
  }
}
