/** A snapshot file that is foreign, damaged or truncated. The message names the file, the place, and what is there. */
export class SnapshotFileError extends Error {
  override readonly name = "SnapshotFileError";
}

/** An error of the file system, with what was being done and the file; the cause is kept. */
export function describeFileError(path: string, doing: string, cause: unknown): Error {
  if (cause instanceof SnapshotFileError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new Error(`${doing} snapshot file ${path}: ${message}`, { cause });
}
