import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

import { openLmdbBackend } from "./lmdb-backend.ts";
import { ModelWriter } from "./testdata/snapshot-model.ts";
import { SEED } from "../../test/support/seed.ts";

/** It goes on until so much was written and checked; a busy machine takes its time, but not more than this. */
const COMMITS = 2000;
const RUN_MS_MAX = 60_000;
/** By how much the file grows with a commit when no page can be used again. Measured with a reader that never refreshes. */
const COMMIT_BYTES = 133_000;
/** Where a commit's sync costs nothing, there are ten times as many commits. */
const ROOT = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

test("every snapshot is one commit's state while another thread commits and pages are used again", async (context) => {
  context.diagnostic(`SEED=${SEED}`);
  const directory = mkdtempSync(join(ROOT, "concord-stress-"));
  const path = join(directory, "db");
  const backend = openLmdbBackend(path);
  const memory = new SharedArrayBuffer(64);
  const words = new Int32Array(memory);
  const writer = new ModelWriter(backend, SEED);
  writer.begin();
  const checker = new Worker(join(import.meta.dirname, "testdata", "snapshot-checker.ts"), {
    workerData: { path, memory, seed: SEED + 1 },
  });
  const failures: unknown[] = [];
  checker.once("error", (error) => failures.push(error));
  const ended = new Promise((resolve) => checker.once("exit", resolve));
  try {
    const until = performance.now() + RUN_MS_MAX;
    const isEnough = (): boolean => writer.commits >= COMMITS && keptUp(words, writer.commits);
    while (performance.now() < until && failures.length === 0 && !isEnough()) {
      for (let i = 0; i < 20; i++) writer.step();
      await new Promise(setImmediate);
    }
  } finally {
    Atomics.store(words, 0, 1);
    await ended;
  }
  assert.ifError(failures[0]);
  const [, snapshots, scans, gets, , skipped] = words;
  context.diagnostic(
    `${writer.commits} commits, ${snapshots} snapshots, ${scans} scans, ${gets} gets, ${skipped} with commits between`,
  );
  assert.ok(keptUp(words, writer.commits), "the checker kept up");
  const { allocatedBytes } = backend.size();
  assert.ok(
    allocatedBytes < (writer.commits * COMMIT_BYTES) / 4,
    `pages were used again: ${allocatedBytes} bytes`,
  );
  backend.close();
  rmSync(directory, { recursive: true });
});

/** The other thread has seen enough, and not only the beginning. */
function keptUp([, snapshots, scans, , lastCommit, skipped]: Int32Array, commits: number): boolean {
  return snapshots > 100 && scans > 1 && skipped > 10 && lastCommit > commits / 2;
}
