/**
 * Child of the crash tests: commits entry after entry to the database at argv[2], each with its index in every record,
 * and prints the index behind each commit. Ends when it is killed, or when the backend throws (printed, exit code 3).
 */
import { writeSync } from "node:fs";

import { openLmdbBackend } from "../lmdb-backend.ts";
import { recover } from "../recover.ts";
import { writeRevisionKey } from "../revision-key.ts";

const [path, valueBytes] = [process.argv[2], Number(process.argv[3])];

try {
  const backend = openLmdbBackend(path);
  const reader = backend.reader();
  const first = recover(reader).consistentIndex + 1;
  reader.close();
  const key = new Uint8Array(17);
  const value = Buffer.alloc(valueBytes);
  for (let index = first; ; index++) {
    // One entry: 20 revisions, the deletion of older ones, and a row elsewhere.
    for (let sub = 0; sub < 20; sub++) {
      writeRevisionKey(key, 0, index + 1, sub, false);
      value.writeDoubleLE(index, 0);
      backend.putRevision(key, value);
    }
    const deletions = index > 50 ? 20 : 0;
    for (let sub = 0; sub < deletions; sub++) {
      writeRevisionKey(key, 0, index - 50 + 1, sub, false);
      backend.deleteRevision(key);
    }
    backend.put("cluster", Buffer.from("last"), Buffer.from(String(index)));
    backend.commit(index, 1);
    writeSync(1, `${index}\n`);
  }
} catch (error) {
  writeSync(2, `${(error as Error).message}\n`);
  process.exitCode = 3;
}
