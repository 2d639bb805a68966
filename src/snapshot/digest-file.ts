import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";

import { describeFileError } from "./snapshot-file-error.ts";
import { SnapshotCancelledError } from "./snapshot.ts";

const CHUNK_BYTES = 1024 * 1024;

/** SHA-256 of all of the file at `path`. @throws with the path and the cause; SnapshotCancelledError when it is not wanted any more */
export function digestFile(path: string, isCancelled: () => boolean = () => false): Uint8Array {
  const hash = createHash("sha256");
  const chunk = new Uint8Array(CHUNK_BYTES);
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    throw describeFileError(path, "cannot open", error);
  }
  try {
    for (;;) {
      const length = readSync(fd, chunk, 0, chunk.length, null);
      if (length === 0) return hash.digest();
      hash.update(chunk.subarray(0, length));
      if (isCancelled()) throw new SnapshotCancelledError(`reading ${path} is cancelled`);
    }
  } finally {
    closeSync(fd);
  }
}
