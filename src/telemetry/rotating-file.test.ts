import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";

import { RotatingFile, type RotationSettings } from "./rotating-file.ts";

const root = mkdtempSync(join(tmpdir(), "concord-rotation-"));
after(() => rmSync(root, { recursive: true }));

const SETTINGS = { maxsize: 1, maxage: 0, maxbackups: 0, localtime: false, compress: false };
const HALF = `${"x".repeat(512 * 1024 - 1)}\n`;

function open(
  name: string,
  settings: Partial<RotationSettings> = {},
): { folder: string; file: RotatingFile } {
  const folder = join(root, name);
  return { folder, file: new RotatingFile(join(folder, "etcd.log"), { ...SETTINGS, ...settings }) };
}

function oldFiles(folder: string): string[] {
  return readdirSync(folder).filter((name) => name !== "etcd.log");
}

test("a file that would grow beyond its size is put aside, and no line is split or lost", () => {
  const { folder, file } = open("size");
  file.write(HALF);
  file.write(HALF);
  assert.deepEqual(oldFiles(folder), [], "exactly as long as it may be");
  file.write("next\n");
  const [old, ...others] = oldFiles(folder);
  assert.deepEqual(others, []);
  assert.match(old, /^etcd-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log$/);
  assert.equal(readFileSync(join(folder, old), "utf8"), HALF + HALF);
  assert.equal(readFileSync(join(folder, "etcd.log"), "utf8"), "next\n");
  assert.equal(statSync(join(folder, "etcd.log")).mode & 0o777, 0o600);
});

test("a file of an earlier life is gone on with, and its length counts", () => {
  const { folder, file } = open("again");
  file.write(HALF);
  const again = open("again").file;
  again.write("more\n");
  assert.deepEqual(oldFiles(folder), []);
  again.write(HALF);
  assert.equal(oldFiles(folder).length, 1);
  assert.equal(readFileSync(join(folder, "etcd.log"), "utf8"), HALF);
});

test("names are UTC, or local time where that is asked for", () => {
  const before = process.env["TZ"];
  after(() => {
    if (before === undefined) delete process.env["TZ"];
    else process.env["TZ"] = before;
  });
  process.env["TZ"] = "Asia/Kolkata";
  const hours = [false, true].map((localtime) => {
    const { folder, file } = open(`time-${localtime}`, { localtime });
    file.write(HALF);
    file.write(HALF);
    file.write("next\n");
    const [stamp] = /\d{4}.*\d{3}/.exec(oldFiles(folder)[0]) ?? [""];
    return Date.parse(`${stamp.slice(0, 11)}${stamp.slice(11).replaceAll("-", ":")}Z`);
  });
  const ahead = (hours[1] - hours[0]) / 60_000;
  assert.ok(ahead >= 330 && ahead < 331, `${ahead} minutes ahead`);
});

test("old files beyond maxbackups and older than maxage go; other people's files stay", async () => {
  const folder = join(root, "backups");
  mkdirSync(folder);
  const names = ["01", "02", "03"].map((day) => `etcd-2020-01-${day}T00-00-00.000.log`);
  const foreign = ["etcd-notes.log", "other-2020-01-01T00-00-00.000.log"];
  for (const name of [...names, ...foreign]) writeFileSync(join(folder, name), "old\n");
  await open("backups", { maxbackups: 2 }).file.tidied();
  assert.deepEqual(oldFiles(folder).sort(), [...names.slice(1), ...foreign].sort());
  await open("backups", { maxage: 1 }).file.tidied();
  assert.deepEqual(oldFiles(folder).sort(), foreign.toSorted());
});

test("with compress an old file becomes a .gz of the same content", async () => {
  const { folder, file } = open("gzip", { compress: true, maxbackups: 1 });
  file.write(HALF);
  file.write(HALF);
  file.write("next\n");
  await file.tidied();
  const [packed, ...others] = oldFiles(folder);
  assert.deepEqual(others, []);
  assert.match(packed, /\.log\.gz$/);
  assert.equal(gunzipSync(readFileSync(join(folder, packed))).toString(), HALF + HALF);
});

test("a rotation that fails goes on in the old file, and succeeds later", () => {
  const { folder, file } = open("failing");
  file.write(HALF);
  file.write(HALF);
  rmSync(folder, { recursive: true });
  file.write("lost with its folder\n");
  mkdirSync(folder);
  writeFileSync(join(folder, "etcd.log"), "somebody else's\n");
  file.write("next\n");
  assert.equal(readFileSync(join(folder, "etcd.log"), "utf8"), "next\n");
  assert.ok(existsSync(join(folder, oldFiles(folder)[0])));
});
