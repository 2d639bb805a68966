import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { openDataDirectory } from "./data-dir.ts";
import { DirectoryLockedError } from "./directory-lock.ts";

const base = mkdtempSync(join(tmpdir(), "concord-dir-"));
test.after(() => rmSync(base, { recursive: true }));

test("the layout is etcd's, private, and unlocked by release", () => {
  const path = join(base, "nested", "default.etcd");
  const first = openDataDirectory(path);
  for (const made of [path, join(path, "member"), first.walPath, first.snapPath]) {
    assert.equal(statSync(made).mode & 0o777, 0o700, made);
  }
  assert.equal(first.databasePath, join(path, "member", "snap", "db"));
  assert.deepEqual(first.warnings, []);
  writeFileSync(`${first.checkpointPath}.tmp`, "half");
  first.release();
  first.release();
  const second = openDataDirectory(path);
  assert.equal(existsSync(`${second.checkpointPath}.tmp`), false, "left by a crash");
  second.release();
});

test("an existing directory with other permissions is used, with etcd's warning", () => {
  const path = join(base, "open");
  mkdirSync(path);
  chmodSync(path, 0o755);
  const directory = openDataDirectory(path);
  assert.match(
    directory.warnings[0],
    /exist, but the permission is "drwxr-xr-x"\. The recommended permission is "-rwx------"/,
  );
  directory.release();
});

test("a second member on the directory fails naming it and the holder; kill -9 of the first frees it", async () => {
  const path = join(base, "locked");
  const script = `
    const { openDataDirectory } = await import(${JSON.stringify(join(import.meta.dirname, "data-dir.ts"))});
    globalThis.held = openDataDirectory(${JSON.stringify(path)});
    process.stdout.write("held");
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  assert.throws(
    () => openDataDirectory(path),
    (error: Error) =>
      error instanceof DirectoryLockedError &&
      error.message.includes(`data directory ${path} is in use by another member (process ${child.pid})`),
  );
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
  openDataDirectory(path).release();
});

test("one process cannot open a directory twice", () => {
  const path = join(base, "twice");
  const first = openDataDirectory(path);
  assert.throws(() => openDataDirectory(path), DirectoryLockedError);
  first.release();
});

test("no space and no directory are errors that name it", () => {
  const path = join(base, "full");
  assert.throws(
    () => openDataDirectory(path, { freeBytesMin: Number.MAX_SAFE_INTEGER }),
    new RegExp(
      `data directory ${path} has \\d+ bytes of free space, at least ${Number.MAX_SAFE_INTEGER} are needed`,
    ),
  );
  const file = join(base, "file");
  writeFileSync(file, "");
  assert.throws(
    () => openDataDirectory(file),
    new RegExp(`cannot use data directory ${file}: .*not a directory`),
  );
  assert.throws(
    () => openDataDirectory(join(file, "below")),
    new RegExp(`cannot use data directory ${file}/below: ENOTDIR`),
  );
});
