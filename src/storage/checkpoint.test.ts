import assert from "node:assert/strict";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { type Checkpoint, readCheckpoint } from "./checkpoint.ts";
import { CheckpointWriter, writeCheckpoint } from "./checkpoint-writer.ts";

const directory = mkdtempSync(join(tmpdir(), "concord-checkpoint-"));
const path = join(directory, "index.ckpt");
const header = {
  layoutVersion: 3,
  consistentIndex: 2 ** 40,
  revision: 2 ** 41 + 1,
  identity: "cluster/member",
};
const expected = { layoutVersion: 3, identity: "cluster/member", consistentIndexMax: 2 ** 40 };
const chunks = [new Uint8Array(5000).map((_, i) => i), new Uint8Array(0), Uint8Array.from([1, 2, 3])];

function reason(expectation = expected): string {
  const result = readCheckpoint(path, expectation);
  return "reason" in result ? result.reason : "loaded";
}

test.after(() => rmSync(directory, { recursive: true }));

test("a checkpoint comes back as it was written, chunks aligned for typed arrays", () => {
  assert.match(reason(), /^no index checkpoint at .*index\.ckpt$/);
  writeCheckpoint(path, { ...header, revision: 1 }, [Uint8Array.from([9])]);
  writeCheckpoint(path, header, chunks);
  const result = readCheckpoint(path, expected) as Checkpoint;
  assert.deepEqual(result.header, header);
  assert.deepEqual(result.chunks, chunks);
  assert.ok(result.chunks.every((chunk) => chunk.byteOffset === 0));
  assert.equal(existsSync(`${path}.tmp`), false);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test("what does not fit the backend is refused with the reason", () => {
  writeCheckpoint(path, header, chunks);
  assert.match(reason({ ...expected, layoutVersion: 4 }), /has layout version 3, expected 4$/);
  assert.match(reason({ ...expected, identity: "other" }), /belongs to cluster\/member, expected other$/);
  assert.match(
    reason({ ...expected, consistentIndexMax: 5 }),
    /is ahead of the database: index \d+, expected at most 5$/,
  );
});

test("every flipped byte and every truncation is found", () => {
  writeCheckpoint(path, header, chunks);
  const whole = readFileSync(path);
  for (let at = 0; at < whole.length; at += at < 120 ? 1 : 97) {
    const damaged = Buffer.from(whole);
    damaged[at] ^= 0x40;
    writeFileSync(path, damaged);
    assert.notEqual(reason(), "loaded", `byte ${at}`);
  }
  for (let length = whole.length - 1; length >= 0; length -= 61) {
    writeFileSync(path, whole);
    truncateSync(path, length);
    assert.notEqual(reason(), "loaded", `length ${length}`);
  }
});

test("a failing write leaves the old checkpoint and names the file", () => {
  writeCheckpoint(path, header, chunks);
  assert.throws(
    () => writeCheckpoint(join(directory, "missing", "index.ckpt"), header, chunks),
    /cannot write the index checkpoint .*missing\/index\.ckpt: ENOENT/,
  );
  assert.equal(reason(), "loaded");
});

test("a checkpoint written in slices is the one written at once", async () => {
  writeCheckpoint(path, header, chunks);
  const atOnce = readFileSync(path);
  rmSync(path);
  for (const sliceBytes of [1, 999, 5000, 5003]) {
    const writer = new CheckpointWriter(path, header, chunks);
    let slices = 1;
    while (!writer.writeSlice(sliceBytes)) slices++;
    assert.equal(slices, Math.ceil(5003 / sliceBytes));
    assert.equal(existsSync(path), false);
    await writer.finish();
    assert.deepEqual(readFileSync(path), atOnce);
    assert.equal(existsSync(`${path}.tmp`), false);
    rmSync(path);
  }
});

test("a checkpoint that is given up leaves the old one and no file", () => {
  writeCheckpoint(path, header, chunks);
  const writer = new CheckpointWriter(path, { ...header, layoutVersion: 9 }, chunks);
  writer.writeSlice(100);
  writer.abandon();
  assert.equal(existsSync(`${path}.tmp`), false);
  assert.equal(reason(), "loaded");
});
