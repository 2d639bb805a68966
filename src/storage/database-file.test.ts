import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { checkDatabaseFile, DatabaseFileError } from "./database-file.ts";
import { openLmdbBackend } from "./lmdb-backend.ts";
import { writeRevisionKey } from "./revision-key.ts";

const directory = mkdtempSync(join(tmpdir(), "concord-file-"));
const path = join(directory, "db");

test.after(() => rmSync(directory, { recursive: true }));

/** A database of a few hundred pages, with overflow pages and both meta pages used. */
function writeDatabase(): Buffer {
  rmSync(path, { force: true });
  const backend = openLmdbBackend(path);
  const key = new Uint8Array(17);
  for (let main = 2; main < 300; main++) {
    writeRevisionKey(key, 0, main, 0, false);
    backend.putRevision(key, new Uint8Array(main % 10 === 0 ? 9000 : 500).fill(main));
    if (main % 100 === 0) backend.commit(main, 1);
  }
  backend.commit(300, 1);
  backend.close();
  return readFileSync(path);
}

/** The backend refuses the file with this message, and neither touches it nor leaves anything beside it. */
function refuses(content: Uint8Array, message: RegExp): void {
  rmSync(path, { force: true });
  rmSync(`${path}-lock`, { force: true });
  writeFileSync(path, content);
  assert.throws(
    () => openLmdbBackend(path),
    (error) => {
      assert.ok(error instanceof DatabaseFileError);
      assert.match(error.message, message);
      assert.ok(error.message.includes(path));
      return true;
    },
  );
  assert.deepEqual(readFileSync(path), Buffer.from(content));
  assert.deepEqual(readdirSync(directory), ["db"]);
}

test("a healthy file is described, a missing and an empty one are new", () => {
  const { length } = writeDatabase();
  const found = checkDatabaseFile(path);
  assert.equal(found?.fileBytes, length);
  assert.equal((found.lastPage + 1) * found.pageBytes, length);
  truncateSync(path, 0);
  assert.equal(checkDatabaseFile(path), undefined);
  rmSync(path);
  assert.equal(checkDatabaseFile(path), undefined);
});

test("a truncated file is refused, whatever is missing", () => {
  const whole = writeDatabase();
  const expected = `truncated: expected ${whole.length} bytes, found`;
  for (const length of [whole.length - 1, whole.length - 4096, whole.length >> 1, 3 * 4096]) {
    refuses(whole.subarray(0, length), new RegExp(`${expected} ${length} `));
  }
  for (const length of [4096 + 24, 4096, 100]) {
    refuses(
      whole.subarray(0, length),
      new RegExp(`truncated: expected at least \\d+ bytes.*found ${length}`),
    );
  }
});

test("pages at the end that nothing refers to may be missing", () => {
  const whole = writeDatabase();
  const lastPage = checkDatabaseFile(path)?.lastPage as number;
  // Both meta pages claim ten pages more than there are.
  for (const page of [0, 4096]) whole.writeUInt32LE(lastPage + 10, page + 24 + 120);
  writeFileSync(path, whole);
  assert.equal(checkDatabaseFile(path)?.lastPage, lastPage + 10);
});

test("foreign and damaged files are refused with what they are", () => {
  const whole = writeDatabase();
  refuses(Buffer.from("hello"), /not a database file: expected magic beefc0de in page 0, found only 5 bytes/);
  refuses(new Uint8Array(9000), /not a database file: .* found 0$/);
  const bbolt = Buffer.alloc(32768);
  bbolt.writeUInt32LE(0xed0cdaed, 16);
  refuses(bbolt, /written by a Go etcd \(bbolt format\)/);
  const otherVersion = Buffer.from(whole);
  otherVersion.writeUInt32LE(3, 24 + 4);
  refuses(otherVersion, /format version 3, expected 2/);
  const noPageSize = Buffer.from(whole);
  noPageSize.writeUInt32LE(4095, 24 + 24);
  refuses(noPageSize, /page size of 4095 bytes/);
  const secondMeta = Buffer.from(whole).fill(0, 4096, 8192);
  refuses(secondMeta, /expected magic beefc0de in page 1, found 0/);
  assert.throws(() => checkDatabaseFile(directory), /is not a regular file|EISDIR/);
});

test("a file or directory without write permission is an error that names it, and nothing is written", () => {
  const whole = writeDatabase();
  rmSync(`${path}-lock`, { force: true });
  // Root may write anything, so the child steps down to nobody where it can.
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    chmodSync(directory, 0o755);
    chownSync(path, 65534, 65534);
  }
  chmodSync(path, 0o444);
  const backend = join(import.meta.dirname, "lmdb-backend.ts");
  const script = `
    const { openLmdbBackend } = await import(${JSON.stringify(backend)});
    if (${isRoot}) process.setuid(65534);
    try { openLmdbBackend(${JSON.stringify(path)}); console.log("opened"); } catch (error) { console.log(error.message); }`;
  const child = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  chmodSync(path, 0o600);
  assert.match(child.stdout, new RegExp(`^cannot open the database file ${path}: EACCES`), child.stderr);
  assert.equal(statSync(path).size, whole.length);
  assert.deepEqual(readdirSync(directory), ["db"]);
});
