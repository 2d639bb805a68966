/** Temporary folders that go when the test ends. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a test context offers for cleaning up; node:test's `TestContext` has it. */
export interface Cleanup {
  after(fn: () => unknown): void;
}

/** A new empty folder on disk, removed when the test ends. */
export function tempDir(t: Cleanup, label = "member"): string {
  return makeTempDir(t, tmpdir(), label);
}

/**
 * A new empty folder in memory where the system has such a place (on disk elsewhere): for tests that need a member to
 * be quick and not durable.
 */
export function memoryDir(t: Cleanup, label = "member"): string {
  return makeTempDir(t, existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), label);
}

function makeTempDir(t: Cleanup, parent: string, label: string): string {
  const folder = mkdtempSync(join(parent, `concord-${label}-`));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}
