/** What is left in the file when the process dies, or when the disk does not take more. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { checkDatabaseFile } from "./database-file.ts";
import { openLmdbBackend } from "./lmdb-backend.ts";
import { recover } from "./recover.ts";

const CHILD = join(import.meta.dirname, "testdata", "commit-until-killed.ts");

/** Asserts that the file holds exactly the entries up to its consistent index; returns that. */
function verifyConsistentCut(path: string): number {
  assert.ok(checkDatabaseFile(path));
  const backend = openLmdbBackend(path);
  const reader = backend.reader();
  const { consistentIndex } = recover(reader);
  const counts = new Map<number, number>();
  reader.scanRevisions(0, (main, _sub, _tombstone, bytes, length) => {
    const index = Buffer.from(bytes.buffer, bytes.byteOffset, length).readDoubleLE(0);
    assert.equal(index, main - 1, "a value belongs to its revision");
    counts.set(index, (counts.get(index) ?? 0) + 1);
    return true;
  });
  const oldest = Math.max(1, consistentIndex - 50 + 1);
  assert.deepEqual(
    [...counts.keys()],
    Array.from({ length: consistentIndex - oldest + 1 }, (_, i) => oldest + i),
  );
  assert.ok([...counts.values()].every((count) => count === 20));
  const last = reader.get("cluster", Buffer.from("last"));
  assert.equal(Buffer.from(last ?? "0").toString(), String(consistentIndex));
  reader.close();
  backend.close();
  return consistentIndex;
}

test("killed in the middle of commits, again and again, the file is a consistent cut with all that was acknowledged", async () => {
  const directory = mkdtempSync(join(tmpdir(), "concord-crash-"));
  const path = join(directory, "db");
  let acknowledged = 0;
  for (let round = 0; round < 4; round++) {
    const child = spawn(process.execPath, [CHILD, path, "700"], { stdio: ["ignore", "pipe", "inherit"] });
    const commitsBeforeKill = 25 + round * 17;
    let commits = 0;
    for await (const chunk of child.stdout.setEncoding("latin1")) {
      const lines = (chunk as string).split("\n").filter((line) => line !== "");
      acknowledged = Math.max(acknowledged, ...lines.map(Number));
      commits += lines.length;
      if (commits >= commitsBeforeKill) child.kill("SIGKILL");
    }
    assert.ok(commits >= commitsBeforeKill);
    const found = verifyConsistentCut(path);
    // The kill may fall between a commit and its line, never the other way round.
    assert.ok(found >= acknowledged, `file ends at ${found}, acknowledged ${acknowledged}`);
    acknowledged = found;
  }
  rmSync(directory, { recursive: true });
});

test("a file that cannot grow is an error with file and cause, and the last commit stays", () => {
  const directory = mkdtempSync(join(tmpdir(), "concord-full-"));
  const path = join(directory, "db");
  // Node ignores SIGXFSZ, so a write beyond the limit fails as on a full disk. `ulimit -f` counts in blocks of 512 or 1024.
  const command = `ulimit -f 600; exec "$0" "$@"`;
  const child = spawnSync("/bin/sh", ["-c", command, process.execPath, CHILD, path, "1500"], {
    encoding: "latin1",
  });
  assert.equal(child.status, 3, child.stderr);
  assert.match(
    child.stderr,
    new RegExp(`^cannot (commit to|write to) database file ${path}: (File too large|Input/output error)`),
  );
  const acknowledged = Number(child.stdout.trim().split("\n").at(-1));
  assert.ok(acknowledged >= 1);
  assert.ok(statSync(path).size <= 600 * 1024);
  assert.equal(verifyConsistentCut(path), acknowledged);
  // With room again it goes on.
  const backend = openLmdbBackend(path);
  backend.put("cluster", Buffer.from("more"), new Uint8Array(900_000));
  backend.commit(acknowledged + 1, 1);
  backend.close();
  rmSync(directory, { recursive: true });
});
