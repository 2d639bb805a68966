/**
 * Worker of the reader test: opens a reader on workerData.path and answers requests through shared memory without ever
 * returning to its event loop, as the apply thread does. words[0]: request number, words[1]: answer number, words[2]: the
 * last revision seen, words[3]: timers pending.
 */
// oxlint-disable-next-line no-restricted-imports -- a test needs a thread of its own
import { workerData } from "node:worker_threads";

import { openLmdbReader } from "../lmdb-reader.ts";

const { path, memory } = workerData as { path: string; memory: SharedArrayBuffer };
const words = new Int32Array(memory);
const reader = openLmdbReader(path);

for (let request = 1; ; request++) {
  Atomics.wait(words, 0, request - 1);
  if (Atomics.load(words, 0) === -1) break;
  reader.refresh();
  let last = 0;
  reader.scanRevisions(0, (main) => (last = main) > 0);
  if (reader.getRevision(last, 0, false) === undefined && last !== 0) last = -1;
  Atomics.store(words, 2, last);
  Atomics.store(words, 3, process.getActiveResourcesInfo().filter((name) => name === "Timeout").length);
  Atomics.store(words, 1, request);
  Atomics.notify(words, 1);
}
reader.close();
