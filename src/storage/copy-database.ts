/** A copy of a database without its free pages: what the first half of a defragmentation makes, beside everything else. */
import { BUCKETS, type BackendReader } from "../mvcc/backend.ts";
import { openLmdbBackend } from "./lmdb-backend.ts";
import { META_CONSISTENT_INDEX, META_TERM } from "./meta-keys.ts";
import { removeDatabase } from "./remove-database.ts";
import { readRevisionMain, readUint64BE } from "./revision-key.ts";

/**
 * Bytes of records a commit. Each ends with two syncs of the disk on which the log waits for its own: many small ones delay the log
 * less than a few large ones.
 */
const COMMIT_BYTES = 2 * 1024 * 1024;
const RECORD_OVERHEAD_BYTES = 32;
/** Records between two looks at whether the copy is still wanted, and at the clock. */
const RECORDS_PER_CHECK = 256;

export interface CopyOptions {
  /** Asked now and then; true ends the work with an error, and the copy is gone. */
  readonly isCancelled?: () => boolean;
  /** Called now and then: may hold the work up, so that it leaves the processor and the disk to others. */
  readonly yieldTo?: () => void;
}

/** What a copy holds. */
export interface DatabaseCopy {
  /** Newest revision in it; 0 if there is none. */
  readonly revision: number;
  readonly records: number;
}

/** The copy is not wanted any more. */
export class CopyCancelledError extends Error {
  override readonly name = "CopyCancelledError";
}

/**
 * Copies all that `reader` sees, at one commit, into a new database at `target`, durable when this resolves.
 * @throws with the path and the cause; nothing is left behind
 */
export async function copyDatabase(
  reader: BackendReader,
  target: string,
  { isCancelled = () => false, yieldTo = () => {} }: CopyOptions = {},
): Promise<DatabaseCopy> {
  removeDatabase(target);
  const backend = openLmdbBackend(target);
  let pendingBytes = 0;
  let records = 0;
  let revision = 0;
  let done = false;
  try {
    for (const bucket of BUCKETS) {
      reader.scan(bucket, (key, value) => {
        if (++records % RECORDS_PER_CHECK === 0) {
          if (isCancelled()) throw new CopyCancelledError(`copying to ${target} is cancelled`);
          yieldTo();
        }
        if (bucket === "key") {
          backend.putRevision(key, value);
          revision = readRevisionMain(key, 0);
        } else backend.put(bucket, key, value);
        pendingBytes += key.length + value.length + RECORD_OVERHEAD_BYTES;
        if (pendingBytes < COMMIT_BYTES) return;
        pendingBytes = 0;
        backend.commit(0, 0);
      });
    }
    backend.commit(readNumber(reader, META_CONSISTENT_INDEX), readNumber(reader, META_TERM));
    done = true;
    return { revision, records };
  } finally {
    backend.close();
    await backend.closed;
    if (!done) removeDatabase(target);
  }
}

function readNumber(reader: BackendReader, key: Uint8Array): number {
  const value = reader.get("meta", key);
  return value === undefined ? 0 : readUint64BE(value, 0);
}
