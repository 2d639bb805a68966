import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

import { openLmdbBackend } from "./lmdb-backend.ts";
import { writeRevisionKey } from "./revision-key.ts";

const COMMITS = 300;

test("a thread that never returns to its event loop sees every commit and leaves no timers", async () => {
  const directory = mkdtempSync(join(tmpdir(), "concord-reader-"));
  const path = join(directory, "db");
  const backend = openLmdbBackend(path);
  const memory = new SharedArrayBuffer(16);
  const words = new Int32Array(memory);
  const key = new Uint8Array(17);
  const put = (main: number): void => {
    writeRevisionKey(key, 0, main, 0, false);
    backend.putRevision(key, new Uint8Array(2000));
  };
  put(1); // a write transaction is open while the reader opens: it must not wait for it
  const worker = new Worker(join(import.meta.dirname, "testdata", "blocked-reader.ts"), {
    workerData: { path, memory },
  });
  const failed = new Promise<never>((_, reject) => worker.once("error", reject));
  failed.catch(() => {});
  const ask = async (request: number): Promise<number> => {
    Atomics.store(words, 0, request);
    Atomics.notify(words, 0);
    const answer = Atomics.waitAsync(words, 1, request - 1);
    await Promise.race([answer.value, failed]);
    return Atomics.load(words, 2);
  };
  assert.equal(await ask(1), 0, "nothing is committed");
  let timers = 0;
  for (let i = 1; i <= COMMITS; i++) {
    put(i + 1);
    if (i > 10) {
      writeRevisionKey(key, 0, i - 10, 0, false);
      backend.deleteRevision(key);
    }
    backend.commit(i, 1);
    put(i + 2); // open again, and not to be seen
    assert.equal(await ask(i + 1), i + 1);
    if (i === 5) timers = Atomics.load(words, 3);
  }
  assert.equal(Atomics.load(words, 3), timers);
  // Ten revisions live at a time: had the reader pinned old snapshots, the file would hold all of them.
  assert.ok(backend.size().allocatedBytes < 100 * 4096, `${backend.size().allocatedBytes} bytes`);
  Atomics.store(words, 0, -1);
  Atomics.notify(words, 0);
  await new Promise((resolve) => worker.once("exit", resolve));
  backend.close();
  rmSync(directory, { recursive: true });
});
