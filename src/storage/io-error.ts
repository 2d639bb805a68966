/** An error of the file system or the storage engine, with what was being done and the file; the cause is kept. */
export function describeError(path: string, doing: string, cause: unknown): Error {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new Error(`${doing} ${path}: ${message}`, { cause });
}
